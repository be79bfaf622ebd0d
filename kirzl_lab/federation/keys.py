"""The keys with which an institution signs: which of them fit, and when they are fetched again."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from kirzl_lab.federation.asking import Shared
from kirzl_lab.federation.refusals import Unreachable

GOOD_FOR = timedelta(hours=1)
FAILURE_FOR = timedelta(seconds=5)
"""How long a failure is remembered, so that a burst of logins does not become a burst of requests."""
REFETCH_AFTER = timedelta(seconds=30)
"""How old keys must be before an unknown `kid` has them fetched again: nobody can make us ask more often."""

MOST_KEYS = 50
SMALLEST_RSA_BITS = 2048
LARGEST_RSA_BITS = 8192

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}
_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_CLASSES: dict[str, type[Key]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


def usable_keys(found: Mapping[str, Any], algorithm: str) -> tuple[Key, ...]:
    """The keys of a JWK set (RFC 7517) that may verify signatures by `algorithm`; the others are ignored.

    Ignored are keys of another type or curve, for another use or algorithm, that are broken, and RSA keys of less
    than 2048 bits. Only their public members are looked at.
    """
    listed = found.get("keys")
    if not isinstance(listed, list):
        return ()
    keys = (_usable(key, algorithm) for key in listed[:MOST_KEYS] if isinstance(key, dict))
    return tuple(key for key in keys if key is not None)


def _usable(found: Mapping[str, Any], algorithm: str) -> Key | None:
    kind = {"ES": "EC", "Ed": "OKP"}.get(algorithm[:2], "RSA")
    operations = found.get("key_ops", ["verify"])
    fits = (
        found.get("kty") == kind
        and found.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and found.get("alg", algorithm) == algorithm
        and found.get("crv") == _CURVES.get(algorithm)
        and isinstance(found.get("kid", ""), str)
    )
    members: dict[str, Any] = {name: found.get(name) for name in _MEMBERS[kind]}
    if not fits or not all(isinstance(value, str) and len(value) <= 1500 for value in members.values()):
        return None
    try:
        named = {"kid": found["kid"]} if "kid" in found else {}
        key = _CLASSES[kind].import_key({"kty": kind, **members, **named})
        bits = key.public_key.key_size if isinstance(key, RSAKey) else SMALLEST_RSA_BITS
    except (JoseError, ValueError, TypeError):
        return None
    return key if SMALLEST_RSA_BITS <= bits <= LARGEST_RSA_BITS else None


class KeyRing:
    """The keys of one institution, fetched when they are needed and kept for an hour."""

    def __init__(
        self, fetch: Callable[[], Awaitable[Mapping[str, Any]]], algorithm: str, clock: Callable[[], datetime]
    ) -> None:
        """`fetch` gives the institution's JWK set, or raises `Unreachable`."""
        self._fetch_set = fetch
        self._algorithm = algorithm
        self._clock = clock
        self._shared = Shared(self._fetch)
        self._keys: tuple[Key, ...] = ()
        self._at: datetime | None = None
        self._failure: tuple[datetime, Unreachable] | None = None

    async def keys(self) -> tuple[Key, ...]:
        """The keys. Raises `Unreachable` when they are not known, or too old, and cannot be had."""
        return await self._not_older_than(GOOD_FOR)

    async def fresh_keys(self) -> tuple[Key, ...]:
        """The keys, fetched again unless that was done a moment ago: for a token signed with an unknown one."""
        return await self._not_older_than(REFETCH_AFTER)

    async def _not_older_than(self, age: timedelta) -> tuple[Key, ...]:
        now = self._clock()
        if self._at is not None and now - self._at < age:
            return self._keys
        if self._failure is not None and now - self._failure[0] < FAILURE_FOR:
            raise self._failure[1].with_traceback(None)
        return await self._shared.get()

    async def _fetch(self) -> tuple[Key, ...]:
        try:
            self._keys = usable_keys(await self._fetch_set(), self._algorithm)
        except Unreachable as failure:
            self._failure = (self._clock(), failure)
            raise
        self._at, self._failure = self._clock(), None
        return self._keys
