"""The end of a pod: asked for, waited for, and by force only where nothing of it can run any more."""

import asyncio
import logging
from contextlib import suppress

from kirzl_lab.spawning import watch
from kirzl_lab.spawning.cluster_api import ClusterApi
from kirzl_lab.spawning.cluster_capacity import capacity_of
from kirzl_lab.spawning.watch import Pod, PodWatch

LOOK_S = 20.0
"""How long a pod may take to go beyond its grace, before one looks at its node, and again between two looks."""

LOOKS = 3
"""After which a pod on a node that is ready is left to end: storage that is slow may keep it for minutes."""

SHORT_GRACE_S = 1
"""For what has ended, or never was ready."""

log = logging.getLogger(__name__)


async def remove(name: str, grace_s: int, api: ClusterApi, namespace: str) -> bool:
    """Have the pod of that name gone; False while it goes on ending. Raises `TroubleError` and what the watch raises.

    Kubernetes forgets a pod that is deleted by force, whatever its node does: on one that is ready, the processes of this
    server would go on beside those of the next, in the same home, with the same GPU.
    """
    pods = await watch.pods_of(namespace)
    uid = _uid(pods.now(name))
    await api.delete_pod(name, grace_s, uid)
    for wait_s in (grace_s + LOOK_S, *[LOOK_S] * (LOOKS - 1)):
        if await _gone(name, uid, pods, wait_s):
            return True
        if await capacity_of(namespace).is_lost(_node(pods.now(name))):
            log.warning("The node of %s is lost: the pod is deleted by force", name)
            await api.delete_pod(name, 0, uid)
    log.warning("%s does not go: it is left to end", name)
    return False


async def _gone(name: str, uid: str | None, pods: PodWatch, wait_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while True:
                changed, found = pods.change(name), _uid(pods.now(name))
                # Another one of that name is a later start's.
                if found is None or (uid is not None and found != uid):
                    return True
                await changed.wait()
    return False


def _uid(found: Pod | None) -> str | None:
    return found["metadata"].get("uid") if found else None


def _node(found: Pod | None) -> str | None:
    return (found.get("spec") or {}).get("nodeName") if found else None
