"""Who may open what: the questions that the hub and the lab service ask of memberships."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.catalog.models import STAFF, CourseCreators, Kind, Role
from kirzl_lab.store.tables import Identity, InstitutionRow, Membership, Person, ServerBinding, Space, storable

STRENGTH = {
    Role.STUDENT: 1,
    Role.MEMBER: 1,
    Role.ASSISTANT: 2,
    Role.INSTRUCTOR: 3,
    Role.OWNER: 3,
}
"""Of several rows that give a person roles in one space, the strongest counts."""


@dataclass(frozen=True, slots=True)
class Member:
    """A person's place in a space that they may open."""

    space: Space
    role: Role
    section: str


@dataclass(frozen=True, slots=True)
class Bound:
    """What one of a person's server names means."""

    server_name: str
    space: str
    purpose: str


async def person_called(session: AsyncSession, hub_name: str) -> Person | None:
    """The person with that hub name, blocked or not."""
    if not storable(hub_name):
        return None
    return (await session.execute(select(Person).where(Person.hub_name == hub_name))).scalar_one_or_none()


async def is_operator(session: AsyncSession, person_id: int) -> bool:
    """Whether the person operates the site."""
    query = select(Membership.id).where(
        Membership.person_id == person_id, Membership.space_id.is_(None), Membership.role == Role.OPERATOR
    )
    return (await session.execute(query.limit(1))).first() is not None


async def memberships(session: AsyncSession, person_id: int) -> list[Member]:
    """The spaces that a person may open, by name; archived ones are left out."""
    return await _members(session, Membership.person_id == person_id, Space.archived_at.is_(None))


async def courses_of(session: AsyncSession, person_id: int) -> list[Member]:
    """The courses that a person is in, by name, archived ones as well."""
    return await _members(session, Membership.person_id == person_id, Space.kind == Kind.COURSE)


async def _members(session: AsyncSession, *conditions: ColumnElement[bool]) -> list[Member]:
    query = (
        select(Space, Membership.role, Membership.section)
        .join(Membership, Membership.space_id == Space.id)
        .where(*conditions)
        .order_by(Space.name)
    )
    strongest: dict[int, Member] = {}
    for space, role, section in await session.execute(query):
        member = Member(space=space, role=Role(role), section=section)
        known = strongest.get(space.id)
        if known is None or STRENGTH[member.role] > STRENGTH[known.role]:
            strongest[space.id] = member
    return list(strongest.values())


async def member_of_course(session: AsyncSession, person_id: int, name: str) -> Member | None:
    """A person's place in the course of that name, archived or not; None without one. A deleted course has no members."""
    if not storable(name):
        return None
    query = (
        select(Space, Membership.role, Membership.section)
        .join(Membership, Membership.space_id == Space.id)
        .where(
            Membership.person_id == person_id,
            Space.name == name,
            Space.kind == Kind.COURSE,
        )
    )
    places = [Member(space, Role(role), section) for space, role, section in await session.execute(query)]
    return max(places, key=lambda member: STRENGTH[member.role], default=None)


async def staff_of_courses(session: AsyncSession) -> dict[str, set[str]]:
    """Hub names of the people who run each course, by the course's name; nobody for an archived one."""
    names = {name: set[str]() for name in await session.scalars(select(Space.name).where(Space.kind == Kind.COURSE))}
    query = (
        select(Space.name, Person.hub_name)
        .join(Membership, Membership.space_id == Space.id)
        .join(Person, Person.id == Membership.person_id)
        .where(
            Space.kind == Kind.COURSE,
            Space.archived_at.is_(None),
            Membership.role.in_(STAFF),
            Person.blocked_at.is_(None),
        )
    )
    for course, hub_name in await session.execute(query):
        names[course].add(hub_name)
    return names


async def may_create_courses(session: AsyncSession, person_id: int, creators: Collection[CourseCreators]) -> bool:
    """Whether the person is instructor of a course, or one of the `creators` by what their institutions assert."""
    instructs = select(Membership.id).where(Membership.person_id == person_id, Membership.role == Role.INSTRUCTOR)
    if (await session.execute(instructs.limit(1))).first() is not None:
        return True
    asserted = (
        select(Identity.institution_name, Identity.claims)
        .join(InstitutionRow, InstitutionRow.name == Identity.institution_name)
        .where(Identity.person_id == person_id, InstitutionRow.removed_at.is_(None))
    )
    return any(
        one.institution == institution and one.value in claims.get(one.claim, ())
        for institution, claims in await session.execute(asserted)
        for one in creators
    )


async def binding_of(session: AsyncSession, person_id: int, server_name: str) -> Bound | None:
    """What one of a person's server names means."""
    found = (bound for bound in await bindings(session, person_id) if bound.server_name == server_name)
    return next(found, None)


async def space_called(session: AsyncSession, name: str | None) -> Space | None:
    """The space with that name, unless it is archived."""
    if name is None or not storable(name):
        return None
    query = select(Space).where(Space.name == name, Space.archived_at.is_(None))
    return (await session.execute(query)).scalar_one_or_none()


async def bindings(session: AsyncSession, person_id: int) -> list[Bound]:
    """What each of a person's server names means, by name."""
    query = (
        select(ServerBinding.server_name, Space.name, ServerBinding.purpose)
        .join(Space, Space.id == ServerBinding.space_id)
        .where(ServerBinding.person_id == person_id)
        .order_by(ServerBinding.server_name)
    )
    return [Bound(*row) for row in await session.execute(query)]
