"""Whether an ID token is to be believed. Pure: a token, keys and a moment in, its claims or a refusal out.

The checks are those of OpenID Connect Core 1.0, section 3.1.3.7, with the algorithm pinned to the one that the
catalogue names for the institution, so that neither `none` nor an HMAC keyed with a public key is ever tried.
"""

import base64
import binascii
import hashlib
import hmac
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key

from kirzl_lab.federation.refusals import Reason, Refused
from kirzl_lab.federation.strict_json import read_object

LEEWAY_S = 60
"""How far the clocks of an institution and of the lab may be apart."""

LONGEST_TOKEN = 64 * 1024
"""In characters. What is longer is refused before anything in it is read."""

_SUBJECT = re.compile(r"[\x20-\x7e]{1,255}")
"""OpenID Connect Core 1.0, section 2: at most 255 ASCII characters. Unprintable ones would only serve to deceive."""

_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512, "DSA": hashlib.sha512}
"""By the last three characters of the algorithm; Ed25519 hashes with SHA-512."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the token of one login must say."""

    issuer: str
    client_id: str
    algorithm: str
    nonce: str | None
    """None after a refresh, where an ID token need not carry one (Core 1.0, section 12.2)."""
    access_token: str | None = None
    """What `at_hash` is checked against, when the token has one."""


class _Registry(jws.JWSRegistry):
    max_header_length = 8 * 1024  # a certificate chain (x5c) may be in it; it is never used
    max_payload_length = LONGEST_TOKEN


def verify_id_token(token: object, keys: Sequence[Key], expectation: Expectation, now: datetime) -> dict[str, Any]:
    """The claims of `token`, every one of which its issuer signed.

    `keys` are the institution's, already limited to those that fit its algorithm (`keys.usable_keys`). Raises
    `Refused`; its reason is `UNKNOWN_KEY` when fetching the keys again may help.
    """
    if not isinstance(token, str):
        raise Refused(Reason.NO_ID_TOKEN)
    if len(token) > LONGEST_TOKEN:
        raise Refused(Reason.TOO_LARGE)
    header, payload = _parts(token)
    if header.get("alg") != expectation.algorithm:
        raise Refused(Reason.ALGORITHM)
    if "crit" in header or "b64" in header:
        raise Refused(Reason.MALFORMED)
    _check_signature(token, _key_for(header.get("kid"), "kid" in header, keys), expectation.algorithm)
    claims = _object(payload)
    _check_issuer_and_audience(claims, expectation)
    _check_times(claims, now.timestamp())
    if expectation.nonce is not None and not _same(claims.get("nonce"), expectation.nonce):
        raise Refused(Reason.NONCE)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        raise Refused(Reason.SUBJECT)
    _check_access_token(claims, expectation)
    return claims


def _parts(token: str) -> tuple[dict[str, Any], bytes]:
    if token.count(".") != 2 or not token.isascii():
        raise Refused(Reason.MALFORMED)
    header, payload, _signature = token.split(".")
    return _object(_decoded(header)), _decoded(payload)


def _decoded(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise Refused(Reason.MALFORMED) from None


def _object(text: bytes) -> dict[str, Any]:
    try:
        return read_object(text)
    except ValueError:
        raise Refused(Reason.MALFORMED) from None


def _key_for(kid: object, named: bool, keys: Sequence[Key]) -> Key:
    """The one key that the header means. Keys in the header itself (`jwk`, `jku`, `x5c`) are never looked at."""
    fitting = [key for key in keys if key.kid == kid] if named else list(keys)
    if len(fitting) != 1:
        raise Refused(Reason.UNKNOWN_KEY)
    return fitting[0]


def _check_signature(token: str, key: Key, algorithm: str) -> None:
    registry = _Registry(algorithms=[algorithm], strict_check_header=False)
    try:
        jws.deserialize_compact(token, key, algorithms=[algorithm], registry=registry)
    except (JoseError, ValueError, TypeError):
        raise Refused(Reason.SIGNATURE) from None


def _check_issuer_and_audience(claims: Mapping[str, Any], expectation: Expectation) -> None:
    if not _same(claims.get("iss"), expectation.issuer):
        raise Refused(Reason.ISSUER)
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or not all(isinstance(one, str) for one in audiences):
        raise Refused(Reason.AUDIENCE)
    if expectation.client_id not in audiences:
        raise Refused(Reason.AUDIENCE)
    party = claims.get("azp")
    if (party is not None or len(audiences) > 1) and party != expectation.client_id:
        raise Refused(Reason.AUTHORIZED_PARTY)


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires, issued = _moment(claims, "exp"), _moment(claims, "iat")
    if expires is None or issued is None:
        raise Refused(Reason.TIMES)
    if now >= expires + LEEWAY_S:
        raise Refused(Reason.EXPIRED)
    if max(issued, _moment(claims, "nbf") or issued) > now + LEEWAY_S:
        raise Refused(Reason.NOT_YET_VALID)


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    """Seconds since 1970; None when the claim is not there."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(Reason.TIMES)
    try:
        seconds = float(value)
    except OverflowError:
        raise Refused(Reason.TIMES) from None
    if not math.isfinite(seconds):
        raise Refused(Reason.TIMES)
    return seconds


def _same(found: object, expected: str) -> bool:
    """Whether both are the same text, byte for byte, in a time that does not depend on where they differ."""
    return isinstance(found, str) and hmac.compare_digest(
        found.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass")
    )


def _check_access_token(claims: Mapping[str, Any], expectation: Expectation) -> None:
    """Core 1.0, section 3.1.3.8: the left half of the access token's hash, by the algorithm's hash function."""
    found = claims.get("at_hash")
    if found is None or expectation.access_token is None:
        return
    digest = _HASHES[expectation.algorithm[-3:]](expectation.access_token.encode()).digest()
    expected = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode("ascii")
    if not _same(found, expected):
        raise Refused(Reason.ACCESS_TOKEN_HASH)
