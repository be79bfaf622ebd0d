"""The cluster that a command works on: a context of the kubeconfig, and a namespace. JSON goes in and comes out.

What Kubernetes refuses is a `RefusedError`; that it cannot be reached at all ends the command with a `Stop`.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from kirzl_lab.cli.exits import Exit, Stop

try:
    from kubernetes import client, config
    from kubernetes.stream import stream
    from urllib3.exceptions import HTTPError
except ImportError:  # `pip install kirzl-lab` without the extra
    raise Stop(
        Exit.CANNOT, "The Kubernetes client is not installed: pip install 'kirzl-lab[cluster]', or `make env` in the lab's folder."
    ) from None  # fmt: skip

Thing = dict[str, Any]
T = TypeVar("T")
TIMEOUT_S = (5, 30)
MERGE_PATCH = "application/merge-patch+json"


class RefusedError(Exception):
    """The API server said no: `status` of HTTP and its `message`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Cluster:
    """One namespace of one cluster, reached as kubectl reaches it."""

    def __init__(self, context: str | None, namespace: str, kubeconfig: Path | None = None) -> None:
        """`context` None is the current one; `kubeconfig` None is $KUBECONFIG or ~/.kube/config. Raises `Stop`."""
        self.namespace = namespace
        self.kubeconfig = kubeconfig
        file = str(kubeconfig) if kubeconfig else None
        try:
            known, current = config.list_kube_config_contexts(file)
            self.context = context or current["name"]
            if self.context not in [each["name"] for each in known]:
                there = ", ".join(sorted(each["name"] for each in known))
                raise Stop(Exit.CANNOT, f"Your kubeconfig has no context {self.context}. It has: {there}.")
            self.api = config.new_client_from_config(file, self.context)
        except config.ConfigException as error:
            raise Stop(
                Exit.CANNOT, f"The kubeconfig cannot be used ({error}): name another one in KUBECONFIG."
            ) from None
        self.api.configuration.retries = False

    def at(self, rest: str, group: str = "v1") -> str:
        """The path of something in the namespace, such as `pods/hub`, in the API group `v1` or `apps/v1`."""
        root = "api" if group == "v1" else "apis"
        return f"/{root}/{group}/namespaces/{self.namespace}/{rest}"

    def get(self, path: str, **query: str) -> Thing:
        """The object or list at the path. Raises `RefusedError`."""
        found: Thing = json.loads(self._request("GET", path, query=query))
        return found

    def find(self, path: str) -> Thing | None:
        """The object at the path, None when there is none, or when nobody may look."""
        try:
            return self.get(path)
        except RefusedError as error:
            if error.status in {403, 404}:
                return None
            raise

    def items(self, path: str, selector: str = "") -> list[Thing]:
        """What is in the list at the path; `selector` chooses by labels."""
        found: list[Thing] = self.get(path, **({"labelSelector": selector} if selector else {}))["items"]
        return found

    def items_if_allowed(self, path: str) -> list[Thing] | None:
        """What is in the list at the path, None when nobody may look or there is no such list."""
        try:
            return self.items(path)
        except RefusedError as error:
            if error.status in {403, 404}:
                return None
            raise

    def create(self, path: str, thing: Mapping[str, Any]) -> Thing:
        """Make an object in the list at the path; what the API server made of it. Raises `RefusedError`."""
        made: Thing = json.loads(self._request("POST", path, thing))
        return made

    def patch(self, path: str, change: Mapping[str, Any]) -> None:
        """Change an object (JSON merge patch). Raises `RefusedError`."""
        self._request("PATCH", path, change, content_type=MERGE_PATCH)

    def scale(self, deployment: str, replicas: int) -> None:
        """Say how many pods a Deployment has, as `kubectl scale` does: Helm does not mind that. Raises `RefusedError`."""
        self.patch(self.at(f"deployments/{deployment}/scale", "apps/v1"), {"spec": {"replicas": replicas}})

    def delete(self, path: str, grace_s: int | None = None) -> bool:
        """Have an object removed; False when there is none. Raises `RefusedError`."""
        query = {} if grace_s is None else {"gracePeriodSeconds": str(grace_s)}
        try:
            self._request("DELETE", path, query=query)
        except RefusedError as error:
            if error.status == 404:
                return False
            raise
        return True

    def text(self, path: str, **query: str) -> str:
        """What is at the path and no JSON, such as a pod's log. Raises `RefusedError`."""
        return self._request("GET", path, query=query).decode(errors="replace")

    def open_exec(self, pod: str, container: str, command: Sequence[str], *, stdin: bool) -> Any:
        """A connection to a command that begins in a container, in the client's words (`WSClient`)."""

        def connect() -> Any:
            return stream(
                client.CoreV1Api(self.api).connect_get_namespaced_pod_exec,
                pod,
                self.namespace,
                container=container,
                command=list(command),
                stdin=stdin,
                stdout=True,
                stderr=True,
                _preload_content=False,
                binary=True,
            )

        return self._reached(connect)

    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        def call() -> bytes:
            serialized = self.api.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json, */*", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = self.api.call_api(*serialized, _request_timeout=TIMEOUT_S)
            content = bytes(answer.read())
            if not 200 <= answer.status < 300:
                raise RefusedError(answer.status, _message(content) or f"{method} {path}: HTTP {answer.status}")
            return content

        return self._reached(call)

    def _reached(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except client.ApiException as error:
            if not error.status:  # of websockets: no answer, or one that is no 101
                raise RefusedError(0, str(error.reason)) from None
            raise RefusedError(error.status, _message(error.body) or str(error.reason)) from None
        except (HTTPError, OSError) as error:
            where = self.api.configuration.host
            reason = str(error).rpartition(": ")[2] or type(error).__name__
            raise Stop(
                Exit.CANNOT, f"The cluster of context {self.context} does not answer at {where}: {reason}"
            ) from None


def _message(body: bytes | str | None) -> str:
    try:
        return str(json.loads(body or b"")["message"])
    except (ValueError, KeyError, TypeError):
        return ""


def environment_for_helm(cluster: Cluster) -> dict[str, str]:
    """The environment in which helm reaches the same cluster."""
    return {**os.environ, **({"KUBECONFIG": str(cluster.kubeconfig)} if cluster.kubeconfig else {})}
