"""What the hub asks of the API server for one server: volumes, a pod, its events. Thin, and patient with an API server
that is away for a moment."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

import aiohttp
from kubernetes_asyncio.client import ApiException

from kirzl_lab.spawning import endings, troubles
from kirzl_lab.spawning.troubles import Reason, Trouble

T = TypeVar("T")

REQUEST_S = 5.0
"""How long one request may take."""

PATIENCE_S = 20.0
"""How long a request is tried again while the API server is away."""

AGAIN_S = 0.5
"""Between two tries."""

AWAY = (asyncio.TimeoutError, aiohttp.ClientError, OSError)
BUSY = frozenset({429, 500, 502, 503, 504})


class TroubleError(Exception):
    """Something stands in the way of a server."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.operator)
        self.trouble = trouble


class ClusterApi:
    """Pods and volumes of one namespace. Everything raises `TroubleError` for what cannot be mended by waiting."""

    def __init__(self, api: Any, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def ensure_claims(self, claims: Iterable[Mapping[str, Any]]) -> None:
        """Make the volume claims that are not there; the others stay as they are."""
        await asyncio.gather(*(self._ensure_claim(claim) for claim in claims))

    async def _ensure_claim(self, claim: Mapping[str, Any]) -> None:
        try:
            await _patiently(lambda: self._api.create_namespaced_persistent_volume_claim(self._namespace, claim))
        except ApiException as error:
            if error.status == 409:
                return
            # A quota is looked at before the name: the claim may be there all the same.
            if error.status == 403 and await self._has_claim(claim["metadata"]["name"]):
                return
            raise TroubleError(troubles.of_refusal(error.status, _message(error))) from error

    async def _has_claim(self, name: str) -> bool:
        try:
            await _patiently(lambda: self._api.read_namespaced_persistent_volume_claim(name, self._namespace))
        except ApiException:
            return False
        return True

    async def create_pod(self, manifest: Mapping[str, Any]) -> bool:
        """Make the pod; False when there is one of that name."""
        try:
            await _patiently(lambda: self._api.create_namespaced_pod(self._namespace, manifest))
        except ApiException as error:
            if error.status == 409:
                return False
            raise TroubleError(troubles.of_refusal(error.status, _message(error))) from error
        return True

    async def delete_pod(self, name: str, grace_s: int, uid: str | None = None) -> None:
        """Have the pod ended; nothing happens when there is none, or with `uid` when it is another one by now."""
        only = {"body": {"preconditions": {"uid": uid}}} if uid else {}
        try:
            await _patiently(
                lambda: self._api.delete_namespaced_pod(name, self._namespace, grace_period_seconds=grace_s, **only)
            )
        except ApiException as error:
            if error.status not in (404, 409):
                raise TroubleError(troubles.of_refusal(error.status, _message(error))) from error

    async def has_pod(self, name: str) -> bool:
        """Whether there is a pod of that name, asked of the API server itself."""
        try:
            await _patiently(lambda: self._api.read_namespaced_pod(name, self._namespace))
        except ApiException as error:
            if error.status == 404:
                return False
            raise TroubleError(troubles.of_refusal(error.status, _message(error))) from error
        return True

    async def events(self, name: str, kind: str = "Pod") -> list[troubles.Event]:
        """What Kubernetes said about that pod, or what else it is; oldest first; nothing when that cannot be had."""
        selector = f"involvedObject.kind={kind},involvedObject.name={name}"
        try:
            async with asyncio.timeout(REQUEST_S):
                answer = await self._api.list_namespaced_event(
                    self._namespace, field_selector=selector, _preload_content=False
                )
                answer.raise_for_status()
                found: list[troubles.Event] = json.loads(await answer.read())["items"]
        except AWAY:
            return []
        return sorted(found, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime")))

    async def unbound(self, claims: Iterable[str]) -> dict[str, list[troubles.Event]]:
        """Those of the volume claims that have no volume yet, with what Kubernetes said about each."""
        waiting = [name for name in claims if (await self._claim(name)).get("phase") == "Pending"]
        return {name: await self.events(name, "PersistentVolumeClaim") for name in waiting}

    async def _claim(self, name: str) -> Mapping[str, Any]:
        """The status of a claim; nothing when that cannot be had."""
        try:
            async with asyncio.timeout(REQUEST_S):
                answer = await self._api.read_namespaced_persistent_volume_claim(
                    name, self._namespace, _preload_content=False
                )
                answer.raise_for_status()
                status: Mapping[str, Any] = json.loads(await answer.read()).get("status") or {}
        except AWAY:
            return {}
        return status


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    async with asyncio.timeout(REQUEST_S):
                        return await call()
                except AWAY:
                    pass
                except ApiException as error:
                    if error.status not in BUSY:
                        raise
                await asyncio.sleep(AGAIN_S)
    except TimeoutError as error:
        away = Trouble(Reason.CLUSTER, endings.CLUSTER_AWAY, "the API server does not answer", status=503)
        raise TroubleError(away) from error


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
