"""How far each part of the lab is, from what the API server says about it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kirzl_lab.cli.cluster.pods import COMPONENT, is_ready, stuck

ORDER = ("postgres", "prepare", "proxy", "hub", "service", "tasks", "controller", "egress", "demo-institutions")
TITLES = {"postgres": "database", "prepare": "catalogue and database", "service": "lab service", "egress": "egress proxy",
          "tasks": "task endpoint", "demo-institutions": "demo institutions"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the lab and how far it is."""

    name: str
    ready: bool
    doing: str = ""
    """What it waits for, in a few words."""
    failed: bool = False
    """It did not work out and will not by itself."""

    @property
    def title(self) -> str:
        """The part as people call it."""
        return TITLES.get(self.name, self.name)


def parts(
    workloads: Sequence[Mapping[str, Any]], jobs: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]
) -> list[Part]:
    """Every part: Deployments and StatefulSets, and the newest Job that prepares."""
    found = [_workload(each, _of(pods, each)) for each in workloads]
    newest = sorted(jobs, key=lambda job: str(job["metadata"]["creationTimestamp"]))[-1:]
    found += [_job(job, _of(pods, job)) for job in newest]
    return sorted(found, key=lambda part: ORDER.index(part.name) if part.name in ORDER else len(ORDER))


def _of(pods: Sequence[Mapping[str, Any]], thing: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    component = _component(thing)
    return [pod for pod in pods if _component(pod) == component and "deletionTimestamp" not in pod["metadata"]]


def _component(thing: Mapping[str, Any]) -> str:
    return str((thing["metadata"].get("labels") or {}).get(COMPONENT, thing["metadata"]["name"]))


def _workload(thing: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> Part:
    status, wanted = thing.get("status", {}), thing["spec"].get("replicas", 1)
    seen = status.get("observedGeneration", 0) >= thing["metadata"]["generation"]
    updated = status.get("updatedReplicas", 0) >= wanted and status.get("readyReplicas", 0) >= wanted
    # Old pods that still end count as replicas until they are gone.
    alone = status.get("replicas", 0) <= wanted
    if seen and updated and alone:
        return Part(_component(thing), ready=True)
    why = next((found for pod in pods if (found := stuck(pod))), None)
    return Part(_component(thing), ready=False, doing=why or _doing(pods))


def _job(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> Part:
    conditions = {each["type"] for each in job.get("status", {}).get("conditions", []) if each["status"] == "True"}
    if "Complete" in conditions or job.get("status", {}).get("succeeded"):
        return Part("prepare", ready=True)
    if "Failed" in conditions:
        return Part("prepare", ready=False, doing="failed", failed=True)
    why = next((found for pod in pods if (found := stuck(pod))), None)
    return Part("prepare", ready=False, doing=why or _doing(pods))


def _doing(pods: Sequence[Mapping[str, Any]]) -> str:
    waiting = [pod for pod in pods if not is_ready(pod)]
    if not waiting:
        return "is made"
    status = waiting[0].get("status", {})
    states = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    for each in states:
        reason = (each.get("state", {}).get("waiting") or {}).get("reason", "")
        if reason == "CrashLoopBackOff":
            ended = (each.get("lastState", {}).get("terminated") or {}).get("exitCode", "?")
            return f"{each['name']} ends again and again (exit code {ended})"
    for each in status.get("initContainerStatuses", []):
        if each.get("state", {}).get("running"):
            return f"its first step ({each['name']}) runs"
    if any(each.get("state", {}).get("running") for each in status.get("containerStatuses", [])):
        return "starts"
    return "image and volumes are fetched" if status.get("phase") == "Pending" else "starts"
