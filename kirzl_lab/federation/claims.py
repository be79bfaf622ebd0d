"""What an institution may say about its people. Pure: verified claims in, what counts of them out.

Guarantees: only claims that the catalogue lists for the institution come out; the scoped ones only with a domain of
its own; an e-mail address only when the institution says that it verified it. Every value is printable text in
Unicode normal form C, at most 500 characters, so that it can be stored, shown and compared byte for byte.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kirzl_lab.catalog.models import SCOPED_CLAIMS
from kirzl_lab.federation.institutions import LoginInstitution

LONGEST_VALUE = 500
MOST_VALUES = 200
LONGEST_NAME = 200

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of what cannot be seen: controls, format characters such as bidi overrides, lone surrogates."""

_EMAIL = re.compile(r"[\x21-\x3f\x41-\x7e]+@[\x21-\x3f\x41-\x7e]+")


class Why(StrEnum):
    """Why a value does not count."""

    NOT_TEXT = "not-text"
    EMPTY = "empty"
    TOO_LONG = "too-long"
    TOO_MANY = "too-many"
    INVISIBLE = "invisible-characters"
    NOT_NFC = "not-normal-form-c"
    NO_EMAIL = "not-an-email-address"
    NOT_VERIFIED = "email-not-verified"
    OTHER_DOMAIN = "outside-its-domains"


@dataclass(frozen=True, slots=True)
class Dropped:
    """A value that does not count, and why. The value itself is not kept."""

    claim: str
    why: Why


@dataclass(frozen=True, slots=True)
class Asserted:
    """What an institution says about a person, within what it may say."""

    values: Mapping[str, tuple[str, ...]]
    dropped: tuple[Dropped, ...] = ()

    def why_dropped(self) -> dict[str, list[str]]:
        """Claim -> the reasons why something sent under it does not count, each once, in their order."""
        reasons: dict[str, list[str]] = {}
        for one in self.dropped:
            known = reasons.setdefault(one.claim, [])
            if one.why.value not in known:
                known.append(one.why.value)
        return reasons


def asserted(institution: LoginInstitution, claims: Mapping[str, Any]) -> Asserted:
    """What counts of `claims`, which must come from a verified ID token or its userinfo."""
    values: dict[str, tuple[str, ...]] = {}
    dropped: list[Dropped] = []
    for claim in institution.claims:
        if claims.get(claim) is None:
            continue
        kept: list[str] = []
        for value in _as_list(claim, claims[claim]):
            found = _look(institution, claim, value, claims)
            if isinstance(found, Why):
                dropped.append(Dropped(claim, found))
            elif len(kept) == MOST_VALUES:
                dropped.append(Dropped(claim, Why.TOO_MANY))
                break
            elif found not in kept:
                kept.append(found)
        if kept:
            values[claim] = tuple(kept)
    return Asserted(values, tuple(dropped[:MOST_VALUES]))


def merge(id_token: Mapping[str, Any], userinfo: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of a verified ID token, and what userinfo says besides.

    An address and its verification stay together: `email_verified` of one never vouches for `email` of the other.
    """
    merged = {**userinfo, **id_token}
    source = (
        userinfo if "email" in userinfo and not ("email" in id_token and "email_verified" in id_token) else id_token
    )
    for claim in ("email", "email_verified"):
        merged.pop(claim, None)
        if claim in source:
            merged[claim] = source[claim]
    return merged


def display_name(claims: Mapping[str, Any]) -> str:
    """A name to greet the person with, or an empty string. For pages only: nothing is decided by it."""
    parts = [claims.get("given_name"), claims.get("family_name")]
    whole = " ".join(part for part in parts if isinstance(part, str))
    for name in (claims.get("name"), whole, claims.get("preferred_username")):
        cleaned = clean_name(name)
        if cleaned:
            return cleaned
    return ""


def clean_name(name: Any) -> str:
    """`name` without anything invisible, in normal form C, single spaces, at most 200 characters; "" for no text."""
    if not isinstance(name, str):
        return ""
    name = name[: LONGEST_NAME * 4]  # before normalising, whose time grows with the length
    visible = "".join(
        " " if c.isspace() else c for c in name if c.isspace() or unicodedata.category(c) not in _INVISIBLE
    )
    return unicodedata.normalize("NFC", " ".join(visible.split()))[:LONGEST_NAME].strip()


def _as_list(claim: str, value: Any) -> list[Any]:
    # A list of addresses cannot say which of them `email_verified` speaks of.
    if claim == "email" or not isinstance(value, list):
        return [value]
    return value


def _look(institution: LoginInstitution, claim: str, value: Any, claims: Mapping[str, Any]) -> str | Why:
    """The value as it counts, or why it does not."""
    problem = _unfit(value)
    if problem is not None:
        return problem
    if claim == "email":
        return _email(institution, value, claims)
    if claim in SCOPED_CLAIMS and _scope(claim, value) not in institution.domains:
        return Why.OTHER_DOMAIN
    return str(value)


def _scope(claim: str, value: str) -> str | None:
    """The domain that the value speaks for (eduPerson: what follows the one @); None when it has no such form."""
    if claim == "schac_home_organization":
        return value.lower()
    local, at, domain = value.partition("@")
    return domain.lower() if local and at and "@" not in domain else None


def _unfit(value: Any) -> Why | None:
    if not isinstance(value, str):
        return Why.NOT_TEXT
    if not value.strip():
        return Why.EMPTY
    if len(value) > LONGEST_VALUE:
        return Why.TOO_LONG
    if any(unicodedata.category(c) in _INVISIBLE for c in value):
        return Why.INVISIBLE
    if not unicodedata.is_normalized("NFC", value):
        return Why.NOT_NFC
    return None


def _email(institution: LoginInstitution, value: str, claims: Mapping[str, Any]) -> str | Why:
    # ASCII only: lower() maps some letters of other scripts onto a-z, and two mailboxes would become one.
    if not _EMAIL.fullmatch(value):
        return Why.NO_EMAIL
    if claims.get("email_verified") is not True:
        return Why.NOT_VERIFIED
    address = value.lower()
    if address.rpartition("@")[2] not in institution.domains:
        return Why.OTHER_DOMAIN
    return address
