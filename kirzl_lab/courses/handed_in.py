"""What the lab database knows that a gradebook does not: who is in the course, and what they handed in."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.catalog.models import Role
from kirzl_lab.store.course_tables import Assignment, Submission
from kirzl_lab.store.tables import Membership, Person


@dataclass(frozen=True, slots=True)
class Student:
    """Somebody whose work the gradebook may have."""

    hub_name: str
    name: str
    section: str
    enrolled: bool
    """Whether they are a student of the course now; staff who tried an assignment and people who left are not."""


@dataclass(frozen=True, slots=True)
class OwnSubmission:
    """Something that a person handed in, as they see it."""

    assignment: str
    due_at: datetime | None
    submitted_at: datetime
    feedback_at: datetime | None


async def students(session: AsyncSession, space_id: int, graded: Collection[str] = ()) -> list[Student]:
    """The students of the course, whoever else handed something in there, and who is `graded` (hub names), in no order."""
    people: dict[str, Student] = {}
    members = (
        select(Person.hub_name, Person.display_name, Membership.section)
        .join(Membership, Membership.person_id == Person.id)
        .where(Membership.space_id == space_id, Membership.role == Role.STUDENT)
        .order_by(Membership.id)
    )
    for hub_name, name, section in await session.execute(members):
        people.setdefault(hub_name, Student(hub_name, name, section, enrolled=True))
    submitters = (
        select(Submission.person_id)
        .join(Assignment, Assignment.id == Submission.assignment_id)
        .where(Assignment.space_id == space_id)
    )
    also = [hub_name for hub_name in graded if hub_name not in people]
    others = select(Person.hub_name, Person.display_name).where(
        or_(Person.id.in_(submitters), Person.hub_name.in_(also))
    )
    for hub_name, name in await session.execute(others):
        people.setdefault(hub_name, Student(hub_name, name, "", enrolled=False))
    for hub_name in also:  # whom somebody entered with nbgrader, without an account here
        people.setdefault(hub_name, Student(hub_name, hub_name, "", enrolled=False))
    return list(people.values())


async def due_dates(session: AsyncSession, space_id: int, *, released: bool = False) -> dict[str, datetime | None]:
    """Every assignment of the course that was ever released, or that is `released` now, and when it is due."""
    query = select(Assignment.name, Assignment.due_at).where(Assignment.space_id == space_id)
    if released:
        query = query.where(Assignment.released_at.is_not(None))
    return {name: due_at for name, due_at in await session.execute(query)}


async def last_submissions(
    session: AsyncSession, space_id: int, hub_names: Collection[str] | None = None
) -> dict[tuple[str, str], datetime]:
    """When each person (hub name) last handed something in for each assignment; for `hub_names` alone, if given."""
    query = (
        select(Person.hub_name, Assignment.name, func.max(Submission.submitted_at))
        .join(Submission, Submission.person_id == Person.id)
        .join(Assignment, Assignment.id == Submission.assignment_id)
        .where(Assignment.space_id == space_id)
        .group_by(Person.hub_name, Assignment.name)
    )
    if hub_names is not None:
        query = query.where(Person.hub_name.in_(hub_names))
    return {(hub_name, assignment): at for hub_name, assignment, at in await session.execute(query)}


async def submission_times(session: AsyncSession, space_id: int, assignment: str) -> list[datetime]:
    """When something was handed in for the assignment, oldest first: every submission, not only the last of a person."""
    query = (
        select(Submission.submitted_at)
        .join(Assignment, Assignment.id == Submission.assignment_id)
        .where(Assignment.space_id == space_id, Assignment.name == assignment)
        .order_by(Submission.submitted_at)
    )
    return list(await session.scalars(query))


async def submitters(session: AsyncSession, space_id: int, assignment: str) -> set[str]:
    """The hub names of everybody who handed something in for the assignment."""
    query = (
        select(Person.hub_name)
        .join(Submission, Submission.person_id == Person.id)
        .join(Assignment, Assignment.id == Submission.assignment_id)
        .where(Assignment.space_id == space_id, Assignment.name == assignment)
    )
    return set(await session.scalars(query))


async def own_submissions(session: AsyncSession, space_id: int, person_id: int) -> list[OwnSubmission]:
    """What a person handed in in the course, oldest first."""
    query = (
        select(Assignment.name, Assignment.due_at, Submission.submitted_at, Submission.feedback_at)
        .join(Assignment, Assignment.id == Submission.assignment_id)
        .where(Assignment.space_id == space_id, Submission.person_id == person_id)
        .order_by(Submission.submitted_at, Submission.id)
    )
    return [OwnSubmission(*row) for row in await session.execute(query)]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A submission as the overview of an assignment needs it."""

    id: int
    submitted_at: datetime
    feedback_at: datetime | None
    feedback_asked: bool
    """Whether feedback on it is being made."""
    feedback_problem: str | None


async def attempts(session: AsyncSession, assignment_id: int) -> dict[str, list[Attempt]]:
    """By hub name what everybody handed in for an assignment, oldest first."""
    query = (
        select(
            Person.hub_name,
            Submission.id,
            Submission.submitted_at,
            Submission.feedback_at,
            Submission.feedback_asked_at.is_not(None),
            Submission.feedback_problem,
        )
        .join(Person, Person.id == Submission.person_id)
        .where(Submission.assignment_id == assignment_id)
        .order_by(Submission.submitted_at, Submission.id)
    )
    found: dict[str, list[Attempt]] = {}
    for hub_name, id_, at, feedback_at, asked, problem in await session.execute(query):
        found.setdefault(hub_name, []).append(Attempt(id_, at, feedback_at, asked, problem))
    return found


@dataclass(frozen=True, slots=True)
class Counted:
    """How many people handed an assignment in, and how many have feedback."""

    people: int = 0
    with_feedback: int = 0


async def counted(session: AsyncSession, space_id: int) -> dict[str, Counted]:
    """The figures of every assignment of a course for which something was handed in, by its name."""
    with_feedback = func.count(Submission.person_id.distinct()).filter(Submission.feedback_at.is_not(None))
    query = (
        select(Assignment.name, func.count(Submission.person_id.distinct()), with_feedback)
        .join(Submission, Submission.assignment_id == Assignment.id)
        .where(Assignment.space_id == space_id)
        .group_by(Assignment.name)
    )
    return {name: Counted(people, feedback) for name, people, feedback in await session.execute(query)}


async def enrolled(session: AsyncSession, space_id: int) -> int:
    """How many are students of the course."""
    query = select(func.count(Membership.person_id.distinct())).where(
        Membership.space_id == space_id, Membership.role == Role.STUDENT
    )
    return (await session.execute(query)).scalar_one()
