"""The grading of one submission, a row each: how far it is, and lists of them. What changes them is in `runs`."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.catalog.models import CourseFile
from kirzl_lab.store.course_tables import Assignment, GradingTask, Submission
from kirzl_lab.store.tables import Person, Space


class State(StrEnum):
    """How far a task is."""

    QUEUED = "queued"
    PREPARED = "prepared"
    """Its files wait for somebody to run them."""
    EXECUTING = "executing"
    EXECUTED = "executed"
    """What ran came back and is to be finished."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


OVER = frozenset({State.DONE, State.FAILED, State.CANCELLED})
OPEN = frozenset(State) - OVER


@dataclass(frozen=True, slots=True)
class Task:
    """A task and what it is about: everything that the three steps need to know."""

    id: int
    run_id: int
    attempt: int
    losses: int
    """Attempts since it was asked for that came to nothing through no fault of the submission."""
    state: State
    course: str
    assignment: str
    student: str
    """Hub name: nbgrader's student id."""
    submission_id: int
    submitted_at: datetime
    submission_sha256: str
    source_sha256: str | None
    """What the assignment is made from: its files are put back before it is run, its notebooks are not read."""
    late_penalty: str
    """nbgrader's penalty method."""
    prepared_sha256: str | None
    executed_sha256: str | None
    graded_sha256: str | None
    changed_at: datetime
    reason: str | None
    log: str
    result: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Graded:
    """A submission that was graded, and the blob of its graded folder."""

    submission_id: int
    assignment: str
    student: str
    """Hub name."""
    submitted_at: datetime
    sha256: str


async def open_tasks(session: AsyncSession, states: Collection[State] = OPEN) -> list[Task]:
    """Tasks in these states, the oldest first."""
    return await tasks_in(session, about_tasks().where(GradingTask.state.in_(states)))


async def tasks_of(session: AsyncSession, run_id: int) -> list[Task]:
    """The tasks of a run, by student."""
    return await tasks_in(
        session, about_tasks().where(GradingTask.run_id == run_id).order_by(None).order_by(Person.hub_name)
    )


async def is_newest(session: AsyncSession, task: Task) -> bool:
    """Whether the attempt is still wanted, and none of a later submission of the same person has been finished."""
    person = select(Submission.person_id).where(Submission.id == task.submission_id).scalar_subquery()
    about = select(Submission.assignment_id).where(Submission.id == task.submission_id).scalar_subquery()
    mine = select(GradingTask.id).where(
        GradingTask.id == task.id, GradingTask.attempt == task.attempt, GradingTask.state == State.EXECUTED
    )
    later = (
        select(GradingTask.id)
        .join(Submission, Submission.id == GradingTask.submission_id)
        .where(
            Submission.assignment_id == about,
            Submission.person_id == person,
            Submission.submitted_at > task.submitted_at,
            GradingTask.state == State.DONE,
        )
    )
    found = (await session.execute(select(mine.exists(), later.exists()))).one()
    return bool(found[0] and not found[1])


async def task_reporting(session: AsyncSession, token: str) -> Task | None:
    """The task whose present attempt may report with that token, which is not used up by this."""
    wanted = about_tasks().where(GradingTask.report_hash == hash_of(token), GradingTask.state == State.EXECUTING)
    return next(iter(await tasks_in(session, wanted)), None)


def hash_of(token: str) -> str:
    """What the lab remembers of a task's token."""
    return sha256(token.encode()).hexdigest()


async def newest_graded(session: AsyncSession, space_id: int, submission_id: int | None = None) -> list[Graded]:
    """What graded the submissions of a course last, by task; of one submission alone, where it is given."""
    newest = (
        select(func.max(GradingTask.id))
        .join(Submission, Submission.id == GradingTask.submission_id)
        .join(Assignment, Assignment.id == Submission.assignment_id)
        .where(Assignment.space_id == space_id, GradingTask.state == State.DONE)
        .group_by(GradingTask.submission_id)
    )
    if submission_id is not None:
        newest = newest.where(Submission.id == submission_id)
    wanted = (
        select(Submission.id, Assignment.name, Person.hub_name, Submission.submitted_at, GradingTask.graded_sha256)
        .select_from(GradingTask)
        .join(Submission, Submission.id == GradingTask.submission_id)
        .join(Assignment, Assignment.id == Submission.assignment_id)
        .join(Person, Person.id == Submission.person_id)
        .where(GradingTask.id.in_(newest))
        .order_by(GradingTask.id)
    )
    return [
        Graded(number, assignment, student, at, sha256)
        for number, assignment, student, at, sha256 in await session.execute(wanted)
        if sha256 is not None
    ]


def about_tasks() -> Select[GradingTask, Submission, Assignment, Space, str]:
    """All tasks, the oldest first, with what `tasks_in` needs to know of them; to be narrowed."""
    return (
        select(GradingTask, Submission, Assignment, Space, Person.hub_name)
        .join(Submission, Submission.id == GradingTask.submission_id)
        .join(Assignment, Assignment.id == Submission.assignment_id)
        .join(Space, Space.id == Assignment.space_id)
        .join(Person, Person.id == Submission.person_id)
        .order_by(GradingTask.id)
    )


async def tasks_in(session: AsyncSession, query: Select[GradingTask, Submission, Assignment, Space, str]) -> list[Task]:
    """The tasks that the query, made from `about_tasks`, finds."""
    penalties: dict[int, str] = {}  # of each course once: there may be thousands of tasks

    def penalty_of(space: Space) -> str:
        if space.id not in penalties:
            penalties[space.id] = CourseFile.model_validate(space.spec).late_penalty
        return penalties[space.id]

    return [
        Task(
            id=task.id,
            run_id=task.run_id,
            attempt=task.attempt,
            losses=task.losses,
            state=State(task.state),
            course=space.name,
            assignment=assignment.name,
            student=student,
            submission_id=submission.id,
            submitted_at=submission.submitted_at,
            submission_sha256=submission.sha256,
            source_sha256=assignment.source_sha256,
            late_penalty=penalty_of(space),
            prepared_sha256=task.prepared_sha256,
            executed_sha256=task.executed_sha256,
            graded_sha256=task.graded_sha256,
            changed_at=task.changed_at,
            reason=task.reason,
            log=task.log,
            result=task.result,
        )
        for task, submission, assignment, space, student in await session.execute(query)
    ]
