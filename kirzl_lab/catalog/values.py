"""The values that a site may write: names, domains, claims and so on, each with what is expected in plain words."""

import re
import unicodedata
from functools import cache
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, StringConstraints
from pydantic_core import PydanticCustomError

from kirzl_lab.catalog.mistakes import meant

SPACE_NAME = r"^[a-z](?:-?[a-z0-9])*$"
"""Names of servers, pods and volumes are derived from it (design: at most 24 characters)."""

ASSIGNMENT_NAME = r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?$"
"""What nbgrader takes and every file system keeps apart; at most 64 characters."""

CLAIM_NAME = r"^[A-Za-z][A-Za-z0-9_:./-]{0,99}$"
RESOURCE = r"^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
VARIABLE = r"^[A-Z][A-Z0-9_]{0,99}$"
ADDRESS = r"^[^@\s<>,;]+@[^@\s<>,;]+$"
IMAGE = r"^[a-z0-9][a-z0-9./:_-]{0,199}$"
HOST = r"^\.?[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+$"
LABEL = r"^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
LABEL_VALUE = r"^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$"
RUNTIME_CLASS = r"^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$"
DOMAIN = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+$"

MEANING = {
    SPACE_NAME: "a name of at most 24 characters: a to z, 0 to 9 and single hyphens, a letter first, no hyphen at the end",
    ASSIGNMENT_NAME: "a name of at most 64 characters: letters of the English alphabet, digits, dots, hyphens and "
    "underscores, a letter or digit first, no dot at the end",
    CLAIM_NAME: "the name of a claim, for example email",
    DOMAIN: "a domain in lower case, for example uni.example",
    HOST: "a host in lower case, for example packages.example, or with a dot in front everything below it",
    LABEL: "the name of a Kubernetes label, for example nvidia.com/gpu.product",
    LABEL_VALUE: "the value of a Kubernetes label: letters, digits, dots, hyphens and underscores",
    RUNTIME_CLASS: "the name of a RuntimeClass, for example nvidia",
    RESOURCE: "a Kubernetes resource name, for example nvidia.com/gpu",
    VARIABLE: "the name of an environment variable, for example KIRZL_LAB_UNI_SECRET",
    ADDRESS: "an e-mail address, for example lab-help@uni.example",
    IMAGE: "the name of an image, for example notebook",
}
"""What each pattern asks for, in words for people."""

Name = Annotated[str, StringConstraints(pattern=SPACE_NAME, max_length=24)]
Domain = Annotated[str, StringConstraints(pattern=DOMAIN, max_length=253)]
ClaimName = Annotated[str, StringConstraints(pattern=CLAIM_NAME)]
Sentence = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


def is_assignment_name(name: str) -> bool:
    """Whether `name` may be the name of an assignment: 1 to 64 of `[A-Za-z0-9._-]`, a letter or digit first, no dot at the end."""
    return re.fullmatch(ASSIGNMENT_NAME, name) is not None


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _known_zone(name: str) -> str:
    if name not in _zones():
        example = meant(name, sorted(_zones())) or "Europe/Berlin"
        raise ValueError(f"expected a time zone of the IANA database, for example {example}")
    return name


def _issuer_address(address: str) -> str:
    """OpenID Connect Discovery 1.0, section 3: https, no query, no fragment. Plain http only on this machine."""
    expected = "expected an address that begins with https:// and has no ? or #, for example https://login.uni.example"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(expected) from error
    here = host in {"localhost", "127.0.0.1", "::1"} or host.endswith(".localhost")
    secure = parts.scheme == "https" or (parts.scheme == "http" and here)
    if not secure or not host or port == 0 or "@" in parts.netloc or re.search(r"[?#\s\\]", address):
        raise ValueError(expected)
    return address


def _each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    for index, value in enumerate(values):
        if value in values[:index]:
            # The index lets the mistake be told at the entry, not at the list.
            raise PydanticCustomError("repeated", "expected each entry once", {"index": index})
    return values


def _as_asserted(value: str) -> str:
    """The value as `federation` lets claims through: Unicode normal form C, nothing invisible."""
    value = unicodedata.normalize("NFC", value)
    if any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for character in value):
        raise ValueError("expected text without invisible characters")
    return value


TimeZone = Annotated[str, AfterValidator(_known_zone)]
Issuer = Annotated[str, StringConstraints(max_length=500), AfterValidator(_issuer_address)]
Label = Annotated[str, StringConstraints(pattern=LABEL)]
LabelValue = Annotated[str, StringConstraints(pattern=LABEL_VALUE)]
Host = Annotated[str, StringConstraints(pattern=HOST, max_length=253)]
Hosts = Annotated[tuple[Host, ...], AfterValidator(_each_once)]
Names = Annotated[tuple[Name, ...], AfterValidator(_each_once)]
ClaimNames = Annotated[tuple[ClaimName, ...], AfterValidator(_each_once)]
Domains = Annotated[tuple[Domain, ...], AfterValidator(_each_once)]
ClaimValue = Annotated[Sentence, AfterValidator(_as_asserted)]
OAuthScope = Annotated[str, StringConstraints(min_length=1, max_length=100)]
OAuthScopes = Annotated[tuple[OAuthScope, ...], AfterValidator(_each_once)]
