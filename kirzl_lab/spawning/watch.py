"""The server pods of a namespace as the API server has them now, and a wake-up at every change.

KubeSpawner's own reflector keeps the pods; but whoever waits for one must look again and again, and after a minute
without an API server it gives up for good.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import aiohttp
from kubernetes_asyncio.client import ApiException
from kubespawner.clients import load_config
from kubespawner.spawner import KubeSpawner, PodReflector
from traitlets import Int, validate

from kirzl_lab.spawning.pod import SERVER_COMPONENT

Pod = Mapping[str, Any]

AWAY = (asyncio.TimeoutError, aiohttp.ClientError, ApiException, OSError)
"""What the client raises while the API server is away, or has no right answer."""

REMEMBERED = 1000
"""How many pods that are gone are kept for whoever asks how they ended."""


class PodWatch(PodReflector):
    """KubeSpawner's reflector of pods, with wake-ups, a memory of what is gone, and more endurance."""

    # KubeSpawner's list everything every ten seconds: 77 ms of the event loop at 2,000 pods.
    timeout_seconds = Int(20)
    restart_seconds = Int(45)
    # How long a connection that was cut without a word is believed.
    request_timeout = Int(30)

    def __init__(self, **kwargs: Any) -> None:
        self._changes: dict[str, asyncio.Event] = {}
        self._gone: OrderedDict[str, Pod] = OrderedDict()
        super().__init__(**kwargs)

    def now(self, name: str) -> Pod | None:
        """The pod of that name."""
        return self.resources.get(self._key(name))

    def all(self) -> list[Pod]:
        """Every server pod."""
        return list(self.resources.values())

    def change(self, name: str) -> asyncio.Event:
        """Set at the next change of that pod. Take it before you look, then nothing is missed."""
        return self._changes.setdefault(self._key(name), asyncio.Event())

    def last_seen(self, name: str) -> Pod | None:
        """What was last seen of a pod that is gone; told once."""
        return self._gone.pop(self._key(name), None)

    def forget(self, name: str) -> None:
        """Nobody will ask how an earlier pod of that name ended."""
        self._gone.pop(self._key(name), None)

    def _key(self, name: str) -> str:
        return f"{self.namespace}/{name}"

    @validate("resources")
    def _listed(self, proposal: Any) -> "_Resources":
        listed = proposal["value"]
        for key in self.resources.keys() - listed.keys():
            self._lost(key, self.resources[key])
        for key in list(self._changes):
            self._changed(key)
        return _Resources(self, listed)

    def _changed(self, key: str) -> None:
        event = self._changes.pop(key, None)
        if event is not None:
            event.set()

    def _lost(self, key: str, pod: Pod) -> None:
        self._gone[key] = pod
        while len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)

    async def _watch_and_update(self) -> None:
        while not self._stopping:  # it returns when it gives up
            await super()._watch_and_update()


class _Resources(dict[str, Any]):
    """What the reflector writes into; it knows no other way to be told of a change."""

    def __init__(self, watch: PodWatch, listed: Mapping[str, Any]) -> None:
        super().__init__(listed)
        self._watch = watch

    def __setitem__(self, key: str, pod: Any) -> None:
        super().__setitem__(key, pod)
        self._watch._changed(key)

    def pop(self, key: str, *default: Any) -> Any:
        pod = super().pop(key, *default)
        if pod is not None:
            self._watch._lost(key, pod)
        self._watch._changed(key)
        return pod


def connect() -> None:
    """Find the API server: the one of this pod, or of KUBECONFIG."""
    load_config(host="", ssl_ca_cert="", verify_ssl=None)


_starting = asyncio.Lock()


async def pods_of(namespace: str) -> PodWatch:
    """The watch of that namespace, started once; it is KubeSpawner's reflector as well. Raises what the API raises."""
    key = ("pods", namespace)
    async with _starting:
        found: PodWatch | None = KubeSpawner.reflectors.get(key)
        if found is None:
            connect()
            found = PodWatch(namespace=namespace, labels={"component": SERVER_COMPONENT})
            await found.start()
            KubeSpawner.reflectors[key] = found
    return found
