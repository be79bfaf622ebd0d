"""What the exchange has: assignments with what somebody handed in, and the submissions of a course."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.courses.exchange import is_late
from kirzl_lab.store.course_tables import Assignment, BlobRow, Submission
from kirzl_lab.store.pages import Page, page_of
from kirzl_lab.store.tables import Person


@dataclass(frozen=True, slots=True)
class SubmissionLine:
    """What somebody handed in."""

    id: int
    assignment: str
    student: str
    """A hub name."""
    student_name: str
    submitted_at: datetime
    late: bool
    sha256: str
    size: int
    files: int
    notebooks: list[str]
    receipt: str
    feedback_at: datetime | None


@dataclass(frozen=True, slots=True)
class AssignmentLine:
    """An assignment, and what one person handed in for it, oldest first."""

    name: str
    due_at: datetime | None
    released_at: datetime | None
    notebooks: list[str]
    release_sha256: str | None
    source_sha256: str | None
    """For staff alone."""
    submissions: list[SubmissionLine]

    @property
    def released(self) -> bool:
        """Whether it can be fetched and handed in."""
        return self.released_at is not None


async def assignments_of(session: AsyncSession, space_id: int, person_id: int, *, staff: bool) -> list[AssignmentLine]:
    """The assignments of a course by name: all of them for staff, for others those that are released or handed in."""
    query = _lines().where(Assignment.space_id == space_id, Submission.person_id == person_id)
    mine: dict[str, list[SubmissionLine]] = {}
    for line in _told(await session.execute(query)):
        mine.setdefault(line.assignment, []).append(line)
    rows = select(Assignment).where(Assignment.space_id == space_id).order_by(Assignment.name)
    if not staff:
        rows = rows.where(or_(Assignment.released_at.is_not(None), Assignment.name.in_(mine)))
    return [
        AssignmentLine(
            name=each.name,
            due_at=each.due_at,
            released_at=each.released_at,
            notebooks=each.notebooks,
            release_sha256=each.release_sha256,
            source_sha256=each.source_sha256 if staff else None,
            submissions=mine.get(each.name, []),
        )
        for each in await session.scalars(rows)
    ]


async def submissions_page(
    session: AsyncSession,
    space_id: int,
    *,
    assignment: str | None = None,
    student: str | None = None,
    page: int = 1,
    per_page: int = 50,
) -> Page[SubmissionLine]:
    """Submissions of a course, oldest first; `student` is a hub name."""
    query = _lines().where(Assignment.space_id == space_id)
    wanted = {Assignment.name: assignment, Person.hub_name: student}
    query = query.where(*(column == value for column, value in wanted.items() if value is not None))
    found = await page_of(session, query, page, per_page, wanted.values())
    return Page(tuple(_told(found.items)), found.page, per_page, found.total)


async def submission_line(session: AsyncSession, submission_id: int) -> SubmissionLine:
    """One submission, which is there."""
    return next(iter(_told(await session.execute(_lines().where(Submission.id == submission_id)))))


async def submission_in(session: AsyncSession, space_id: int, submission_id: int) -> Submission | None:
    """The submission, when it is one of this course."""
    query = select(Submission).join(Assignment, Assignment.id == Submission.assignment_id)
    query = query.where(Submission.id == submission_id, Assignment.space_id == space_id)
    return (await session.execute(query)).scalar_one_or_none()


def _lines() -> Select[*tuple[Any, ...]]:
    return (
        select(Submission, Assignment, Person.hub_name, Person.display_name, BlobRow.size)
        .join(Assignment, Assignment.id == Submission.assignment_id)
        .join(Person, Person.id == Submission.person_id)
        .join(BlobRow, BlobRow.sha256 == Submission.sha256)
        .order_by(Submission.submitted_at, Submission.id)
    )


def _told(rows: Iterable[Any]) -> list[SubmissionLine]:
    return [
        SubmissionLine(
            id=submission.id,
            assignment=assignment.name,
            student=hub_name,
            student_name=display_name,
            submitted_at=submission.submitted_at,
            late=is_late(submission.submitted_at, assignment.due_at),
            sha256=submission.sha256,
            size=size,
            files=submission.files,
            notebooks=submission.notebooks,
            receipt=submission.receipt,
            feedback_at=submission.feedback_at,
        )
        for submission, assignment, hub_name, display_name, size in rows
    ]
