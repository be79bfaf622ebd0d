"""Pods of the lab: the one of a part, and short-lived ones of our own."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kirzl_lab.cli.cluster.connection import Cluster, RefusedError, Thing
from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.spawning.pod import CONTAINER_SECURITY, POD_SECURITY

COMPONENT = "app.kubernetes.io/component"
INSTANCE = "app.kubernetes.io/instance"
RELEASE = "lab"
"""Name of the Helm release; there is one lab in a namespace."""
OURS = "app.kubernetes.io/name=kirzl-lab"
HELPER = "kirzl-lab/helper"
"""Label of short-lived pods, by which one that a killed command left behind is found."""
LIFE_S = 3600
"""A short-lived pod ends by itself after so long, whatever became of the command that made it."""
START_S = 180
BETWEEN_S = 0.3
STUCK = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError"}
)
"""Reasons for which a container waits that do not pass by themselves."""


def pods_of(cluster: Cluster, component: str) -> list[Thing]:
    """The pods of a part of the lab, newest first."""
    found = cluster.items(cluster.at("pods"), f"{OURS},{COMPONENT}={component}")
    return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)


def ready_pod(cluster: Cluster, component: str) -> str:
    """The name of a pod of this part that is Ready. Raises `Stop`."""
    for pod in pods_of(cluster, component):
        if is_ready(pod) and "deletionTimestamp" not in pod["metadata"]:
            return str(pod["metadata"]["name"])
    raise Stop(
        Exit.CANNOT,
        f"No pod of {component} is ready in the namespace {cluster.namespace}: see `kubectl --context {cluster.context} "
        f"--namespace {cluster.namespace} get pods`.",
    )


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod gets requests."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def stuck(pod: Mapping[str, Any]) -> str | None:
    """Why the pod does not get on and will not by itself, or None."""
    status = pod.get("status", {})
    for each in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = each.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in STUCK:
            return f"{waiting['reason']}: {waiting.get('message', '').strip() or 'image ' + each.get('image', '')}"
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return f"no node takes it: {condition.get('message', '')}"
    return None


def until(condition: Callable[[], object], what: str, within_s: float) -> None:
    """Return as soon as the condition holds. Raises `Stop`."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            raise Stop(Exit.FELL_OVER, f"Waited {within_s:.0f} s for {what}.")
        time.sleep(BETWEEN_S)  # any condition can be waited for: none of them tells by itself


@contextmanager
def short_lived(
    cluster: Cluster,
    name: str,
    container: Mapping[str, Any],
    pod_spec: Mapping[str, Any],
    *,
    component: str = "helper",
) -> Iterator[str]:
    """A pod in which one container sleeps, for the time of a `with`; its name. Raises `Stop`.

    `container` says image, pull policy and what is mounted; it runs as `work`. `pod_spec` says volumes, pull secrets
    and placement. `component` decides what network policies let it reach. What a command that was killed left behind
    under the same name goes first.
    """
    label = f"{HELPER}={name}"
    for left in cluster.items(cluster.at("pods"), label):
        cluster.delete(cluster.at(f"pods/{left['metadata']['name']}"), grace_s=0)
    pod = _manifest(name, container, pod_spec, component)
    try:
        made = str(cluster.create(cluster.at("pods"), pod)["metadata"]["name"])
    except RefusedError as error:
        raise Stop(Exit.CANNOT, f"Kubernetes refuses a short-lived pod: {error.message}") from None
    try:
        _wait(cluster, made)
        yield made
    finally:
        cluster.delete(cluster.at(f"pods/{made}"), grace_s=0)


def _manifest(name: str, container: Mapping[str, Any], pod_spec: Mapping[str, Any], component: str) -> Thing:
    labels = {"app.kubernetes.io/name": "kirzl-lab", INSTANCE: RELEASE, COMPONENT: component, HELPER: name}
    work = {
        "name": "work",
        "command": ["sleep", str(LIFE_S)],
        "securityContext": dict(CONTAINER_SECURITY),
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        **container,
    }
    spec = {
        **pod_spec,
        "activeDeadlineSeconds": LIFE_S,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "securityContext": dict(POD_SECURITY),
        "containers": [work],
    }
    metadata = {"generateName": f"{name}-", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _wait(cluster: Cluster, name: str) -> None:
    def runs() -> bool:
        pod = cluster.get(cluster.at(f"pods/{name}"))
        if pod["status"]["phase"] in {"Failed", "Succeeded"}:
            raise Stop(Exit.FELL_OVER, f"The short-lived pod {name} ended at once: {pod['status'].get('message', '')}")
        why = stuck(pod)
        if why and not why.startswith("no node"):  # nodes and volumes take a moment
            raise Stop(Exit.FELL_OVER, f"The short-lived pod {name} does not start: {why}")
        return is_ready(pod)

    until(runs, f"the short-lived pod {name} to start", START_S)
