"""Where an institution's endpoints are, and what is not believed about them."""

import asyncio
from typing import Any

import pytest

from kirzl_lab.federation.discovery import FAILURE_FOR, GOOD_FOR, Discovery, read_document
from kirzl_lab.federation.refusals import Unreachable
from tests.federation.conftest import Clock

ISSUER = "https://login.uni.example/oidc"
GOOD: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/jwks",
}


def test_what_it_need_not_say() -> None:
    document = read_document(ISSUER, GOOD)
    assert document.token_endpoint == f"{ISSUER}/token"
    assert document.userinfo_endpoint is None
    assert document.end_session_endpoint is None
    assert document.client_authentication == ("client_secret_basic",)
    assert not document.sends_iss


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": f"{ISSUER}/"},
        {"issuer": "https://login.uas.example/oidc"},
        {"issuer": None},
        {"issuer": [ISSUER]},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "http://login.uni.example/token"},
        {"token_endpoint": ["https://login.uni.example/token"]},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "http://169.254.169.254/latest"},
        {"userinfo_endpoint": "http://login.uni.example/userinfo"},
        {"end_session_endpoint": "javascript:alert(1)"},
    ],
)
def test_what_it_may_not_say(changes: dict[str, Any]) -> None:
    with pytest.raises(Unreachable):
        read_document(ISSUER, GOOD | changes)


class Site:
    """Answers with a document, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.document = GOOD
        self.away = False
        self.slow: asyncio.Event | None = None

    async def __call__(self, url: str) -> dict[str, Any]:
        self.asked.append(url)
        if self.slow is not None:
            await self.slow.wait()
        if self.away:
            raise Unreachable("away")
        return self.document


@pytest.mark.parametrize("issuer", [ISSUER, ISSUER + "/"])
async def test_the_address_of_the_document(issuer: str, clock: Clock) -> None:
    site = Site()
    site.document = GOOD | {"issuer": issuer}
    await Discovery(issuer, site, clock).document()
    assert site.asked == [f"{ISSUER}/.well-known/openid-configuration"]


async def test_it_is_kept_for_an_hour(clock: Clock) -> None:
    site = Site()
    discovery = Discovery(ISSUER, site, clock)
    assert discovery.known is None
    assert await discovery.document() == await discovery.document() == discovery.known
    assert len(site.asked) == 1
    clock.now += GOOD_FOR
    await discovery.document()
    assert len(site.asked) == 2


async def test_a_failure_is_kept_for_seconds(clock: Clock) -> None:
    site = Site()
    site.away = True
    discovery = Discovery(ISSUER, site, clock)
    for _ in range(10):
        with pytest.raises(Unreachable):
            await discovery.document()
    assert len(site.asked) == 1
    site.away = False
    clock.now += FAILURE_FOR
    assert await discovery.document()


async def test_many_at_once_ask_once(clock: Clock) -> None:
    site = Site()
    site.slow = asyncio.Event()
    discovery = Discovery(ISSUER, site, clock)
    waiting = [asyncio.ensure_future(discovery.document()) for _ in range(50)]
    await asyncio.sleep(0)
    site.slow.set()
    assert len(set(await asyncio.gather(*waiting))) == 1
    assert len(site.asked) == 1
