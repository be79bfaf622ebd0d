"""An API server in memory: what `ClusterApi` asks of it, and the watch that tells of every change.

`tests/cluster/test_spawner.py` runs the same spawner against the real one.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from kubernetes_asyncio.client import ApiException

from kirzl_lab.spawning.watch import PodWatch

Change = Callable[[dict[str, Any]], None]


def refusal(status: int, message: str = "") -> ApiException:
    error = ApiException(status=status, reason="refused")
    error.body = json.dumps({"message": message})
    return error


class FakeWatch(PodWatch):
    """The real watch without a connection."""

    def __init__(self, namespace: str) -> None:
        from unittest.mock import patch

        with patch("kubespawner.reflector.shared_client"):
            super().__init__(namespace=namespace, labels={})
        self.resources = {}


class FakeCluster:
    """Pods and claims by name. `on_create` is what a kubelet would do with a new pod."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.watch = FakeWatch(namespace)
        self.claims: dict[str, Mapping[str, Any]] = {}
        self.claim_statuses: dict[str, Mapping[str, Any]] = {}
        self.deleted: list[tuple[str, int]] = []
        self.events: list[dict[str, Any]] = []
        self.on_create: Change = lambda _pod: None
        self.on_delete: Callable[[str], bool] = lambda _name: True
        self.broken: BaseException | None = None
        self._uids = count(1)
        self.made = asyncio.Event()
        """Set once there is a pod."""
        self.api_client: Any = None

    # -- what the client has -------------------------------------------------------------------------------------

    async def create_namespaced_pod(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        self._answer()
        assert namespace == self.namespace
        name = manifest["metadata"]["name"]
        if self.watch.now(name):
            raise refusal(409)
        made = json.loads(json.dumps(manifest))
        made["metadata"] |= {"namespace": namespace, "uid": f"uid-{next(self._uids)}"}
        made["status"] = {"phase": "Pending"}
        self.on_create(made)
        self.put(made)
        self.made.set()

    async def delete_namespaced_pod(
        self, name: str, _namespace: str, *, grace_period_seconds: int, body: Mapping[str, Any] | None = None
    ) -> None:
        self._answer()
        found = self.watch.now(name)
        if not found:
            raise refusal(404)
        if body is not None and body["preconditions"]["uid"] != found["metadata"]["uid"]:
            raise refusal(409)
        self.deleted.append((name, grace_period_seconds))
        if self.on_delete(name):
            self.remove(name)

    async def read_namespaced_pod(self, name: str, _namespace: str) -> Mapping[str, Any]:
        self._answer()
        found = self.watch.now(name)
        if found is None:
            raise refusal(404)
        return found

    async def create_namespaced_persistent_volume_claim(self, _namespace: str, claim: Mapping[str, Any]) -> None:
        self._answer()
        if claim["metadata"]["name"] in self.claims:
            raise refusal(409)
        self.claim_statuses.setdefault(claim["metadata"]["name"], {"phase": "Bound"})
        self.claims[claim["metadata"]["name"]] = claim

    async def read_namespaced_persistent_volume_claim(self, name: str, _namespace: str, **_more: Any) -> "Answer":
        self._answer()
        if name not in self.claims:
            raise refusal(404)
        return Answer({**self.claims[name], "status": self.claim_statuses[name]})

    async def list_namespaced_event(self, _namespace: str, *, field_selector: str, **_more: Any) -> "Answer":
        self._answer()
        kind, name = (part.partition("=")[2] for part in field_selector.split(","))
        return Answer({"items": [event for event in self.events if event.get("of", ("Pod", name)) == (kind, name)]})

    def _answer(self) -> None:
        if self.broken is not None:
            raise self.broken

    # -- what happens in the cluster -----------------------------------------------------------------------------

    def put(self, pod: Mapping[str, Any]) -> None:
        self.watch.resources[f"{self.namespace}/{pod['metadata']['name']}"] = pod

    def change(self, name: str, change: Change) -> None:
        pod = json.loads(json.dumps(self.watch.now(name)))
        change(pod)
        self.put(pod)

    def remove(self, name: str) -> None:
        self.watch.resources.pop(f"{self.namespace}/{name}", None)


class Answer:
    """What the client gives where it is told not to make objects of it."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content

    def raise_for_status(self) -> None:
        pass

    async def read(self) -> str:
        return json.dumps(self._content)


def runs(pod: dict[str, Any]) -> None:
    pod["status"] = {
        "phase": "Running",
        "podIP": "10.244.0.7",
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "PodReadyToStartContainers", "status": "True"},
        ],
        "containerStatuses": [{"name": "notebook", "state": {"running": {}}}],
    }


def ends(code: int, reason: str = "Error", message: str = "") -> Change:
    def change(pod: dict[str, Any]) -> None:
        state = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
        pod["status"] = {"phase": "Failed" if code else "Succeeded"} | {
            "containerStatuses": [{"name": "notebook", "state": state}]
        }

    return change


def waits(reason: str) -> Change:
    def change(pod: dict[str, Any]) -> None:
        pod["status"] = {
            "phase": "Pending",
            "containerStatuses": [{"name": "notebook", "state": {"waiting": {"reason": reason}}}],
        }

    return change
