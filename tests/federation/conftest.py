"""Institutions, keys and tokens that the tests of federation share."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.catalog.models import Text
from kirzl_lab.federation.institutions import LoginInstitution
from kirzl_lab.store.database import Store
from kirzl_lab.store.tables import InstitutionRow, RosterEntry, Space

NOW = datetime(2026, 10, 12, 8, 0, tzinfo=UTC)


def institution(name: str = "uni", **changes: Any) -> LoginInstitution:
    """An institution for login."""
    given = {
        "name": name,
        "title": Text(de=f"{name} auf Deutsch", en=f"{name} in English"),
        "issuer": f"https://login.{name}.example/oidc",
        "client_id": "kirzl-lab",
        "client_secret": None,
        "domains": (f"{name}.example",),
        "claims": ("email", "matriculation_number", "eduperson_scoped_affiliation"),
    }
    return LoginInstitution(**(given | changes))


def rsa_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


@pytest.fixture(scope="session")
def keys() -> dict[str, Key]:
    """Private keys by name; making RSA keys is slow, so once."""
    return {
        "uni": rsa_key("uni-1"),
        "other": rsa_key("other-1"),
        "same-kid": rsa_key("uni-1"),
        "ec": ECKey.generate_key("P-256", {"kid": "ec-1", "use": "sig"}),
        "okp": OKPKey.generate_key("Ed25519", {"kid": "okp-1", "use": "sig"}),
    }


def public(key: Key) -> Key:
    """The public half, as an institution publishes it."""
    return type(key).import_key(key.as_dict(private=False))


def sign(claims: Mapping[str, Any] | str | bytes, key: Any, algorithm: str = "RS256", **header: Any) -> str:
    """A compact JWS over `claims`; text is signed as it is."""
    payload = claims if isinstance(claims, str | bytes) else json.dumps(claims)
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    registry.max_header_length = registry.max_payload_length = 10**8
    kid = {} if "kid" in header or not getattr(key, "kid", None) else {"kid": key.kid}
    given = {name: value for name, value in ({"alg": algorithm} | kid | header).items() if value is not None}
    return jws.serialize_compact(given, payload, key, algorithms=[algorithm], registry=registry)


@pytest.fixture
def clock() -> "Clock":
    return Clock()


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


async def add_institutions(store: Store, *institutions: LoginInstitution) -> None:
    async with store.writing() as session:
        for one in institutions:
            session.add(
                InstitutionRow(
                    name=one.name, issuer=one.issuer, title_de=one.title.de, title_en=one.title.en, demo=one.demo
                )
            )


def a_space(name: str = "ml-101", **changes: Any) -> Space:
    return Space(name=name, kind="course", title_de=name, title_en=name, spec={}, created_at=NOW, **changes)


def a_row(space: Space | None, claim: str, value: str, **changes: Any) -> RosterEntry:
    given = {"institution_name": "uni", "role": "student", "section": "", "created_at": NOW} | changes
    return RosterEntry(space_id=None if space is None else space.id, claim=claim, value=value, **given)


async def add_rows(session: AsyncSession, *rows: Any) -> None:
    session.add_all(rows)
    await session.flush()
