"""Forged requests to the REST API: each is refused, nothing of it is kept, and the pod is the one that the lab decides."""

import json
from typing import Any

import pytest

from tests.cluster.lab.conftest import LogIn
from tests.cluster.lab.lab import ClusterLab, Thing
from tests.support.people import Person

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

GOOD = {"space": "ml-101", "purpose": "work", "size": "cpu-small"}
FORGED: dict[str, dict[str, Any]] = {
    "a size of another space": {**GOOD, "size": "gpu-full"},
    "a size that is none": {**GOOD, "size": {"cpus": 64, "memory_gib": 512}},
    "somebody else's space": {**GOOD, "space": "dl-201"},
    "a space that is none": {**GOOD, "space": "kube-system"},
    "a path as space": {**GOOD, "space": "../course--ml-101"},
    "the lecturer's view": {**GOOD, "purpose": "preview"},
    "an image": {**GOOD, "image": "evil/image:latest"},
    "a profile with an image": {"profile": "custom", "image--unlisted-choice": "evil/image:latest"},
    "a volume": {**GOOD, "volumes": [{"name": "x", "persistentVolumeClaim": {"claimName": "course--ml-101"}}]},
    "a path of the node": {**GOOD, "volumes": [{"name": "x", "hostPath": {"path": "/"}}]},
    "a mount": {**GOOD, "volume_mounts": [{"name": "course", "mountPath": "/x"}]},
    "a resource": {**GOOD, "extra_resource_limits": {"nvidia.com/gpu": "1"}},
    "memory": {**GOOD, "mem_limit": "512G"},
    "a node": {**GOOD, "node_selector": {"kubernetes.io/hostname": "gpu-node"}},
    "a pod": {**GOOD, "extra_pod_config": {"hostNetwork": True}},
    "a service account": {**GOOD, "service_account": "hub"},
    "a toleration": {**GOOD, "tolerations": [{"operator": "Exists"}]},
    "a container before it": {**GOOD, "init_containers": [{"name": "x", "image": "evil/image:latest"}]},
    "a RuntimeClass": {**GOOD, "runtime_class_name": "nvidia"},
    "labels": {**GOOD, "extra_labels": {"kirzl-lab/network": "internet"}},
}


def test_what_is_forged_is_refused_and_changes_nothing(cluster_lab: ClusterLab, person: LogIn) -> None:
    student = person("uni", "student3")
    path = f"/users/{student.hub_name}/servers/ml-101"
    cluster_lab.open(student, "ml-101", "cpu-small")
    started = cluster_lab.server_pod(student.hub_name)
    decided = essence(started)
    # While it runs.
    for case, options in FORGED.items():
        refused(student, "POST", path, options, case)
        refused(student, "PATCH", path, options, case)
    running = cluster_lab.server_pod(student.hub_name)
    assert (running["metadata"]["uid"], essence(running)) == (started["metadata"]["uid"], decided)
    assert (student.server("ml-101") or {})["user_options"] == GOOD
    cluster_lab.close(student, "ml-101")
    # While it is stopped, and under a new name.
    for case, options in FORGED.items():
        for method in ("POST", "PUT", "PATCH"):
            refused(student, method, path, options, case)
            refused(student, method, path.replace("ml-101", "other"), options, case)
    refused(student, "POST", path.replace("ml-101", "other"), GOOD, "a second name for the same space")
    assert student.api("PATCH", path, json={"name": "other"}).status_code == 400
    servers = student.api("GET", f"/users/{student.hub_name}?include_stopped_servers").json()["servers"]
    # There may be a row for the default server, which nobody can start; nothing that was asked for is in it.
    assert servers.pop("", {"user_options": {}})["user_options"] == {}
    assert {name: server["user_options"] for name, server in servers.items()} == {"ml-101": GOOD}
    assert cluster_lab.server_pods(student.hub_name) == []
    # What is stored starts the same pod again.
    assert student.api("POST", path).status_code in (201, 202)
    cluster_lab.opened(student, "ml-101")
    assert essence(cluster_lab.server_pod(student.hub_name)) == decided


def refused(student: Person, method: str, path: str, options: object, case: str) -> None:
    answer = student.api(method, path, json={"user_options": options})
    # PATCH of a server that is not there: 404, as JupyterHub has it.
    assert 400 <= answer.status_code < 500, f"{method} {case}: {answer.status_code} {answer.text}"
    assert answer.json()["message"], f"{method} {case}"


def essence(pod: Thing) -> str:
    """The pod without what differs from start to start: secrets in variables, and what the node filled in."""
    spec = json.loads(json.dumps(pod["spec"]))
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        container["env"] = sorted(variable["name"] for variable in container.get("env", []))
    labels = {name: value for name, value in pod["metadata"]["labels"].items() if not name.startswith("pod-template")}
    return json.dumps([spec, labels], sort_keys=True, indent=1)
