"""Kueue with tickets: Workload objects without a pod."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cluster.space import Space, eventually
from tools.onenode import api

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

_API = "kueue.x-k8s.io/v1beta2"
_GPU = "nvidia.com/gpu"


@pytest.fixture
def queue(space: Space) -> Iterator[str]:
    """A queue with two GPUs to lend, named as the namespace."""
    name = space.name
    flavour = {"apiVersion": _API, "kind": "ResourceFlavor", "metadata": {"name": name}}
    quota = {"name": name, "resources": [{"name": _GPU, "nominalQuota": 2}]}
    cluster_queue = {
        "apiVersion": _API,
        "kind": "ClusterQueue",
        "metadata": {"name": name},
        "spec": {
            "namespaceSelector": {},
            "queueingStrategy": "StrictFIFO",
            "resourceGroups": [{"coveredResources": [_GPU], "flavors": [quota]}],
        },
    }
    local = {"apiVersion": _API, "kind": "LocalQueue", "metadata": {"name": "walk-in"}, "spec": {"clusterQueue": name}}
    space.apply(flavour, cluster_queue, local)
    yield name
    space.kubectl("delete", "workloads", "--all")
    api.kubectl("delete", "clusterqueue,resourceflavor", name, "--wait=false")


def _ticket(name: str) -> dict[str, Any]:
    container = {"name": "unit", "image": "none", "resources": {"requests": {_GPU: "1"}, "limits": {_GPU: "1"}}}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": _API,
        "kind": "Workload",
        "metadata": {"name": name},
        "spec": {"queueName": "walk-in", "podSets": [{"name": "main", "count": 1, "template": template}]},
    }


def _admitted(space: Space) -> set[str]:
    found = space.kubectl("get", "workloads", "--output=json")
    items: list[Mapping[str, Any]] = json.loads(found)["items"]
    return {each["metadata"]["name"] for each in items if "status" in each and api.condition(each, "Admitted")}


def _positions(queue: str) -> dict[str, int]:
    path = f"/apis/visibility.kueue.x-k8s.io/v1beta2/clusterqueues/{queue}/pendingworkloads"
    pending = json.loads(api.kubectl("get", "--raw", path))["items"]
    return {each["metadata"]["name"]: each["positionInClusterQueue"] for each in pending}


def test_tickets_are_admitted_as_far_as_there_are_gpus_and_the_others_know_their_place(
    space: Space, queue: str
) -> None:
    for number in range(4):
        space.apply(_ticket(f"ticket-{number}"))
        seen = {f"ticket-{each}" for each in range(min(number + 1, 2))}
        eventually(lambda seen=seen: _admitted(space) == seen, "admission")  # type: ignore[misc]
        # Kueue orders by creation time, which Kubernetes keeps in whole seconds: two of one second have no order.
        made = datetime.fromisoformat(space.get("workload", f"ticket-{number}")["metadata"]["creationTimestamp"])
        eventually(lambda made=made: datetime.now(UTC) >= made + timedelta(seconds=1), "the next second")  # type: ignore[misc]
    eventually(lambda: _positions(queue) == {"ticket-2": 0, "ticket-3": 1}, "positions")

    space.kubectl("delete", "workload", "ticket-0")
    eventually(lambda: _admitted(space) == {"ticket-1", "ticket-2"}, "the next in line")
    assert _positions(queue) == {"ticket-3": 0}


def test_kueue_stands_in_nobodys_way(cluster: str) -> None:
    """No webhook for pods, deployments or stateful sets: a dead Kueue stops no server from starting."""
    watched = set()
    for kind in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"):
        for configuration in api.get(kind)["items"]:
            for webhook in configuration.get("webhooks", []):
                if not webhook.get("namespaceSelector") or webhook["failurePolicy"] == "Fail":
                    watched |= {resource for rule in webhook["rules"] for resource in rule["resources"]}
    assert not watched & {"pods", "deployments", "statefulsets", "*"}
