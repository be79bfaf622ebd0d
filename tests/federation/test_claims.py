"""What an institution may say about its people."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.federation.claims import (
    LONGEST_VALUE,
    MOST_VALUES,
    Dropped,
    Why,
    asserted,
    clean_name,
    display_name,
    merge,
)
from tests.federation.conftest import institution

UNI = institution()
VERIFIED = {"email_verified": True}


def only(claims: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return dict(asserted(UNI, claims).values)


def why(claims: dict[str, Any]) -> set[Why]:
    found = asserted(UNI, claims)
    assert not found.values
    return {dropped.why for dropped in found.dropped}


def test_claims_that_the_catalogue_does_not_list_do_not_count() -> None:
    said = asserted(UNI, {"sub": "x", "groups": ["admin"], "role": "operator", "matriculation_number": "1"})
    assert said.values == {"matriculation_number": ("1",)}
    assert said.dropped == ()


def test_a_single_text_becomes_a_list_of_one() -> None:
    assert only({"matriculation_number": "1000001"}) == {"matriculation_number": ("1000001",)}
    assert only({"eduperson_scoped_affiliation": "student@uni.example"}) == {
        "eduperson_scoped_affiliation": ("student@uni.example",)
    }


def test_email_counts_in_lower_case_when_verified() -> None:
    assert only({"email": "Student1@UNI.example", **VERIFIED}) == {"email": ("student1@uni.example",)}


@pytest.mark.parametrize("verified", [None, False, "true", "True", 1, [True], {}])
def test_unverified_email_does_not_count(verified: object) -> None:
    assert why({"email": "student1@uni.example", "email_verified": verified}) == {Why.NOT_VERIFIED}
    assert why({"email": "student1@uni.example"}) == {Why.NOT_VERIFIED}


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("student1@uas.example", Why.OTHER_DOMAIN),
        ("student1@sub.uni.example", Why.OTHER_DOMAIN),
        ("student1@uni.example.evil.example", Why.OTHER_DOMAIN),
        ("student1@evil.example@uni.example", Why.NO_EMAIL),
        ("@uni.example", Why.NO_EMAIL),
        ("student1@", Why.NO_EMAIL),
        ("uni.example", Why.NO_EMAIL),
        ("student 1@uni.example", Why.NO_EMAIL),
        ("ѕtudent1@uni.example", Why.NO_EMAIL),
        ("student1@ünï.example", Why.NO_EMAIL),
        ("student1@uni.example\0", Why.INVISIBLE),
        ("student1@uni.example\u200b", Why.INVISIBLE),
        (["student1@uni.example"], Why.NOT_TEXT),
        ({"student1@uni.example": 1}, Why.NOT_TEXT),
    ],
)
def test_addresses_that_do_not_count(address: object, reason: Why) -> None:
    assert why({"email": address, **VERIFIED}) == {reason}


@pytest.mark.parametrize(
    "value",
    [
        "staff@uas.example",
        "staff@uni.example@uas.example",
        "staff@evil@uni.example",
        "staff",
        "@uni.example",
        "uni.example",
    ],
)
def test_scoped_claims_outside_the_institutions_domains(value: str) -> None:
    assert why({"eduperson_scoped_affiliation": value}) == {Why.OTHER_DOMAIN}


def test_a_home_organisation_is_a_domain_itself() -> None:
    home = institution(claims=("schac_home_organization",))
    assert asserted(home, {"schac_home_organization": "uni.example"}).values
    assert not asserted(home, {"schac_home_organization": "uas.example"}).values


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("1000001\0", Why.INVISIBLE),
        ("1000001\n", Why.INVISIBLE),
        ("\u202e1000001", Why.INVISIBLE),
        ("100\ud8000001", Why.INVISIBLE),
        ("e\u0301cole", Why.NOT_NFC),
        ("\u212a1", Why.NOT_NFC),
        ("x" * (LONGEST_VALUE + 1), Why.TOO_LONG),
        ("x" * 1_000_000, Why.TOO_LONG),
        ("", Why.EMPTY),
        ("  ", Why.EMPTY),
        (1000001, Why.NOT_TEXT),
        (True, Why.NOT_TEXT),
        ({"a": "b"}, Why.NOT_TEXT),
        ([["1000001"]], Why.NOT_TEXT),
    ],
)
def test_values_that_do_not_count(value: object, reason: Why) -> None:
    assert why({"matriculation_number": value}) == {reason}


def test_one_bad_value_does_not_spoil_the_others() -> None:
    said = asserted(UNI, {"matriculation_number": ["1", "2\0", 3, "1", "4"]})
    assert said.values == {"matriculation_number": ("1", "4")}
    assert said.dropped == (
        Dropped("matriculation_number", Why.INVISIBLE),
        Dropped("matriculation_number", Why.NOT_TEXT),
    )


def test_look_alikes_stay_different() -> None:
    latin = only({"matriculation_number": "paypal"})
    assert only({"matriculation_number": "pаypаl"}) != latin
    assert only({"matriculation_number": "PAYPAL"}) != latin


def test_no_more_values_than_can_be_kept() -> None:
    said = asserted(UNI, {"matriculation_number": [str(number) for number in range(100_000)]})
    assert len(said.values["matriculation_number"]) == MOST_VALUES
    assert said.dropped == (Dropped("matriculation_number", Why.TOO_MANY),)


@given(
    st.dictionaries(
        st.sampled_from([*UNI.claims, "other"]), st.recursive(st.text() | st.none(), st.lists, max_leaves=5)
    )
)
def test_whatever_is_said_only_printable_text_in_scope_counts(claims: dict[str, Any]) -> None:
    for claim, values in asserted(UNI, {**claims, **VERIFIED}).values.items():
        assert claim in UNI.claims
        for value in values:
            assert 0 < len(value) <= LONGEST_VALUE
            assert unicodedata.is_normalized("NFC", value)
            assert value.encode("utf-8")
            assert claim == "matriculation_number" or value.endswith("@uni.example")


def test_userinfo_adds_and_never_replaces() -> None:
    assert merge({"sub": "a", "x": 1}, {"sub": "b", "x": 2, "y": 3}) == {"sub": "a", "x": 1, "y": 3}


@pytest.mark.parametrize(
    ("token", "userinfo", "counts"),
    [
        ({"email": "a@uni.example", "email_verified": True}, {}, True),
        ({}, {"email": "a@uni.example", "email_verified": True}, True),
        ({"email": "a@uni.example"}, {"email_verified": True}, False),
        ({"email_verified": True}, {"email": "a@uni.example"}, False),
        (
            {"email": "a@uni.example", "email_verified": False},
            {"email": "a@uni.example", "email_verified": True},
            False,
        ),
        ({"email": "a@uni.example"}, {"email": "a@uni.example", "email_verified": True}, True),
    ],
)
def test_an_address_and_its_verification_stay_together(
    token: dict[str, Any], userinfo: dict[str, Any], counts: bool
) -> None:
    assert bool(only(merge(token, userinfo))) is counts


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "Student One", "given_name": "S"}, "Student One"),
        ({"given_name": "Student", "family_name": "One"}, "Student One"),
        ({"preferred_username": "student1"}, "student1"),
        ({"name": ["Student"], "given_name": 1}, ""),
        ({"name": "\u202etnedutS\0\n  1.\u200b"}, "tnedutS 1."),
        ({}, ""),
    ],
)
def test_display_names(claims: dict[str, Any], name: str) -> None:
    assert display_name(claims) == name


@given(st.text(max_size=2000))
def test_a_display_name_can_always_be_shown(text: str) -> None:
    name = clean_name(text)
    assert len(name) <= 200
    assert name == name.strip()
    assert all(unicodedata.category(character)[0] != "C" for character in name)
