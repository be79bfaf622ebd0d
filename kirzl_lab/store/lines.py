"""Plain records of persons, spaces and audit entries for pages to show, and how they are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.catalog.models import Kind, Role, Text
from kirzl_lab.store.tables import Identity, Membership, Person, RosterEntry, Space


@dataclass(frozen=True, slots=True)
class IdentityLine:
    """One identity of a person."""

    institution: str
    issuer: str
    subject: str
    last_login_at: datetime


@dataclass(frozen=True, slots=True)
class MembershipLine:
    """One role of a person, by one roster row."""

    space: str
    role: Role
    section: str
    archived: bool


@dataclass(frozen=True, slots=True)
class PersonLine:
    """A person as the page People shows them."""

    hub_name: str
    display_name: str
    created_at: datetime
    blocked_at: datetime | None
    operator: bool
    identities: tuple[IdentityLine, ...]
    memberships: tuple[MembershipLine, ...]
    """By name of the space; the operator role is not among them."""

    @property
    def institutions(self) -> tuple[str, ...]:
        """The institutions of the person, by name."""
        return tuple(sorted({identity.institution for identity in self.identities}))

    @property
    def last_login_at(self) -> datetime | None:
        """When the person last logged in, through any institution."""
        return max((identity.last_login_at for identity in self.identities), default=None)


@dataclass(frozen=True, slots=True)
class SpaceLine:
    """A space as the page Spaces shows it."""

    name: str
    kind: Kind
    title: Text
    managed_by: str | None
    created_at: datetime
    archived_at: datetime | None
    members: dict[Role, int]
    """How many persons have each role; somebody with two roles counts for both. Roles nobody has are left out."""
    waiting: int
    """Roster rows whose person has not logged in yet."""


@dataclass(frozen=True, slots=True)
class AuditLine:
    """An entry of the audit, with names in place of keys."""

    id: int
    at: datetime
    actor: str
    action: str
    person: str | None
    """The hub name of the person it happened to."""
    space: str | None
    institution: str | None
    detail: dict[str, Any]
    note: str


async def person_lines(session: AsyncSession, persons: Sequence[Person]) -> tuple[PersonLine, ...]:
    """The lines of these persons, in their order."""
    ids = [person.id for person in persons]
    identities: dict[int, list[IdentityLine]] = {}
    for identity in await session.scalars(
        select(Identity).where(Identity.person_id.in_(ids)).order_by(Identity.institution_name, Identity.id)
    ):
        identities.setdefault(identity.person_id, []).append(
            IdentityLine(identity.institution_name, identity.issuer, identity.subject, identity.last_login_at)
        )
    roles = await session.execute(
        select(Membership.person_id, Space.name, Membership.role, Membership.section, Space.archived_at)
        .outerjoin(Space, Space.id == Membership.space_id)
        .where(Membership.person_id.in_(ids))
        .order_by(Space.name, Membership.id)
    )
    operators: set[int] = set()
    memberships: dict[int, list[MembershipLine]] = {}
    for person_id, space, role, section, archived_at in roles:
        if space is None:
            operators.add(person_id)
        else:
            line = MembershipLine(space, Role(role), section, archived_at is not None)
            memberships.setdefault(person_id, []).append(line)
    return tuple(
        PersonLine(
            hub_name=person.hub_name,
            display_name=person.display_name,
            created_at=person.created_at,
            blocked_at=person.blocked_at,
            operator=person.id in operators,
            identities=tuple(identities.get(person.id, ())),
            memberships=tuple(memberships.get(person.id, ())),
        )
        for person in persons
    )


async def space_lines(session: AsyncSession, spaces: Sequence[Space]) -> tuple[SpaceLine, ...]:
    """The lines of these spaces, in their order."""
    ids = [space.id for space in spaces]
    members: dict[int, dict[Role, int]] = {}
    counts = await session.execute(
        select(Membership.space_id, Membership.role, func.count(Membership.person_id.distinct()))
        .where(Membership.space_id.in_(ids))
        .group_by(Membership.space_id, Membership.role)
        .order_by(Membership.role)
    )
    for space_id, role, count in counts:
        if space_id is not None:
            members.setdefault(space_id, {})[Role(role)] = count
    waiting = await session.execute(
        select(RosterEntry.space_id, func.count())
        .where(RosterEntry.space_id.in_(ids), RosterEntry.bound_person_id.is_(None), RosterEntry.removed_at.is_(None))
        .group_by(RosterEntry.space_id)
    )
    waits = {space_id: count for space_id, count in waiting}
    return tuple(
        SpaceLine(
            name=space.name,
            kind=Kind(space.kind),
            title=Text(de=space.title_de, en=space.title_en),
            managed_by=space.managed_by,
            created_at=space.created_at,
            archived_at=space.archived_at,
            members=members.get(space.id, {}),
            waiting=waits.get(space.id, 0),
        )
        for space in spaces
    )
