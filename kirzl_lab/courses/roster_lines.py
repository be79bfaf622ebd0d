"""A course's roster as its pages show it: each row with the person it belongs to, and who wanted it, too."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.catalog.models import Role
from kirzl_lab.store.audit import Action
from kirzl_lab.store.pages import Page, page_of
from kirzl_lab.store.tables import AuditEntry, Person, RosterEntry

ORDER = (Role.INSTRUCTOR, Role.ASSISTANT, Role.STUDENT)
"""The roles in a course, as lists have them."""


class State(StrEnum):
    """How far a row has come."""

    WAITING = "waiting"
    """For the first login of its person."""
    BOUND = "bound"
    CONFLICT = "conflict"
    """Bound, and asserted for another person as well."""


@dataclass(frozen=True, slots=True)
class RosterLine:
    """A row of a roster."""

    id: int
    institution: str
    claim: str
    value: str
    role: Role
    section: str
    created_at: datetime
    state: State
    person: str | None
    """Hub name of whom it is bound to."""
    person_name: str | None
    bound_at: datetime | None
    also: tuple[str, ...]
    """Names of the others of whom an institution said the same."""


@dataclass(frozen=True, slots=True)
class RosterCounts:
    """How many rows there are, before any search."""

    all: int
    waiting: int
    conflicts: int
    sections: tuple[str, ...]


async def roster_page(
    session: AsyncSession,
    space_id: int,
    *,
    search: str = "",
    section: str | None = None,
    role: Role | None = None,
    state: State | None = None,
    page: int = 1,
    per_page: int = 50,
) -> Page[RosterLine]:
    """Rows by role, section and value. `search` looks at values and at the names of people."""
    also = await _others(session, space_id)
    query = _rows(space_id).order_by(
        case({role: number for number, role in enumerate(ORDER)}, value=RosterEntry.role),
        RosterEntry.section,
        RosterEntry.value,
        RosterEntry.id,
    )
    if search:
        columns = (RosterEntry.value, Person.display_name, Person.hub_name)
        query = query.where(or_(*(column.icontains(search, autoescape=True) for column in columns)))
    if section is not None:
        query = query.where(RosterEntry.section == section)
    if role is not None:
        query = query.where(RosterEntry.role == role)
    if state is State.WAITING:
        query = query.where(RosterEntry.bound_person_id.is_(None))
    elif state is State.BOUND:
        query = query.where(RosterEntry.bound_person_id.is_not(None), RosterEntry.id.not_in(also))
    elif state is State.CONFLICT:
        query = query.where(RosterEntry.id.in_(also))
    found = await page_of(session, query, page, per_page, (search, section))
    return Page(tuple(_line(row, also) for row in found.items), found.page, per_page, found.total)


async def roster_line(session: AsyncSession, space_id: int, row_id: int) -> RosterLine | None:
    """One row, None when the roster has it no more."""
    row = (await session.execute(_rows(space_id).where(RosterEntry.id == row_id))).one_or_none()
    return None if row is None else _line(row, await _others(session, space_id))


async def roster_counts(session: AsyncSession, space_id: int) -> RosterCounts:
    """How many rows there are, how many wait, and which sections there are."""
    live = (RosterEntry.space_id == space_id, RosterEntry.removed_at.is_(None))
    waits = func.coalesce(func.sum(case((RosterEntry.bound_person_id.is_(None), 1), else_=0)), 0)
    total, waiting = (await session.execute(select(func.count(), waits).select_from(RosterEntry).where(*live))).one()
    conflicts = (
        select(func.count()).select_from(RosterEntry).where(*live, RosterEntry.id.in_(await _others(session, space_id)))
    )
    sections = select(RosterEntry.section).where(*live, RosterEntry.section != "").distinct()
    return RosterCounts(
        all=total,
        waiting=int(waiting),
        conflicts=(await session.execute(conflicts)).scalar_one(),
        sections=tuple(sorted(await session.scalars(sections))),
    )


def _rows(space_id: int) -> Select[RosterEntry, str, str]:
    return (
        select(RosterEntry, Person.hub_name, Person.display_name)
        .outerjoin(Person, Person.id == RosterEntry.bound_person_id)
        .where(RosterEntry.space_id == space_id, RosterEntry.removed_at.is_(None))
    )


async def _others(session: AsyncSession, space_id: int) -> dict[int, tuple[str, ...]]:
    """Row -> names of people who wanted it when it was somebody else's, from the audit; each of them has one entry."""
    query = (
        select(AuditEntry.detail, Person.display_name)
        .join(Person, Person.id == AuditEntry.person_id)
        .where(AuditEntry.space_id == space_id, AuditEntry.action == Action.ROSTER_CONFLICT)
        .order_by(AuditEntry.id)
    )
    found: dict[int, tuple[str, ...]] = {}
    for detail, name in await session.execute(query):
        row = int(detail["roster_row"])
        found[row] = (*found.get(row, ()), name)
    return found


def _line(row: Sequence[Any], also: dict[int, tuple[str, ...]]) -> RosterLine:
    entry, hub_name, name = row
    others = also.get(entry.id, ())
    return RosterLine(
        id=entry.id,
        institution=entry.institution_name,
        claim=entry.claim,
        value=entry.value,
        role=Role(entry.role),
        section=entry.section,
        created_at=entry.created_at,
        state=State.WAITING if hub_name is None else State.CONFLICT if others else State.BOUND,
        person=hub_name,
        person_name=name,
        bound_at=entry.bound_at,
        also=others,
    )
