"""Attacks on the ID token, each by name, and what a good one may look like."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import Key

from kirzl_lab.federation.id_token import LEEWAY_S, LONGEST_TOKEN, Expectation, verify_id_token
from kirzl_lab.federation.refusals import Reason, Refused
from tests.federation.conftest import NOW, public, sign

SECONDS = int(NOW.timestamp())
ISSUER = "https://login.uni.example/oidc"
GOOD: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "kirzl-lab",
    "sub": "student1",
    "exp": SECONDS + 300,
    "iat": SECONDS,
    "nonce": "the-nonce",
}


def expectation(**changes: Any) -> Expectation:
    given = {"issuer": ISSUER, "client_id": "kirzl-lab", "algorithm": "RS256", "nonce": "the-nonce"}
    return Expectation(**(given | changes))


def without(*names: str, **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (GOOD | changes).items() if name not in names}


def verify(token: object, keys: list[Key], **changes: Any) -> Mapping[str, Any]:
    return verify_id_token(token, keys, expectation(**changes), NOW)


def refused(token: object, keys: list[Key], **changes: Any) -> Reason:
    with pytest.raises(Refused) as refusal:
        verify(token, keys, **changes)
    return refusal.value.reason


@pytest.fixture
def uni(keys: dict[str, Key]) -> list[Key]:
    return [public(keys["uni"])]


def test_a_good_token_gives_its_claims(keys: dict[str, Key], uni: list[Key]) -> None:
    assert verify(sign(GOOD, keys["uni"]), uni)["sub"] == "student1"


@pytest.mark.parametrize(
    "claims",
    [
        without(aud=["kirzl-lab"]),
        without(aud=["kirzl-lab", "other"], azp="kirzl-lab"),
        without(azp="kirzl-lab"),
        without(exp=SECONDS - LEEWAY_S + 1),
        without(iat=SECONDS + LEEWAY_S),
        without(nbf=SECONDS + LEEWAY_S),
        without(exp=SECONDS + 300.5),
        without(sub="x" * 255),
    ],
)
def test_a_good_token_may_look_different(claims: dict[str, Any], keys: dict[str, Key], uni: list[Key]) -> None:
    assert verify(sign(claims, keys["uni"]), uni) == claims


@pytest.mark.parametrize(("algorithm", "key"), [("ES256", "ec"), ("EdDSA", "okp"), ("PS256", "uni"), ("RS512", "uni")])
def test_other_algorithms_can_be_pinned(algorithm: str, key: str, keys: dict[str, Key]) -> None:
    token = sign(GOOD, keys[key], algorithm)
    assert verify(token, [public(keys[key])], algorithm=algorithm) == GOOD


@pytest.mark.parametrize(
    ("reason", "claims"),
    [
        (Reason.ISSUER, without(iss="https://login.uas.example/oidc")),
        (Reason.ISSUER, without(iss=ISSUER + "/")),
        (Reason.ISSUER, without(iss=ISSUER.upper())),
        (Reason.ISSUER, without("iss")),
        (Reason.ISSUER, without(iss=[ISSUER])),
        (Reason.AUDIENCE, without(aud="other")),
        (Reason.AUDIENCE, without(aud="kirzl-lab2")),
        (Reason.AUDIENCE, without(aud=["other"])),
        (Reason.AUDIENCE, without(aud=[])),
        (Reason.AUDIENCE, without(aud={"kirzl-lab": 1})),
        (Reason.AUDIENCE, without("aud")),
        (Reason.AUTHORIZED_PARTY, without(aud=["kirzl-lab", "other"])),
        (Reason.AUTHORIZED_PARTY, without(aud=["kirzl-lab", "other"], azp="other")),
        (Reason.AUTHORIZED_PARTY, without(azp="other")),
        (Reason.EXPIRED, without(exp=SECONDS - LEEWAY_S)),
        (Reason.TIMES, without("exp")),
        (Reason.TIMES, without("iat")),
        (Reason.TIMES, without(exp="tomorrow")),
        (Reason.TIMES, without(exp=True)),
        (Reason.TIMES, without(exp=10**400)),
        (Reason.NOT_YET_VALID, without(iat=SECONDS + LEEWAY_S + 1)),
        (Reason.NOT_YET_VALID, without(nbf=SECONDS + LEEWAY_S + 1)),
        (Reason.NONCE, without("nonce")),
        (Reason.NONCE, without(nonce="of-another-login")),
        (Reason.NONCE, without(nonce=["the-nonce"])),
        (Reason.NONCE, without(nonce="the-nonc\ud800")),
        (Reason.SUBJECT, without("sub")),
        (Reason.SUBJECT, without(sub="")),
        (Reason.SUBJECT, without(sub=7)),
        (Reason.SUBJECT, without(sub="x" * 256)),
        (Reason.SUBJECT, without(sub="student1\0")),
        (Reason.SUBJECT, without(sub="ѕtudent1")),
        (Reason.SUBJECT, without(sub="student1\n")),
        (Reason.MALFORMED, '{"sub": "a", "sub": "b"}'),
        (Reason.MALFORMED, '{"exp": NaN}'),
        (Reason.MALFORMED, "[]"),
        (Reason.MALFORMED, "[" * 20_000),
        (Reason.MALFORMED, b"\xff\xfe"),
    ],
)
def test_what_the_claims_may_not_be(reason: Reason, claims: Any, keys: dict[str, Key], uni: list[Key]) -> None:
    assert refused(sign(claims, keys["uni"]), uni) is reason


def test_wrong_key(keys: dict[str, Key], uni: list[Key]) -> None:
    assert refused(sign(GOOD, keys["same-kid"]), uni) is Reason.SIGNATURE
    assert refused(sign(GOOD, keys["other"]), uni) is Reason.UNKNOWN_KEY


def forged(header: dict[str, Any], signature: bytes = b"", secret: bytes | None = None) -> str:
    """A token made by hand, signed with an HMAC when there is a `secret`."""
    signed = f"{_text(json.dumps(header).encode())}.{_text(json.dumps(GOOD).encode())}"
    if secret is not None:
        signature = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{_text(signature)}"


def test_algorithm_none(uni: list[Key]) -> None:
    for name in ("none", "None", "NONE", "nOnE", None, ["none"]):
        assert refused(forged({"alg": name, "kid": "uni-1"}), uni) is Reason.ALGORITHM


def test_hmac_with_the_public_key(keys: dict[str, Key], uni: list[Key]) -> None:
    published = json.dumps(keys["uni"].as_dict(private=False)).encode()
    for secret in (keys["uni"].as_pem(private=False), keys["uni"].as_pem(private=False).strip(), published):
        assert refused(forged({"alg": "HS256", "kid": "uni-1"}, secret=secret), uni) is Reason.ALGORITHM
        assert refused(forged({"alg": "RS256", "kid": "uni-1"}, secret=secret), uni) is Reason.SIGNATURE


def test_another_algorithm_of_the_same_key(keys: dict[str, Key], uni: list[Key]) -> None:
    assert refused(sign(GOOD, keys["uni"], "RS512"), uni) is Reason.ALGORITHM
    assert refused(sign(GOOD, keys["uni"]), uni, algorithm="PS256") is Reason.ALGORITHM


def test_a_header_that_lies_about_its_algorithm(keys: dict[str, Key], uni: list[Key]) -> None:
    _, payload, signature = sign(GOOD, keys["ec"], "ES256").split(".")
    header = sign(GOOD, keys["uni"]).split(".")[0]
    assert refused(f"{header}.{payload}.{signature}", uni) is Reason.SIGNATURE
    assert refused(sign(GOOD, keys["uni"]), [public(keys["ec"])], algorithm="RS256") is Reason.UNKNOWN_KEY


def test_a_key_in_the_header_is_not_looked_at(keys: dict[str, Key], uni: list[Key]) -> None:
    own = keys["same-kid"].as_dict(private=False)
    assert refused(sign(GOOD, keys["same-kid"], jwk=own, jku="https://evil.example/jwks"), uni) is Reason.SIGNATURE


def test_without_kid_only_a_single_key_will_do(keys: dict[str, Key], uni: list[Key]) -> None:
    token = sign(GOOD, keys["uni"], kid=None)
    assert verify(token, uni) == GOOD
    assert refused(token, [*uni, public(keys["other"])]) is Reason.UNKNOWN_KEY
    assert refused(token, []) is Reason.UNKNOWN_KEY


def test_two_keys_with_one_kid_are_ambiguous(keys: dict[str, Key], uni: list[Key]) -> None:
    assert refused(sign(GOOD, keys["uni"]), [*uni, public(keys["same-kid"])]) is Reason.UNKNOWN_KEY


def test_critical_extensions_are_not_understood(uni: list[Key]) -> None:
    assert refused(forged({"alg": "RS256", "kid": "uni-1", "crit": ["x"], "x": 1}), uni) is Reason.MALFORMED
    assert refused(forged({"alg": "RS256", "kid": "uni-1", "b64": False}), uni) is Reason.MALFORMED


def test_a_changed_payload(keys: dict[str, Key], uni: list[Key]) -> None:
    header, _, signature = sign(GOOD, keys["uni"]).split(".")
    payload = sign(without(sub="lecturer"), keys["uni"]).split(".")[1]
    assert refused(f"{header}.{payload}.{signature}", uni) is Reason.SIGNATURE


def test_a_megabyte_of_claims_is_refused_unread(keys: dict[str, Key], uni: list[Key]) -> None:
    token = sign(without(groups=["x" * 1000] * 1000), keys["uni"])
    assert len(token) > 1_000_000
    assert refused(token, uni) is Reason.TOO_LARGE
    assert refused("." * (LONGEST_TOKEN + 1), uni) is Reason.TOO_LARGE


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c.d", "a.b.c", "..", "é.b.c", "e30.e30.e30 "])
def test_what_is_no_token(token: str, uni: list[Key]) -> None:
    assert refused(token, uni) in {Reason.MALFORMED, Reason.ALGORITHM}


def test_no_token_at_all(uni: list[Key]) -> None:
    assert refused(None, uni) is Reason.NO_ID_TOKEN
    assert refused({"a": 1}, uni) is Reason.NO_ID_TOKEN


def test_the_access_token_belongs_to_the_id_token(keys: dict[str, Key], uni: list[Key]) -> None:
    half = hashlib.sha256(b"access").digest()[:16]
    good = without(at_hash=base64.urlsafe_b64encode(half).rstrip(b"=").decode())
    token = sign(good, keys["uni"])
    assert verify(token, uni, access_token="access") == good
    assert refused(token, uni, access_token="of-somebody-else") is Reason.ACCESS_TOKEN_HASH


def test_a_refreshed_token_needs_no_nonce(keys: dict[str, Key], uni: list[Key]) -> None:
    assert verify(sign(without("nonce"), keys["uni"]), uni, nonce=None)["sub"] == "student1"


@given(st.text(max_size=300))
def test_no_text_is_a_token(text: str) -> None:
    with pytest.raises(Refused):
        verify_id_token(text, [], expectation(), NOW)


@given(position=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=5))
def test_no_flipped_bit_survives(keys: dict[str, Key], position: int, bit: int) -> None:
    token = sign(GOOD, keys["uni"])
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    position %= len(token) - 1  # the last character has bits that count for nothing
    if token[position] == ".":
        return
    flipped = alphabet[alphabet.index(token[position]) ^ (1 << bit)]
    changed = token[:position] + flipped + token[position + 1 :]
    before, after = token.split("."), changed.split(".")
    if [_bytes(part) for part in before] == [_bytes(part) for part in after]:
        return  # the last character of a part, whose spare bits say nothing
    with pytest.raises(Refused):
        verify_id_token(changed, [public(keys["uni"])], expectation(), NOW)


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _text(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode("ascii")
