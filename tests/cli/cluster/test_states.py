"""How far the parts of the lab are, from what the API server says."""

from typing import Any

import pytest

from kirzl_lab.cli.cluster.pods import stuck
from kirzl_lab.cli.cluster.states import Part, parts

LABELS = {"app.kubernetes.io/component": "hub"}


def workload(**status: int) -> dict[str, Any]:
    fine = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
    return {
        "metadata": {"name": "hub", "labels": LABELS, "generation": 2},
        "spec": {"replicas": 1},
        "status": fine | status,
    }


def pod(container: dict[str, Any] | None = None, init: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    states = {
        "phase": "Pending",
        "containerStatuses": [{"name": "hub", "state": container}] if container else [],
        "initContainerStatuses": [{"name": "wait", **init}] if init else [],
    }
    return {"metadata": {"name": "hub-1", "labels": LABELS}, "status": states | status}


def job(created: str, **status: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/component": "prepare"}
    return {"metadata": {"name": created, "creationTimestamp": created, "labels": labels}, "status": status}


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({}, True),
        ({"observedGeneration": 1}, False),
        ({"readyReplicas": 0}, False),
        ({"updatedReplicas": 0}, False),
        ({"replicas": 2}, False),
    ],
)
def test_a_part_is_ready_when_its_new_pods_are_and_the_old_are_gone(status: dict[str, int], ready: bool) -> None:
    assert parts([workload(**status)], [], [])[0].ready is ready


@pytest.mark.parametrize(
    ("there", "doing"),
    [
        (pod({"waiting": {"reason": "ContainerCreating"}}), "image and volumes are fetched"),
        (pod({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}), "ImagePullBackOff: no such image"),
        (pod({"waiting": {"reason": "CreateContainerConfigError", "message": "secret gone"}}), "CreateContainerConfigError: secret gone"),
        (pod(init={"state": {"running": {"startedAt": "now"}}}), "its first step (wait) runs"),
        (pod(init={"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 3}}}), "wait ends again and again (exit code 3)"),
        (pod({"running": {}}, phase="Running"), "starts"),
        (pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]), "no node takes it: 0/1 nodes"),
    ],
)  # fmt: skip
def test_what_a_part_waits_for_is_said(there: dict[str, Any], doing: str) -> None:
    assert parts([workload(readyReplicas=0)], [], [there]) == [Part("hub", ready=False, doing=doing)]


def test_a_pod_that_ends_is_no_reason_to_wait() -> None:
    ending = pod({"waiting": {"reason": "ErrImagePull", "message": "gone"}})
    ending["metadata"]["deletionTimestamp"] = "now"
    assert parts([workload(readyReplicas=0)], [], [ending])[0].doing == "is made"
    assert stuck(ending) == "ErrImagePull: gone"


def test_the_newest_preparation_counts() -> None:
    old = job("2026-01-01", conditions=[{"type": "Failed", "status": "True"}])
    new = job("2026-01-02", succeeded=1)
    assert parts([], [old, new], []) == [Part("prepare", ready=True)]
    assert parts([], [new, job("2026-01-03", conditions=old["status"]["conditions"])], [])[0].failed
    assert not parts([], [job("2026-01-03")], [])[0].ready
