"""The hub's answers, good and bad."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from kirzl_lab.problems import HubAway, ServerNotRunning
from kirzl_lab.service.hub import LIMIT_S, PAGE, Hub, TokenOwner
from tests.service.fake_hub import API, OWN_TOKEN, FakeHub


def hub_that_says(status: int, content: bytes) -> Hub:
    transport = httpx.MockTransport(lambda _request: httpx.Response(status, content=content))
    return Hub(httpx.AsyncClient(transport=transport), API, OWN_TOKEN)


@pytest.mark.parametrize(("status", "content"), [(200, b"<html>"), (200, b"[1]"), (302, b""), (502, b""), (429, b"{}")])
async def test_nonsense_is_a_hub_that_is_away(status: int, content: bytes) -> None:
    hub = hub_that_says(status, content)
    for question in (hub.owner("token"), hub.servers("student1"), hub.active()):
        with pytest.raises(HubAway):
            await question


async def test_everybody_who_has_something_running_page_by_page() -> None:
    fake = FakeHub()
    for number in range(2 * PAGE + 1):
        fake.start(f"person-{number:03d}", "ml-101")
    fake.start("person-000", "dl-201", ready=False, pending="stop")
    fake.servers["nobody"] = {}
    found = await Hub(httpx.AsyncClient(transport=fake.transport()), API, OWN_TOKEN).active()
    assert sorted(found) == [f"person-{number:03d}" for number in range(2 * PAGE + 1)]
    assert [(server.name, server.pending) for server in found["person-000"]] == [("dl-201", "stop"), ("ml-101", None)]
    assert len(fake.calls) == 3


async def test_a_hub_that_drips_is_away() -> None:
    """Each byte comes in time, so that a limit for each of them would never end the question."""
    dripped: list[bytes] = []

    class Drip(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                await asyncio.sleep(0.01)
                dripped.append(b" ")
                yield b" "

    transport = httpx.MockTransport(lambda _request: httpx.Response(200, stream=Drip()))
    hub = Hub(httpx.AsyncClient(transport=transport), API, OWN_TOKEN)
    async with asyncio.timeout(LIMIT_S + 5):
        reachable, owner = await asyncio.gather(hub.reachable(), hub.owner("token"), return_exceptions=True)
    assert reachable is False
    assert isinstance(owner, HubAway)
    assert isinstance(owner.__cause__, TimeoutError)
    assert len(dripped) > 2


async def test_names_stay_inside_their_path() -> None:
    fake = FakeHub()
    fake.start("student1", "x")
    hub = Hub(httpx.AsyncClient(transport=fake.transport()), API, OWN_TOKEN)
    assert await hub.servers("../../services") == []
    with pytest.raises(ServerNotRunning):
        await hub.stop("student1", "../../tokens/a1")
    assert fake.servers["student1"].keys() == {"x"}


@pytest.mark.parametrize(
    ("scopes", "may", "is_servers"),
    [
        ({"access:services!service=lab"}, True, False),
        ({"access:services"}, True, False),
        ({"access:services!service=lab2"}, False, False),
        ({"access:services!service=lab", "access:servers!server=student1/ml-101"}, True, True),
        ({"access:services!service=lab", "access:servers!server=assistant/ml-101"}, True, False),  # shared with them
        ({"access:services", "access:servers!user=student1", "access:servers!server=student1/x"}, True, False),
    ],
)
def test_what_scopes_mean(scopes: set[str], may: bool, is_servers: bool) -> None:
    owner = TokenOwner("student1", frozenset(scopes))
    assert owner.may_use_service("lab") is may
    assert owner.is_servers is is_servers
