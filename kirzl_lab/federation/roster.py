"""Roster rows and the people they wait for.

Guarantees: a row binds through its own institution only, to an identity of that institution whose issuer asserted the
claim; once bound it never moves to another person, whoever asserts the claim later; of two people who assert it in
the same moment, one gets it.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from kirzl_lab.store import audit
from kirzl_lab.store.tables import AuditEntry, Identity, InstitutionRow, Membership, Person, RosterEntry, Space


async def bind(
    session: AsyncSession, person: Person, institution: str, claims: Mapping[str, Sequence[str]], now: datetime
) -> int:
    """Give `person` the memberships that rows of `institution` promise for `claims`; returns how many are new.

    `claims` are what the institution asserted of this person, within its scopes. A row that another person holds
    already is left alone and goes to the audit as a conflict, once for each person.
    """
    bound = 0
    for row in await _rows(session, institution, claims, _not_held_by(person.id)):
        if row.bound_person_id is None and await _take(session, row, person, now):
            bound += 1
        elif row.bound_person_id != person.id:  # it may be ours by now, through another tab
            await _conflict(session, row, person, now)
    return bound


async def waits(session: AsyncSession, person_id: int) -> bool:
    """Whether a row waits for this person that `bind_waiting` would bind. Reads only."""
    for identity, _person in await _identities(session, person_id):
        free = RosterEntry.bound_person_id.is_(None)
        if await _rows(session, identity.institution_name, identity.claims, free):
            return True
    return False


async def bind_waiting(session: AsyncSession, person_id: int, now: datetime) -> int:
    """Bind rows that came after the person's last login, by what was asserted then; returns how many.

    Two reads when nothing waits. An identity counts only while its institution is in the catalogue, with the issuer
    that asserted it. The caller has refused people who are blocked.
    """
    bound = 0
    for identity, person in await _identities(session, person_id):
        bound += await bind(session, person, identity.institution_name, identity.claims, now)
    return bound


async def bind_space(session: AsyncSession, space_id: int, now: datetime) -> int:
    """Bind the rows of a space that wait for somebody who has logged in already; returns how many.

    What was asserted at that person's last login counts, as in `bind_waiting`. Of two whom one row fits, the one who
    came first gets it, and the other goes to the audit. People who are blocked get nothing.
    """
    query = select(RosterEntry).where(
        RosterEntry.space_id == space_id, RosterEntry.bound_person_id.is_(None), RosterEntry.removed_at.is_(None)
    )
    rows = {(row.institution_name, row.claim, row.value): row for row in await session.scalars(query)}
    if not rows:
        return 0
    bound = 0
    for identity, person in await _identities_of(session, {institution for institution, _, _ in rows}):
        for claim, values in identity.claims.items():
            for row in filter(None, (rows.get((identity.institution_name, claim, value)) for value in values)):
                if row.bound_person_id is None and await _take(session, row, person, now):
                    bound += 1
                elif row.bound_person_id != person.id:
                    await _conflict(session, row, person, now)
    return bound


async def _identities_of(session: AsyncSession, institutions: Collection[str]) -> Sequence[tuple[Identity, Person]]:
    query = (
        select(Identity, Person)
        .join(Person, Person.id == Identity.person_id)
        .join(InstitutionRow, InstitutionRow.name == Identity.institution_name)
        .where(
            Identity.institution_name.in_(institutions),
            Person.blocked_at.is_(None),
            InstitutionRow.removed_at.is_(None),
            InstitutionRow.issuer == Identity.issuer,
        )
        .order_by(Identity.id)
    )
    return (await session.execute(query)).all()


async def _identities(session: AsyncSession, person_id: int) -> Sequence[tuple[Identity, Person]]:
    query = (
        select(Identity, Person)
        .join(Person, Person.id == Identity.person_id)
        .join(InstitutionRow, InstitutionRow.name == Identity.institution_name)
        .where(
            Identity.person_id == person_id,
            InstitutionRow.removed_at.is_(None),
            InstitutionRow.issuer == Identity.issuer,
        )
    )
    return (await session.execute(query)).all()


def _not_held_by(person_id: int) -> ColumnElement[bool]:
    return or_(RosterEntry.bound_person_id.is_(None), RosterEntry.bound_person_id != person_id)


async def _rows(
    session: AsyncSession, institution: str, claims: Mapping[str, Sequence[str]], which: ColumnElement[bool]
) -> list[RosterEntry]:
    """The rows that speak of one of `claims`. Those of archived spaces wait until the space is back."""
    values = {value for found in claims.values() for value in found}
    if not values:
        return []
    query = (
        select(RosterEntry)
        .outerjoin(Space, Space.id == RosterEntry.space_id)
        .where(
            RosterEntry.institution_name == institution,
            RosterEntry.claim.in_(claims),
            RosterEntry.value.in_(values),
            RosterEntry.removed_at.is_(None),
            Space.archived_at.is_(None),
            which,
        )
        .order_by(RosterEntry.id)
    )
    return [row for row in await session.scalars(query) if row.value in claims[row.claim]]


async def _take(session: AsyncSession, row: RosterEntry, person: Person, now: datetime) -> bool:
    """Whether the row is now this person's: the condition in the statement lets one of two win."""
    statement = (
        update(RosterEntry)
        .where(RosterEntry.id == row.id, RosterEntry.bound_person_id.is_(None), RosterEntry.removed_at.is_(None))
        .values(bound_person_id=person.id, bound_at=now)
        .returning(RosterEntry.id)
        .execution_options(synchronize_session=False)
    )
    if (await session.execute(statement)).first() is None:
        await session.refresh(row)
        return False
    set_committed_value(row, "bound_person_id", person.id)
    set_committed_value(row, "bound_at", now)
    session.add(
        Membership(
            person_id=person.id,
            space_id=row.space_id,
            roster_row_id=row.id,
            role=row.role,
            section=row.section,
            created_at=now,
        )
    )
    _record(session, audit.Action.ROSTER_BOUND, row, person, now)
    return True


async def _conflict(session: AsyncSession, row: RosterEntry, person: Person, now: datetime) -> None:
    query = select(AuditEntry.detail).where(
        AuditEntry.action == audit.Action.ROSTER_CONFLICT, AuditEntry.person_id == person.id
    )
    if any(detail.get("roster_row") == row.id for detail in await session.scalars(query)):
        return
    _record(session, audit.Action.ROSTER_CONFLICT, row, person, now)


def _record(session: AsyncSession, action: audit.Action, row: RosterEntry, person: Person, now: datetime) -> None:
    audit.record(
        session,
        at=now,
        actor=person.hub_name,
        action=action,
        person_id=person.id,
        space_id=row.space_id,
        institution=row.institution_name,
        detail={"roster_row": row.id, "claim": row.claim, "value": row.value, "role": row.role},
    )
