"""Receipts: only what the lab signed is believed, and for as long as anybody keeps one of its keys."""

import json
import warnings
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OctKey

from kirzl_lab.courses.receipts import Receipt, ReceiptRefused, Signer, read_keys, verify

ISSUER = "https://lab.uni.example"
AT = datetime(2026, 11, 28, 9, 59, 59, 250_000, tzinfo=UTC)
SECRET = "0123456789abcdef" * 4
FIELDS: dict[str, Any] = {
    "course": "ml-101",
    "assignment": "ps1",
    "student": "s-7fk2",
    "submission": "42",
    "time": AT,
    "sha256": "ab" * 32,
    "size": 2_000_000,
    "files": 3,
}


@pytest.fixture
def signer() -> Signer:
    return Signer.from_secret(SECRET, ISSUER)


@pytest.fixture
def receipt(signer: Signer) -> str:
    return signer.sign(**FIELDS)


def refused(receipt: str, keys: dict[str, Any]) -> str:
    with pytest.raises(ReceiptRefused) as told:
        verify(receipt, keys)
    return str(told.value)


def parts(receipt: str) -> list[dict[str, Any]]:
    return [json.loads(urlsafe_b64decode(part + "==")) for part in receipt.split(".")[:2]]


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: str) -> str:
    words = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return ".".join([*words, signature])


def test_what_is_signed_is_read_again(signer: Signer, receipt: str) -> None:
    assert verify(receipt, signer.public_key) == Receipt(issuer=ISSUER, **FIELDS)
    assert verify(f"\n{receipt}\n", signer.public_keys).time == AT


def test_others_can_read_it(signer: Signer, receipt: str) -> None:
    header, claims = parts(receipt)
    assert header == {"alg": "ES256", "typ": "kirzl-lab-receipt", "kid": signer.public_key["kid"]}
    assert claims == {"iss": ISSUER, **FIELDS, "time": "2026-11-28T09:59:59.250000Z"}
    key = ECKey.import_key(signer.public_key)
    assert json.loads(jws.deserialize_compact(receipt, key, algorithms=["ES256"]).payload) == claims


def test_nothing_warns_of_what_is_used(signer: Signer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        verify(signer.sign(**FIELDS), signer.public_keys)


def test_the_key_of_a_secret_is_the_same_for_ever(signer: Signer) -> None:
    assert signer.public_key == {
        "kty": "EC",
        "crv": "P-256",
        "use": "sig",
        "alg": "ES256",
        "x": "OGBXj3vBZBLtHycD-b6R3azz_zGmcwmiIHCljr7yp5c",
        "y": "62ZMm6cL07QgiKRp2294sxJuvWO1dL1q62q0_tgwSfY",
        "kid": "ObWf-DKUlhKzZ6Ti-2a76ShgwuzmF26S-g0jBBNYLB0",
    }


def test_nothing_private_is_shown(signer: Signer) -> None:
    assert {name for key in signer.public_keys["keys"] for name in key} == {"kty", "crv", "x", "y", "kid", "use", "alg"}


def test_the_time_is_told_in_utc(signer: Signer) -> None:
    there = AT.astimezone(timezone(timedelta(hours=2)))
    assert parts(signer.sign(**{**FIELDS, "time": there}))[1]["time"] == "2026-11-28T09:59:59.250000Z"


def test_a_new_key_signs_and_the_old_one_still_verifies(receipt: str) -> None:
    both = Signer.from_secret(f"{'f' * 64}\n{SECRET}\n", ISSUER)
    new = both.sign(**FIELDS)
    assert parts(new)[0]["kid"] == both.public_key["kid"] != parts(receipt)[0]["kid"]
    assert verify(receipt, both.public_keys) == verify(new, both.public_keys)
    assert "Another key" in refused(receipt, both.public_key)


def test_a_key_file(tmp_path: Path, receipt: str) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")
    assert verify(receipt, Signer.from_key_file(tmp_path / "key", ISSUER).public_keys)


@pytest.mark.parametrize("secret", ["", " ", "ab" * 31, "AB" * 32, "zz" * 32, f"{SECRET} x", f"{SECRET},{SECRET}"])
def test_what_is_no_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        Signer.from_secret(secret, ISSUER)


@pytest.mark.parametrize(
    "wrong",
    [{"time": AT.replace(tzinfo=None)}, {"sha256": "AB" * 32}, {"size": -1}, {"student": ""}, {"course": "x" * 513}],
    ids=str,
)
def test_what_cannot_be_in_one(signer: Signer, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        signer.sign(**{**FIELDS, **wrong})


# -- what is not believed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", ["iss", *FIELDS])
def test_no_claim_can_be_changed(signer: Signer, receipt: str, claim: str) -> None:
    header, claims = parts(receipt)
    changed = {**claims, claim: claims[claim] * 2}
    assert "was changed" in refused(unsigned(header, changed, receipt.split(".")[2]), signer.public_keys)


def test_an_algorithm_is_not_chosen_by_the_receipt(signer: Signer, receipt: str) -> None:
    header, claims = parts(receipt)
    assert "not a receipt" in refused(unsigned({**header, "alg": "none"}, claims, ""), signer.public_keys)
    public = OctKey.import_key(json.dumps(signer.public_key))
    forged = jws.serialize_compact({**header, "alg": "HS256"}, json.dumps(claims), public, algorithms=["HS256"])
    assert "not a receipt" in refused(forged, signer.public_keys)


def test_what_the_lab_signs_besides_is_no_receipt(signer: Signer, receipt: str) -> None:
    header, claims = parts(receipt)
    key = signer._keys[0]
    other = jws.serialize_compact({**header, "typ": "JWT"}, json.dumps(claims), key)
    assert "not a receipt" in refused(other, signer.public_keys)
    later = jws.serialize_compact(header, json.dumps({**claims, "new": 1}), key)
    assert "of a version that is unknown here" in refused(later, signer.public_keys)


def test_a_key_that_borrows_the_name_of_ours(signer: Signer) -> None:
    forger = Signer.from_secret("f" * 64, ISSUER)
    header, claims = parts(signer.sign(**FIELDS))
    forged = jws.serialize_compact(header, json.dumps(claims), forger._keys[0])
    assert "was changed" in refused(forged, signer.public_keys)
    borrowed = {**forger.public_key, "kid": signer.public_key["kid"]}
    assert "Another key" in refused(forged, borrowed)


@given(text=st.text(max_size=200) | st.text("ab.=_-", max_size=60))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(ReceiptRefused):
        verify(text, Signer.from_secret(SECRET, ISSUER).public_keys)


@given(place=st.integers(0, 519), letter=st.sampled_from("AbZ09-_.=é "))
def test_a_changed_letter_never_changes_what_it_says(place: int, letter: str) -> None:
    signer = Signer.from_secret(SECRET, ISSUER)
    receipt = signer.sign(**FIELDS)
    place %= len(receipt)
    try:
        found = verify(receipt[:place] + letter + receipt[place + 1 :], signer.public_keys)
    except ReceiptRefused:
        return
    assert found == Receipt(issuer=ISSUER, **FIELDS)  # the same letter, or bits that base64 has to spare


def test_an_endless_one(signer: Signer, receipt: str) -> None:
    assert "not a receipt" in refused(receipt + "A" * 10_000, signer.public_keys)


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "null", "{}", '{"keys": []}', '{"keys": [1]}', '{"kty": "EC", "crv": "P-256"}', "[" * 100_000,
     '{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}', '{"kty": "oct", "k": "AA"}', '{"kty": "EC", "crv": "P-256", "x": 1, "y": 2}'],
)  # fmt: skip
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(ReceiptRefused, match="not a key"):
        read_keys(text)


def test_keys_are_read_as_they_are_shown(signer: Signer, receipt: str) -> None:
    assert verify(receipt, read_keys(json.dumps(signer.public_key)))
    more = {"keys": [{"kty": "RSA", "n": "AA", "e": "AQAB"}, *signer.public_keys["keys"]]}
    assert verify(receipt, read_keys(json.dumps(more)))
