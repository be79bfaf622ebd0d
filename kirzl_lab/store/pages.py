"""What the operators' pages show: persons, spaces and the audit, a page at a time.

Each function searches, filters and counts in the database and gives plain records. Searches ignore case and take
`%` and `_` for what they are.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, String, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from kirzl_lab.catalog.models import Kind
from kirzl_lab.store.audit import Action
from kirzl_lab.store.lines import (
    AuditLine,
    IdentityLine,
    MembershipLine,
    PersonLine,
    SpaceLine,
    person_lines,
    space_lines,
)
from kirzl_lab.store.tables import AuditEntry, Identity, Person, Space, storable

__all__ = [
    "AuditLine",
    "IdentityLine",
    "MembershipLine",
    "Page",
    "PersonLine",
    "SpaceLine",
    "audit_page",
    "page_of",
    "person_line",
    "persons_page",
    "spaces_page",
]

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some of the items, and how many there are."""

    items: tuple[Item, ...]
    page: int
    """Counted from 1."""
    per_page: int
    total: int

    @property
    def pages(self) -> int:
        """How many pages there are; 1 when there is nothing."""
        return max(1, -(-self.total // self.per_page))


async def persons_page(
    session: AsyncSession,
    *,
    search: str = "",
    institution: str | None = None,
    blocked: bool | None = None,
    page: int = 1,
    per_page: int = 50,
) -> Page[PersonLine]:
    """Persons by hub name. `search` looks at names, subjects and what the institutions asserted."""
    query = select(Person).order_by(Person.hub_name)
    if search:
        identity = or_(
            Identity.subject.icontains(search, autoescape=True),
            # As it stands in JSON text: PostgreSQL and SQLite have no common way to look inside.
            cast(Identity.claims, String).icontains(json.dumps(search)[1:-1], autoescape=True),
        )
        query = query.where(
            or_(
                Person.hub_name.icontains(search, autoescape=True),
                Person.display_name.icontains(search, autoescape=True),
                Person.identities.any(identity),
            )
        )
    if institution is not None:
        query = query.where(Person.identities.any(Identity.institution_name == institution))
    if blocked is not None:
        query = query.where(_is_set(Person.blocked_at, blocked))
    found = await page_of(session, query, page, per_page, (search, institution))
    persons = [person for (person,) in found.items]
    return Page(await person_lines(session, persons), found.page, per_page, found.total)


async def person_line(session: AsyncSession, hub_name: str) -> PersonLine | None:
    """One person as the page People shows them, None when nobody has that hub name."""
    persons = (await session.scalars(select(Person).where(Person.hub_name == hub_name))) if storable(hub_name) else ()
    return next(iter(await person_lines(session, list(persons))), None)


async def spaces_page(
    session: AsyncSession,
    *,
    search: str = "",
    kind: Kind | None = None,
    archived: bool | None = None,
    page: int = 1,
    per_page: int = 50,
) -> Page[SpaceLine]:
    """Spaces by name. `search` looks at the name and both titles."""
    query = select(Space).order_by(Space.name)
    if search:
        columns = (Space.name, Space.title_de, Space.title_en)
        query = query.where(or_(*(column.icontains(search, autoescape=True) for column in columns)))
    if kind is not None:
        query = query.where(Space.kind == kind)
    if archived is not None:
        query = query.where(_is_set(Space.archived_at, archived))
    found = await page_of(session, query, page, per_page, (search,))
    spaces = [space for (space,) in found.items]
    return Page(await space_lines(session, spaces), found.page, per_page, found.total)


async def audit_page(
    session: AsyncSession,
    *,
    actor: str | None = None,
    action: Action | None = None,
    person: str | None = None,
    space: str | None = None,
    institution: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    page: int = 1,
    per_page: int = 50,
) -> Page[AuditLine]:
    """The audit, newest first; `since` is included, `until` is not. `actor` and `person` are hub names."""
    query = (
        select(AuditEntry, Person.hub_name, Space.name)
        .outerjoin(Person, Person.id == AuditEntry.person_id)
        .outerjoin(Space, Space.id == AuditEntry.space_id)
        .order_by(AuditEntry.id.desc())
    )
    wanted = {
        AuditEntry.actor: actor,
        AuditEntry.action: action,
        Person.hub_name: person,
        Space.name: space,
        AuditEntry.institution_name: institution,
    }
    query = query.where(*(column == value for column, value in wanted.items() if value is not None))
    if since is not None:
        query = query.where(AuditEntry.at >= since)
    if until is not None:
        query = query.where(AuditEntry.at < until)
    found = await page_of(session, query, page, per_page, wanted.values())
    lines = tuple(
        AuditLine(
            id=entry.id,
            at=entry.at,
            actor=entry.actor,
            action=entry.action,
            person=hub_name,
            space=space_name,
            institution=entry.institution_name,
            detail=entry.detail,
            note=entry.note,
        )
        for entry, hub_name, space_name in found.items
    )
    return Page(lines, found.page, per_page, found.total)


def _is_set(column: InstrumentedAttribute[datetime | None], wanted: bool) -> ColumnElement[bool]:
    return column.is_not(None) if wanted else column.is_(None)


async def page_of(
    session: AsyncSession, query: Select[*tuple[Any, ...]], page: int, per_page: int, inputs: Iterable[str | None]
) -> Page[Sequence[Any]]:
    """The rows of one page. What no text in the database can equal finds nothing, on both databases."""
    page = max(page, 1)
    if not all(storable(text) for text in inputs if text is not None):
        return Page((), page, per_page, 0)
    total = (await session.execute(select(func.count()).select_from(query.order_by(None).subquery()))).scalar_one()
    skipped = (page - 1) * per_page
    if skipped >= total:
        return Page((), page, per_page, total)
    rows = await session.execute(query.limit(per_page).offset(skipped))
    return Page(tuple(rows), page, per_page, total)
