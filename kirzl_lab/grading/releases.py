"""Feedback that is to be made and released, in the lab database: who asked for what, and how it ended.

A submission waits for feedback while it says when somebody asked for it. Making it is one conditional change of that
row at the end: asked for anew or taken back meanwhile, what was made for the older wish is not used.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.grading.tasks import State
from kirzl_lab.problems import NothingToRelease
from kirzl_lab.store import audit
from kirzl_lab.store.course_tables import Assignment, GradingTask, Submission
from kirzl_lab.store.tables import Person, Space


@dataclass(frozen=True, slots=True)
class Wish:
    """Feedback that somebody asked for."""

    submission_id: int
    asked_at: datetime
    asked_by: str
    """Hub name."""
    space_id: int
    course: str
    assignment: str
    person_id: int
    student: str
    """Hub name: nbgrader's student id."""
    submitted_at: datetime
    graded_sha256: str


async def graded_submissions(session: AsyncSession, assignment_id: int) -> dict[str, int]:
    """By hub name the submission that the gradebook has a grade of: the latest of those that were graded."""
    query = (
        select(Person.hub_name, Submission.id)
        .join(Submission, Submission.person_id == Person.id)
        .join(GradingTask, GradingTask.submission_id == Submission.id)
        .where(Submission.assignment_id == assignment_id, GradingTask.state == State.DONE)
        .order_by(Submission.submitted_at)
    )
    return {hub_name: submission for hub_name, submission in await session.execute(query)}


async def ask(
    session: AsyncSession, assignment: Assignment, students: Collection[str], asked_by: int, now: datetime
) -> int:
    """Ask for feedback on the graded submissions of these people (hub names); for how many. Raises `NothingToRelease`."""
    graded = await graded_submissions(session, assignment.id)
    wanted = [graded[student] for student in students if student in graded]
    if not wanted:
        raise NothingToRelease(assignment=assignment.name)
    await session.execute(
        update(Submission)
        .where(Submission.id.in_(wanted))
        .values(feedback_asked_at=now, feedback_asked_by=asked_by, feedback_problem=None)
    )
    return len(wanted)


async def wishes(session: AsyncSession, most: int, *, besides: Collection[int] = ()) -> list[Wish]:
    """The oldest wishes that nobody has met yet, at most so many, for submissions besides these."""
    last = (
        select(func.max(GradingTask.id))
        .where(GradingTask.submission_id == Submission.id, GradingTask.state == State.DONE)
        .correlate(Submission)
        .scalar_subquery()
    )
    query = (
        select(Submission, Person.hub_name, Assignment.name, Space.id, Space.name, GradingTask.graded_sha256)
        .join(Person, Person.id == Submission.person_id)
        .join(Assignment, Assignment.id == Submission.assignment_id)
        .join(Space, Space.id == Assignment.space_id)
        .join(GradingTask, GradingTask.id == last)
        .where(Submission.feedback_asked_at.is_not(None), Submission.id.not_in(besides))
        .order_by(Submission.feedback_asked_at, Submission.id)
        .limit(most)
    )
    found = (await session.execute(query)).all()
    by = {submission.feedback_asked_by for submission, *_ in found}
    names = select(Person.id, Person.hub_name).where(Person.id.in_(by))
    askers: dict[int | None, str] = {id_: name for id_, name in await session.execute(names)}
    return [
        Wish(
            submission_id=submission.id,
            asked_at=submission.feedback_asked_at,
            asked_by=askers[submission.feedback_asked_by],
            space_id=space_id,
            course=course,
            assignment=assignment,
            person_id=submission.person_id,
            student=student,
            submitted_at=submission.submitted_at,
            graded_sha256=graded_sha256,
        )
        for submission, student, assignment, space_id, course, graded_sha256 in found
        if submission.feedback_asked_at and graded_sha256
    ]


async def is_wanted(session: AsyncSession, wish: Wish) -> bool:
    """Whether it is still this wish that waits."""
    query = select(Submission.id).where(_is(wish))
    return (await session.execute(query)).first() is not None


async def meet(session: AsyncSession, wish: Wish, sha256: str, now: datetime) -> bool:
    """Let the person have the feedback; False, and nothing is done, when it is not wanted any more.

    What says the same as what they have already stays as old as it is.
    """
    before = (await session.execute(select(Submission.feedback_sha256).where(_is(wish)))).first()
    if before is None:
        return False
    new = {"feedback_sha256": sha256, "feedback_at": now} if before[0] != sha256 else {}
    changed = await session.execute(
        update(Submission)
        .where(_is(wish))
        .values(feedback_asked_at=None, feedback_asked_by=None, feedback_problem=None, **new)
        .returning(Submission.id)
    )
    if changed.first() is None:
        return False
    if new:
        audit.record(
            session,
            at=now,
            actor=wish.asked_by,
            action=audit.Action.FEEDBACK_RELEASED,
            person_id=wish.person_id,
            space_id=wish.space_id,
            detail={"submission": wish.submission_id},
        )
    return True


async def give_up(session: AsyncSession, wish: Wish, problem: str) -> None:
    """The wish cannot be met, for the problem with that slug."""
    await session.execute(
        update(Submission)
        .where(_is(wish))
        .values(feedback_asked_at=None, feedback_asked_by=None, feedback_problem=problem)
    )


def _is(wish: Wish) -> ColumnElement[bool]:
    return (Submission.id == wish.submission_id) & (Submission.feedback_asked_at == wish.asked_at)
