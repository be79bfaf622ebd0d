"""From (issuer, subject) to a person of the lab, and the names that the hub knows them by."""

import random
import secrets
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from kirzl_lab.federation.claims import Asserted
from kirzl_lab.federation.institutions import LoginInstitution
from kirzl_lab.problems import PersonBlocked, UnknownInstitution
from kirzl_lab.store import audit
from kirzl_lab.store.tables import Identity, InstitutionRow, Person

NAME_LENGTH = 9
LETTERS = "bcdfghjkmnpqrstvwxz"
"""No vowels, so that no name is a word; no l and no y, which are read as 1 and as v."""
LETTERS_AND_DIGITS = LETTERS + "23456789"

ATTEMPTS = 5
"""Of making a person, when somebody else takes the name, or is the same person in another tab, in the same moment."""


def new_hub_name(chance: random.Random | None = None) -> str:
    """A random hub name, one of 5 * 10^12, safe in addresses, and in names of pods and folders."""
    chance = chance or secrets.SystemRandom()
    return chance.choice(LETTERS) + "".join(chance.choice(LETTERS_AND_DIGITS) for _ in range(NAME_LENGTH - 1))


async def recognise(
    session: AsyncSession,
    institution: LoginInstitution,
    subject: str,
    said: Asserted,
    *,
    display_name: str,
    now: datetime,
    contact: str,
) -> Person:
    """The person whose (issuer, subject) this is; made, with a new hub name, at the first login.

    `subject` is compared byte for byte. What the institution `said`, and why some of it does not count, is remembered with the identity. Two first logins
    in one moment give one person. Raises `PersonBlocked` (who is told to write to `contact`), and
    `UnknownInstitution` when the lab database no longer lets the institution's people in.
    """
    row = await session.get(InstitutionRow, institution.name)
    if row is None or row.removed_at is not None or row.issuer != institution.issuer:
        raise UnknownInstitution(institution=institution.name)
    identity = await _identity(session, institution.issuer, subject)
    for _ in range(ATTEMPTS):
        if identity is not None:
            break
        identity = await _make(session, institution, subject, display_name, now)
    if identity is None:
        raise RuntimeError("no new person could be made: the names that were drawn are all taken")
    person = identity.person
    if person.blocked_at is not None:
        raise PersonBlocked(contact=contact)
    identity.institution_name = institution.name
    identity.claims = {claim: list(values) for claim, values in said.values.items()}
    identity.dropped = said.why_dropped()
    identity.last_login_at = now
    if display_name:
        person.display_name = display_name
    return person


async def _identity(session: AsyncSession, issuer: str, subject: str) -> Identity | None:
    query = (
        select(Identity)
        .options(joinedload(Identity.person))
        .where(Identity.issuer == issuer, Identity.subject == subject)
    )
    return (await session.execute(query)).scalar_one_or_none()


async def _make(
    session: AsyncSession, institution: LoginInstitution, subject: str, display_name: str, now: datetime
) -> Identity | None:
    """A new person and identity, or the identity that another login made meanwhile; None when the name was taken."""
    name = new_hub_name()
    person = Person(hub_name=name, display_name=display_name or name, created_at=now)
    identity = Identity(
        person=person,
        institution_name=institution.name,
        issuer=institution.issuer,
        subject=subject,
        claims={},
        created_at=now,
        last_login_at=now,
    )
    try:
        async with session.begin_nested():
            session.add(identity)
    except IntegrityError:
        return await _identity(session, institution.issuer, subject)
    audit.record(
        session,
        at=now,
        actor=name,
        action=audit.Action.PERSON_CREATED,
        person_id=person.id,
        institution=institution.name,
    )
    return identity
