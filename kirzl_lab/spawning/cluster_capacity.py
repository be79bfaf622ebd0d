"""What a cluster has at this moment, for decisions and for starts: `capacity` with the nodes and pods of now."""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from kubespawner.clients import shared_client

from kirzl_lab.catalog.models import Flavour, Size
from kirzl_lab.problems import SizeFull
from kirzl_lab.spawning import capacity, pod, watch
from kirzl_lab.spawning.capacity import Availability, Servers
from kirzl_lab.spawning.choice import Choice, size_full

FRESH_S = 10.0
"""How old what we know of the nodes may be. They change rarely, and what they hold is known from the pods at once."""

PATIENCE_S = 1.0
"""How long a page waits for the API server; then it says what was known before."""

log = logging.getLogger(__name__)


class ClusterCapacity:
    """The units of one cluster, as the hub in `namespace` sees them."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._nodes: list[capacity.Object] | None = None
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self._starting: dict[str, Flavour] = {}

    async def now(
        self, sizes: Mapping[str, Size], flavours: Mapping[str, Flavour], leaving_out: str = ""
    ) -> Availability:
        """What can be had by whoever has, or would have, the pod of that name. Nothing is refused on a guess."""
        if not any(size.gpu for size in sizes.values()):
            return Availability()
        pods = await self._look()
        if self._nodes is None or pods is None:
            return Availability()
        return capacity.availability(sizes, flavours, self._nodes, Servers(pods, self._starting, leaving_out))

    async def hold(self, choice: Choice, pod_name: str) -> None:
        """Take a unit for a start, until `release`. Raises `SizeFull` when there is none any more."""
        if choice.flavour is None:
            return
        pods = await self._look()
        # From here to the end nobody else runs: two starts cannot take the same unit.
        if self._nodes is not None and pods is not None:
            found = capacity.units(choice.flavour, self._nodes, Servers(pods, self._starting, pod_name))
            if found.total and found.full:
                raise size_full(choice, found.total)
        self._starting[pod_name] = choice.flavour

    def release(self, pod_name: str) -> None:
        """The start is over: its pod counts from now on, or there is none."""
        self._starting.pop(pod_name, None)

    async def full(self, choice: Choice) -> SizeFull:
        """What to say when the scheduler found no unit after all: others than the lab's servers hold them."""
        await self._look()
        flavour = choice.flavour
        total = capacity.units(flavour, self._nodes or [], Servers()).total if flavour else 0
        return size_full(choice, total)

    async def is_too_large(self, choice: Choice) -> bool:
        """Whether no node could ever have what the choice's size guarantees, as far as is known."""
        if await self._look() is None or self._nodes is None:
            return False
        cpus, memory = pod.guarantees_of(choice.size)
        return capacity.is_too_large({"cpu": cpus, "memory": memory}, choice.flavour, self._nodes)

    async def is_lost(self, node: str | None) -> bool:
        """Whether that node does not answer the cluster any more, as far as is known at this moment."""
        return await self._look() is not None and self._nodes is not None and capacity.is_lost(node, self._nodes)

    async def _look(self) -> list[capacity.Object] | None:
        """The server pods of now, with nodes that are fresh where the API server answers."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                if time.monotonic() - self._asked_at > FRESH_S:
                    async with self._asking:
                        await self._refresh()
                return (await watch.pods_of(self.namespace)).all()
        except Exception as error:
            log.warning("The nodes and pods of the cluster could not be read: %r", error)
            return None

    async def _refresh(self) -> None:
        if time.monotonic() - self._asked_at <= FRESH_S:
            return  # somebody else did while this one waited
        self._asked_at = time.monotonic()
        watch.connect()
        answer = await shared_client("CoreV1Api").list_node(resource_version="0", _preload_content=False)
        answer.raise_for_status()
        found: dict[str, Any] = json.loads(await answer.read())
        self._nodes = found["items"]


@cache
def capacity_of(namespace: str) -> ClusterCapacity:
    """The one memory of units in this process: decisions and starts must share it."""
    return ClusterCapacity(namespace)
