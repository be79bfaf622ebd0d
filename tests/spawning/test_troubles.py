"""From what Kubernetes says of a pod to words: statuses and events as clusters give them."""

from typing import Any

import pytest

from kirzl_lab.problems import Phrase
from kirzl_lab.spawning import endings, last_words, troubles
from kirzl_lab.spawning.troubles import Reason

GPU = "nvidia.com/mig-1g.10gb"


def a_pod(state: dict[str, Any] | None = None, *, deleted: bool = False, **status: Any) -> dict[str, Any]:
    """A server's pod with that state of its container and that status."""
    status = {"phase": "Pending"} | status
    if state is not None:
        status["containerStatuses"] = [{"name": "sidecar", "state": {}}, {"name": "notebook", "state": state}]
    return {
        "metadata": {"name": "server-x"} | ({"deletionTimestamp": "2026-11-24T12:00:00Z"} if deleted else {}),
        "spec": {"containers": [{"resources": {"limits": {"cpu": "1", "memory": "2Gi", GPU: "1"}}}]},
        "status": status,
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def terminated(code: int, reason: str = "Error", **more: str) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, **more}}


def unschedulable(message: str) -> list[dict[str, Any]]:
    return [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]


def disrupted(reason: str) -> list[dict[str, Any]]:
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "said so"}]


def event(reason: str, kind: str = "Warning") -> dict[str, Any]:
    return {"type": kind, "reason": reason, "message": f"{reason} it is"}


RUNNING = a_pod({"running": {"startedAt": "x"}}, phase="Running", podIP="10.244.0.7")
WELL = {
    "not seen by the scheduler": a_pod(),
    "being placed": a_pod(conditions=[{"type": "PodScheduled", "status": "True"}]),
    "held back": a_pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]),
    "volume and image on their way": a_pod(waiting("ContainerCreating")),
    "running": RUNNING,
    "a disruption that has not come": a_pod({"running": {}}, phase="Running", conditions=disrupted("X")),
    "an error of the scheduler, which tries again": a_pod(
        conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulerError", "message": "conflict"}]
    ),
    "without a status": {"metadata": {"name": "x"}, "spec": {}},
}

NOT_BOUND = [
    # pkg/scheduler/framework/plugins of Kubernetes 1.37: volumebinding/volume_binding.go
    "pod has unbound immediate PersistentVolumeClaims",
    'persistentvolumeclaim "home-x" not found',
    # volumebinding/binder.go
    "2 node(s) didn't find available persistent volumes to bind",
    "1 node(s) didn't match PersistentVolume's node affinity, 1 Insufficient cpu",
    "2 node(s) did not have enough free storage",
    "2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
    # volumerestrictions/volume_restrictions.go
    "2 node(s) had no available disk",
    "2 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
    # volumezone/volume_zone.go, nodevolumelimits/csi.go
    "2 node(s) had no available volume zone",
    "2 node(s) exceed max volume count",
]

AT_START = [
    (a_pod(waiting("ErrImageNeverPull", 'Container image "x" is not present')), Reason.IMAGE, "NO_IMAGE", 0),
    (a_pod(waiting("InvalidImageName", "couldn't parse image name")), Reason.IMAGE, "NO_IMAGE", 0),
    (a_pod(waiting("ErrImagePull", "429 Too Many Requests")), Reason.IMAGE, "NO_IMAGE", 15),
    (a_pod(waiting("ImagePullBackOff", "Back-off pulling image")), Reason.IMAGE, "NO_IMAGE", 15),
    (a_pod(waiting("CreateContainerConfigError", 'secret "x" not found')), Reason.SETUP, "NOT_SET_UP", 5),
    (a_pod(waiting("CreateContainerError", "context deadline exceeded")), Reason.SETUP, "NOT_SET_UP", 5),
    (
        a_pod(conditions=unschedulable(f"0/3 nodes are available: 3 Insufficient {GPU}.")),
        Reason.FULL,
        "NO_ROOM",
        3,
    ),
    (a_pod(conditions=unschedulable("0/3 nodes are available: 3 Insufficient memory.")), Reason.ROOM, "NO_ROOM", 20),
    (
        a_pod(
            conditions=unschedulable("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.")
        ),
        Reason.ROOM,
        "NO_ROOM",
        20,
    ),
    (
        a_pod(
            conditions=[
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "SchedulerError",
                    "message": 'running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded',
                }
            ]
        ),
        Reason.VOLUME,
        "NO_VOLUME",
        60,
    ),
    *(
        (a_pod(conditions=unschedulable(f"0/2 nodes are available: {said}.")), Reason.VOLUME, "NO_VOLUME", 60)
        for said in NOT_BOUND
    ),
    (a_pod(terminated(137, "OOMKilled"), phase="Failed"), Reason.MEMORY, "OUT_OF_MEMORY", 0),
    (
        a_pod(terminated(128, "StartError", message='exec: "jupyterhub-singleuser": not found'), phase="Failed"),
        Reason.SETUP,
        "NOT_SET_UP",
        0,
    ),
    (a_pod(terminated(1, message="ImportError: x"), phase="Failed"), Reason.SERVER, "NOT_STARTED", 0),
    (a_pod(terminated(0, "Completed"), phase="Succeeded"), Reason.SERVER, "NOT_STARTED", 0),
    (a_pod(terminated(1), phase="Running"), Reason.SERVER, "NOT_STARTED", 0),
    (a_pod(phase="Failed", reason="OutOfcpu", message="Node didn't have enough"), Reason.ROOM, "NO_ROOM", 0),
    (a_pod(phase="Failed", reason="UnexpectedAdmissionError", message=GPU), Reason.ROOM, "NO_ROOM", 0),
    (a_pod(phase="Failed", reason="Evicted", message="low on resource: memory"), Reason.EVICTED, "EVICTED", 0),
    (a_pod(phase="Failed", reason="Terminated", message="node shutdown"), Reason.EVICTED, "DRAINED", 0),
    (a_pod(deleted=True), Reason.REMOVED, "REMOVED", 0),
    (a_pod(deleted=True, conditions=disrupted("EvictionByEvictionAPI")), Reason.EVICTED, "DRAINED", 0),
    (a_pod(deleted=True, conditions=disrupted("DeletionByTaintManager")), Reason.NODE, "NODE_LOST", 0),
    (a_pod(deleted=True, reason="NodeLost"), Reason.NODE, "NODE_LOST", 0),
]


@pytest.mark.parametrize("what", WELL)
def test_no_trouble_is_seen_where_there_is_none(what: str) -> None:
    assert troubles.at_start(WELL[what]) is None
    assert troubles.at_end(WELL[what]) is None


@pytest.mark.parametrize(("pod", "reason", "words", "patience_s"), AT_START)
def test_why_a_pod_does_not_start(pod: dict[str, Any], reason: Reason, words: str, patience_s: float) -> None:
    trouble = troubles.at_start(pod)
    assert trouble is not None
    assert (trouble.reason, trouble.words, trouble.patience_s) == (reason, getattr(endings, words), patience_s)
    said = [*_messages(pod["status"])]
    assert not said or any(message in trouble.operator for message in said), "operators get Kubernetes' own words"


def _messages(status: dict[str, Any]) -> list[str]:
    states = [each["state"] for each in status.get("containerStatuses", [])]
    parts = [*status.get("conditions", []), *(part for state in states for part in state.values()), status]
    return [part["message"] for part in parts if part.get("message")]


SHUT_DOWN = {
    # pkg/kubelet/nodeshutdown/nodeshutdown_manager.go
    "reason": "Terminated",
    "message": "Pod was terminated in response to imminent node shutdown.",
    "conditions": disrupted("TerminationByKubelet"),
}

AT_END = [
    (a_pod(terminated(137), phase="Failed", **SHUT_DOWN), endings.DRAINED),
    (a_pod({"running": {}}, phase="Running", deleted=True, **SHUT_DOWN), endings.DRAINED),
    # The kubelet's eviction manager names its reason, its preemption for a part of the cluster has another.
    (
        a_pod(terminated(137), phase="Failed", reason="Evicted", conditions=disrupted("TerminationByKubelet")),
        endings.EVICTED,
    ),
    # containerd says OOMKilled after any process in the container that was, however it ended.
    (
        a_pod(terminated(137, "OOMKilled"), deleted=True, conditions=disrupted("EvictionByEvictionAPI")),
        endings.DRAINED,
    ),
    (a_pod(terminated(0, "OOMKilled"), phase="Succeeded", deleted=True), endings.REMOVED),
    (a_pod(terminated(137, "OOMKilled"), phase="Failed", **SHUT_DOWN), endings.DRAINED),
    (a_pod(terminated(137, "OOMKilled"), phase="Failed"), endings.OUT_OF_MEMORY),
    (a_pod(terminated(137), phase="Failed"), endings.ENDED_ITSELF),
    (a_pod(terminated(137), deleted=True, conditions=disrupted("EvictionByEvictionAPI")), endings.DRAINED),
    (a_pod(terminated(137), deleted=True, conditions=disrupted("DeletionByTaintManager")), endings.NODE_LOST),
    (
        a_pod(phase="Failed", reason="Evicted", message="The node was low on resource: ephemeral-storage"),
        endings.EVICTED,
    ),
    (a_pod(terminated(0), phase="Succeeded", deleted=True), endings.REMOVED),
    (None, endings.REMOVED),
]


@pytest.mark.parametrize(("pod", "words"), AT_END)
def test_why_a_server_ended(pod: dict[str, Any] | None, words: str) -> None:
    assert troubles.last_end(pod) == Phrase(words)


def test_a_server_that_was_shut_down_from_within_is_not_told_about() -> None:
    for reason in ("Completed", "OOMKilled"):  # the latter once a kernel of it was
        assert troubles.last_end(a_pod(terminated(0, reason), phase="Succeeded")) is None


def test_an_idle_server_says_so_itself() -> None:
    ended = a_pod(terminated(0, "Completed", message="idle 2"), phase="Succeeded")
    assert troubles.last_end(ended) == Phrase(last_words.IDLE_HOURS, {"hours": 2})


def test_what_was_last_seen_of_a_pod_that_is_gone_counts() -> None:
    assert troubles.at_end(RUNNING) is None
    assert troubles.last_end(RUNNING, gone=True) == Phrase(endings.REMOVED)
    drained = a_pod({"running": {}}, phase="Running", conditions=disrupted("EvictionByEvictionAPI"))
    assert troubles.last_end(drained, gone=True) == Phrase(endings.DRAINED)


@pytest.mark.parametrize(
    ("pod", "status"), [(None, 1), (RUNNING, 1), (a_pod(terminated(137)), 137), (a_pod(terminated(0)), 0)]
)
def test_the_exit_status(pod: dict[str, Any] | None, status: int) -> None:
    assert troubles.exit_status(pod) == status


def test_when_the_time_is_over_the_best_known_reason_is_told() -> None:
    creating = a_pod(waiting("ContainerCreating"))
    mount = troubles.too_late(creating, [event("Scheduled", "Normal"), event("FailedMount")], {})
    assert (mount.reason, mount.words, mount.status) == (Reason.VOLUME, endings.NO_VOLUME, 500)
    assert "FailedMount it is" in mount.operator
    pulling = troubles.too_late(a_pod(waiting("ImagePullBackOff", "x")), [], {"home-x": [event("ProvisioningFailed")]})
    assert pulling.reason is Reason.IMAGE
    for pod in (creating, None):
        nothing = troubles.too_late(pod, [event("Pulling", "Normal")], {})
        assert (nothing.reason, nothing.words, nothing.status) == (Reason.TIMEOUT, endings.NOT_READY, 504)


@pytest.mark.parametrize("pod", [a_pod(), None])
@pytest.mark.parametrize("last", [event("ProvisioningFailed"), event("ExternalProvisioning", "Normal")])
def test_a_volume_that_nobody_makes_is_told_by_its_claim_alone(
    pod: dict[str, Any] | None, last: dict[str, Any]
) -> None:
    told = [event("WaitForFirstConsumer", "Normal"), last]
    trouble = troubles.too_late(pod, [], {"home-x": told})
    assert (trouble.reason, trouble.words, trouble.status) == (Reason.VOLUME, endings.NO_VOLUME, 500)
    assert "home-x" in trouble.operator
    assert last["message"] in trouble.operator


@pytest.mark.parametrize("told", [[], [event("ProvisioningFailed"), event("WaitForPodScheduled", "Normal")]])
def test_a_claim_of_a_pod_without_a_place_waits_with_it(told: list[dict[str, Any]]) -> None:
    assert troubles.too_late(a_pod(), [], {"home-x": told}).reason is Reason.TIMEOUT


def test_a_node_that_is_being_made_is_waited_for() -> None:
    assert troubles.waits_for_a_node([event("FailedScheduling"), event("TriggeredScaleUp", "Normal")])
    assert not troubles.waits_for_a_node([event("FailedScheduling"), event("NotTriggerScaleUp", "Normal")])


def test_refusals_of_the_api_server() -> None:
    quota = troubles.of_refusal(403, 'pods "x" is forbidden: exceeded quota: people')
    assert (quota.reason, quota.status) == (Reason.QUOTA, 409)
    for status, message in ((403, 'violates PodSecurity "restricted:latest"'), (422, "Invalid value")):
        refused = troubles.of_refusal(status, message)
        assert (refused.reason, refused.words) == (Reason.SETUP, endings.NOT_SET_UP)
        assert message in refused.operator
