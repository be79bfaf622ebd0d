"""Which keys of an institution fit, and when they are fetched again."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, RSAKey

from kirzl_lab.federation.keys import FAILURE_FOR, GOOD_FOR, REFETCH_AFTER, KeyRing, usable_keys
from kirzl_lab.federation.refusals import Unreachable
from tests.federation.conftest import Clock


def jwk(key: Key, **changes: Any) -> dict[str, Any]:
    found = key.as_dict(private=False) | changes
    return {name: value for name, value in found.items() if value is not None}


def kids(*found: Any, algorithm: str = "RS256") -> list[str | None]:
    return [key.kid for key in usable_keys({"keys": list(found)}, algorithm)]


def test_keys_that_fit(keys: dict[str, Key]) -> None:
    rsa, ec, okp = (jwk(keys[name]) for name in ("uni", "ec", "okp"))
    assert kids(rsa, ec, okp) == ["uni-1"]
    assert kids(rsa, ec, okp, algorithm="ES256") == ["ec-1"]
    assert kids(rsa, ec, okp, algorithm="EdDSA") == ["okp-1"]
    assert kids(rsa, ec, okp, algorithm="ES384") == []
    assert kids(jwk(keys["uni"], use=None, kid=None)) == [None]
    assert kids(jwk(keys["uni"], alg="RS256", key_ops=["verify"])) == ["uni-1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"kty": "EC"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "made-up"},
        {"kty": None},
        {"alg": "RS512"},
        {"alg": "HS256"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"kid": 7},
        {"kid": ["uni-1"]},
        {"n": None},
        {"n": 5},
        {"n": "!!!"},
        {"n": "A" * 100_000},
        {"e": "AA"},
    ],
)
def test_keys_that_do_not_fit_are_ignored(keys: dict[str, Key], changes: dict[str, Any]) -> None:
    assert kids(jwk(keys["uni"], **changes), jwk(keys["other"])) == ["other-1"]


@pytest.mark.filterwarnings("ignore")
def test_small_rsa_keys_are_ignored(keys: dict[str, Key]) -> None:
    assert kids(jwk(RSAKey.generate_key(1024, {"kid": "small"}))) == []


def test_only_the_public_half_is_taken(keys: dict[str, Key]) -> None:
    (key,) = usable_keys({"keys": [keys["uni"].as_dict(private=True)]}, "RS256")
    assert not key.is_private


@pytest.mark.parametrize("found", [{}, {"keys": None}, {"keys": {}}, {"keys": [None, 1, "x", []]}])
def test_what_is_no_key_set(found: dict[str, Any]) -> None:
    assert usable_keys(found, "RS256") == ()


class Published:
    """An institution's key set that tests change, and count the looks at."""

    def __init__(self, *keys: Key) -> None:
        self.keys = list(keys)
        self.looks = 0
        self.away = False
        self.slow: asyncio.Event | None = None

    async def __call__(self) -> dict[str, Any]:
        self.looks += 1
        if self.slow is not None:
            await self.slow.wait()
        if self.away:
            raise Unreachable("away")
        return {"keys": [jwk(key) for key in self.keys]}


@pytest.fixture
def published() -> Published:
    return Published(ECKey.generate_key("P-256", {"kid": "first"}))


@pytest.fixture
def ring(published: Published, clock: Clock) -> KeyRing:
    return KeyRing(published, "ES256", clock)


async def test_keys_are_kept_for_an_hour(ring: KeyRing, published: Published, clock: Clock) -> None:
    for _ in range(3):
        assert [key.kid for key in await ring.keys()] == ["first"]
    assert published.looks == 1
    published.keys = [ECKey.generate_key("P-256", {"kid": "second"})]
    clock.now += GOOD_FOR
    assert [key.kid for key in await ring.keys()] == ["second"]


async def test_a_rotated_key_is_found(ring: KeyRing, published: Published, clock: Clock) -> None:
    await ring.keys()
    published.keys.append(ECKey.generate_key("P-256", {"kid": "second"}))
    clock.now += REFETCH_AFTER
    assert [key.kid for key in await ring.fresh_keys()] == ["first", "second"]


async def test_unknown_kids_do_not_have_them_fetched_more_often(
    ring: KeyRing, published: Published, clock: Clock
) -> None:
    await ring.keys()
    for _ in range(1000):
        clock.now += timedelta(seconds=0.05)
        await ring.fresh_keys()
    assert published.looks == 1 + 50 // REFETCH_AFTER.total_seconds()


async def test_logins_at_the_same_time_share_one_fetch(ring: KeyRing, published: Published) -> None:
    published.slow = asyncio.Event()
    waiting = [asyncio.ensure_future(ring.keys()) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    published.slow.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(keys == found[1] and keys for keys in found[1:])
    assert published.looks == 1


async def test_a_failure_is_remembered_for_a_moment(ring: KeyRing, published: Published, clock: Clock) -> None:
    published.away = True
    for _ in range(10):
        with pytest.raises(Unreachable):
            await ring.keys()
    assert published.looks == 1
    published.away = False
    clock.now += FAILURE_FOR
    assert await ring.keys()
    assert published.looks == 2


async def test_keys_that_are_known_are_good_while_newer_ones_cannot_be_had(
    ring: KeyRing, published: Published, clock: Clock
) -> None:
    known = await ring.keys()
    published.away = True
    clock.now += REFETCH_AFTER
    for _ in range(10):
        with pytest.raises(Unreachable):
            await ring.fresh_keys()
        assert await ring.keys() == known
    assert published.looks == 2
    clock.now += GOOD_FOR
    with pytest.raises(Unreachable):
        await ring.keys()
