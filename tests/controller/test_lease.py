"""The lease among controllers: who waits is seen to be alive, and an end of the work is an end of the process."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes_asyncio.client import ApiException, V1Lease, V1LeaseSpec, V1ObjectMeta
from kubernetes_asyncio.leaderelection.leaderelectionrecord import LeaderElectionRecord

from kirzl_lab.controller import __main__ as controller


class ApiServer:
    """Keeps one lease, or is silent."""

    def __init__(self) -> None:
        self.lease = V1Lease(metadata=V1ObjectMeta(name=controller.LEASE), spec=V1LeaseSpec())
        self.silent = False

    async def read_namespaced_lease(self, name: str, namespace: str) -> V1Lease:
        await self._answer()
        return self.lease

    async def replace_namespaced_lease(self, name: str, namespace: str, body: V1Lease) -> None:
        await self._answer()
        self.lease = body

    async def _answer(self) -> None:
        if self.silent:
            await asyncio.Event().wait()


@pytest.fixture
def api_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ApiServer:
    server = ApiServer()
    monkeypatch.setattr(controller, "ALIVE", tmp_path / "alive")
    monkeypatch.setattr(controller, "REQUEST_S", 0.05)
    monkeypatch.setattr(controller, "RETRY_S", 1)
    monkeypatch.setattr(controller, "RENEW_S", 2)
    monkeypatch.setenv("KIRZL_LAB_NAMESPACE", "lab")
    monkeypatch.setattr("kubernetes_asyncio.client.CoordinationV1Api", lambda api_client: server)
    return server


async def test_one_that_waits_shows_that_it_is_alive(api_server: ApiServer) -> None:
    lease = controller.Lease(controller.LEASE, "lab", "second", SimpleNamespace())
    assert (await lease.get(controller.LEASE, "lab"))[0]
    assert controller.ALIVE.exists()
    controller.ALIVE.unlink()
    lease.waits = False
    assert (await lease.get(controller.LEASE, "lab"))[0]
    assert not controller.ALIVE.exists(), "the work of whoever has the lease shows that"


async def test_an_api_server_that_is_silent_refuses(api_server: ApiServer) -> None:
    lease = controller.Lease(controller.LEASE, "lab", "first", SimpleNamespace())
    now = "2026-11-24 08:30:01.000005"
    record = LeaderElectionRecord("first", "15", now, now)
    assert (await lease.get(controller.LEASE, "lab"))[0]
    assert await lease.update(controller.LEASE, "lab", record)
    api_server.silent = True
    there, error = await lease.get(controller.LEASE, "lab")
    assert not there
    assert isinstance(error, ApiException)
    assert not await lease.update(controller.LEASE, "lab", record)


async def test_work_that_breaks_ends_the_process_with_the_reason(
    api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(api: Any) -> None:
        raise RuntimeError("no graders")

    monkeypatch.setattr(controller, "_work", broken)
    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.timeout(10):
            await controller._lead()
    assert raised.group_contains(RuntimeError, match="no graders")


async def test_a_lost_lease_ends_the_work_before_the_process(
    api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = asyncio.Event()

    async def work(api: Any) -> None:
        api_server.silent = True
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(controller, "_work", work)
    async with asyncio.timeout(10):
        await controller._lead()
    assert ended.is_set()
