"""Why a server does not start, or ended: from a pod, its events and refusals of the API server to words. Pure.

Each trouble has a sentence for the person and a line for operators, which quotes Kubernetes. What may still mend itself
(a registry that hiccups, a node that is being freed) has a patience: how long it may last before the start gives up.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from kirzl_lab.problems import Phrase
from kirzl_lab.spawning import endings, last_words
from kirzl_lab.spawning.pod import CONTAINER, ORDINARY

Pod = Mapping[str, Any]
Event = Mapping[str, Any]


class Reason(StrEnum):
    """Why a start failed: a label of the hub's metrics."""

    FULL = "gpu"
    IMAGE = "image"
    ROOM = "room"
    VOLUME = "volume"
    EVICTED = "evicted"
    MEMORY = "memory"
    NODE = "node"
    REMOVED = "removed"
    SETUP = "setup"
    SERVER = "server"
    TIMEOUT = "timeout"
    QUOTA = "quota"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What stands in a server's way."""

    reason: Reason
    words: str
    """For the person (an English message id)."""
    operator: str
    """For the hub's log: what Kubernetes says."""
    status: int = 500
    """HTTP. Below 500 where nobody has to mend anything."""
    patience_s: float = 0.0


PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed"})
NO_SUCH_IMAGE = frozenset({"ErrImageNeverPull", "InvalidImageName", "ImageInspectError", "ErrImageInspect"})
NOT_CREATED = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "PreCreateHookError",
        "PreStartHookError",
    }
)
NO_PROGRAM = frozenset({"StartError", "ContainerCannotRun"})

PATIENCE_S: Mapping[Reason, float] = {
    # A unit that was freed this moment may not be known to the scheduler yet.
    Reason.FULL: 3,
    # The kubelet tries again after ten seconds.
    Reason.IMAGE: 15,
    Reason.ROOM: 20,
    Reason.VOLUME: 60,
    Reason.SETUP: 5,
}

DISRUPTIONS: Mapping[str, tuple[Reason, str]] = {
    # Reasons of the condition DisruptionTarget (Kubernetes, "Pod disruption conditions").
    "EvictionByEvictionAPI": (Reason.EVICTED, endings.DRAINED),
    "DeletionByTaintManager": (Reason.NODE, endings.NODE_LOST),
    "DeletionByPodGC": (Reason.NODE, endings.NODE_LOST),
    "TerminationByKubelet": (Reason.EVICTED, endings.EVICTED),
    "PreemptionByScheduler": (Reason.EVICTED, endings.DRAINED),
}
REFUSED_BY_NODE = ("OutOf", "UnexpectedAdmissionError", "NodeAffinity", "TopologyAffinityError", "Preempting")
VOLUME_WORDS = ("volume", "pvc(s)", "free storage", "available disk")
"""In lower case, of what the scheduler says of volumes (its plugins volumebinding, volumerestrictions, volumezone)."""
BINDING = "binding volumes"
"""Of what it says once it has waited in vain for a volume to be made for a pod that has its place."""
NO_PLACE_YET = frozenset({"WaitForFirstConsumer", "WaitForPodScheduled"})
"""Events of a claim whose volume is made once its pod has a place."""
TRUST_THE_AUTOSCALER = frozenset({"TriggeredScaleUp"})
SHUTDOWN = frozenset({"NodeShutdown", "Terminated", "Shutdown"})


def at_start(pod: Pod) -> Trouble | None:
    """What keeps this pod from running, if anything."""
    ended = at_end(pod)
    if ended is not None and ended.reason is Reason.SERVER:
        printed = str((terminated(pod) or {}).get("message") or "").strip()
        return replace(ended, words=endings.NOT_STARTED, operator=f"{ended.operator}\n{printed}".strip())
    return ended or _unscheduled(pod) or _waiting(pod)


def too_late(pod: Pod | None, events: Iterable[Event], unbound: Mapping[str, Sequence[Event]]) -> Trouble:
    """What to say of a start whose time is over; `unbound` are its claims without a volume, with their events.

    The scheduler says nothing of a pod that waits for its volume to be made: the claim's events do.
    """
    if pod is not None and (known := at_start(pod)):
        return known
    for claim, told in unbound.items():
        if told and told[-1].get("reason") not in NO_PLACE_YET:
            return Trouble(Reason.VOLUME, endings.NO_VOLUME, f"{claim} has no volume: {_last(told)}")
    warnings = [event for event in events if event.get("type") == "Warning"]
    lines = _last(warnings)
    if any(event.get("reason") in ("FailedMount", "FailedAttachVolume") for event in warnings):
        return Trouble(Reason.VOLUME, endings.NO_VOLUME, lines)
    return Trouble(Reason.TIMEOUT, endings.NOT_READY, lines or "it did not answer in time", status=504)


def _last(events: Sequence[Event]) -> str:
    return "; ".join(f"{event.get('reason')}: {event.get('message')}" for event in events[-3:])


def waits_for_a_node(events: Iterable[Event]) -> bool:
    """Whether an autoscaler is making a node for the pod: then no room is not the last word."""
    return any(event.get("reason") in TRUST_THE_AUTOSCALER for event in events)


def at_end(pod: Pod, *, gone: bool = False) -> Trouble | None:
    """Why a pod that ran, or should run, has ended or is ending; None while it has not.

    With `gone`, the pod is there no more, and `pod` is what was last seen of it.
    """
    status = pod.get("status") or {}
    over = status.get("phase") in ("Failed", "Succeeded")
    deleted = gone or bool(pod["metadata"].get("deletionTimestamp"))
    ended = terminated(pod)
    if not (over or deleted or ended):
        return None
    return _ended_by_node(status) or _ended_by_size(status, ended) or _ended_otherwise(status, ended, deleted)


def _ended_by_node(status: Mapping[str, Any]) -> Trouble | None:
    if status.get("reason") == "Evicted":
        return Trouble(Reason.EVICTED, endings.EVICTED, _said(status))
    # Before the conditions: a node that shuts down sets the one of a node that is short of something.
    if status.get("reason") in SHUTDOWN:
        return Trouble(Reason.EVICTED, endings.DRAINED, _said(status))
    for condition in status.get("conditions") or []:
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            reason, words = DISRUPTIONS.get(str(condition.get("reason")), (Reason.REMOVED, endings.REMOVED))
            return Trouble(reason, words, f"{condition.get('reason')}: {condition.get('message')}")
    if status.get("reason") == "NodeLost":
        return Trouble(Reason.NODE, endings.NODE_LOST, _said(status))
    return None


def _ended_by_size(status: Mapping[str, Any], ended: Mapping[str, Any] | None) -> Trouble | None:
    # containerd keeps the reason from the first kernel that was killed, hours before the server's own good end.
    if ended and ended.get("reason") == "OOMKilled" and ended.get("exitCode") != 0:
        return Trouble(Reason.MEMORY, endings.OUT_OF_MEMORY, "OOMKilled", status=400)
    if status.get("phase") == "Failed" and str(status.get("reason") or "").startswith(REFUSED_BY_NODE):
        return Trouble(Reason.ROOM, endings.NO_ROOM, _said(status), status=409)
    return None


def _ended_otherwise(status: Mapping[str, Any], ended: Mapping[str, Any] | None, deleted: bool) -> Trouble:
    if deleted:
        return Trouble(Reason.REMOVED, endings.REMOVED, f"the pod was deleted ({_said(status)})")
    if ended and ended.get("reason") in NO_PROGRAM:
        return Trouble(Reason.SETUP, endings.NOT_SET_UP, f"{ended.get('reason')}: {ended.get('message')}")
    code = (ended or {}).get("exitCode")
    return Trouble(Reason.SERVER, endings.ENDED_ITSELF, f"it ended with status {code} ({_said(status)})")


def last_end(pod: Pod | None, *, gone: bool = False) -> Phrase | None:
    """Why a server ended that nobody stopped, for the person; None where there is nothing to tell."""
    if pod is None:
        return Phrase(endings.REMOVED)
    ended = terminated(pod)
    if ended and (idle := last_words.why(str(ended.get("message") or ""))):
        return idle
    trouble = at_end(pod, gone=gone)
    if trouble is None or (trouble.reason is Reason.SERVER and ended and ended.get("exitCode") == 0):
        return None  # shut down from within
    return Phrase(trouble.words)


def exit_status(pod: Pod | None) -> int:
    """The exit status of a pod that ended; 1 where nobody knows."""
    ended = terminated(pod) if pod else None
    return int(ended.get("exitCode", 1)) if ended else 1


def terminated(pod: Pod) -> Mapping[str, Any] | None:
    """How the server's container ended, if it has."""
    found: Mapping[str, Any] | None = _state(pod).get("terminated")
    return found


def is_running(pod: Pod) -> bool:
    """Whether the server's container runs."""
    return "running" in _state(pod)


def of_refusal(status: int, message: str) -> Trouble:
    """What the API server's refusal of a pod or volume means."""
    if status == 403 and "exceeded quota" in message:
        return Trouble(Reason.QUOTA, endings.QUOTA, message, status=409)
    return Trouble(Reason.SETUP, endings.NOT_SET_UP, f"the API server refused it with {status}: {message}")


def _said(status: Mapping[str, Any]) -> str:
    return f"{status.get('reason') or status.get('phase')}: {status.get('message') or 'no message'}"


def _unscheduled(pod: Pod) -> Trouble | None:
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("type") != "PodScheduled":
            continue
        message = str(condition.get("message") or "")
        if condition.get("reason") == "SchedulerError" and BINDING in message:
            return _no_volume(message)
        if condition.get("reason") == "Unschedulable":
            if any(f"Insufficient {resource}" in message for resource in _devices(pod)):
                return Trouble(Reason.FULL, endings.NO_ROOM, message, 409, PATIENCE_S[Reason.FULL])
            if any(word in message.lower() for word in VOLUME_WORDS):
                return _no_volume(message)
            return Trouble(Reason.ROOM, endings.NO_ROOM, message, 409, PATIENCE_S[Reason.ROOM])
    return None


def _no_volume(message: str) -> Trouble:
    return Trouble(Reason.VOLUME, endings.NO_VOLUME, message, patience_s=PATIENCE_S[Reason.VOLUME])


def _devices(pod: Pod) -> set[str]:
    """The resources that the pod asks for besides those that every pod does."""
    limits = [(each.get("resources") or {}).get("limits") or {} for each in pod["spec"].get("containers") or []]
    return {name for each in limits for name in each} - ORDINARY


def _waiting(pod: Pod) -> Trouble | None:
    waiting = _state(pod).get("waiting") or {}
    what = waiting.get("reason")
    said = f"{what}: {waiting.get('message') or 'no message'}"
    if what in PULLING:
        return Trouble(Reason.IMAGE, endings.NO_IMAGE, said, patience_s=PATIENCE_S[Reason.IMAGE])
    if what in NO_SUCH_IMAGE:
        return Trouble(Reason.IMAGE, endings.NO_IMAGE, said)
    if what in NOT_CREATED:
        return Trouble(Reason.SETUP, endings.NOT_SET_UP, said, patience_s=PATIENCE_S[Reason.SETUP])
    return None


def _state(pod: Pod) -> Mapping[str, Any]:
    for container in (pod.get("status") or {}).get("containerStatuses") or []:
        if container.get("name") == CONTAINER:
            state: Mapping[str, Any] = container.get("state") or {}
            return state
    return {}
