"""Runs and their tasks in the lab database: what is to be done, by whom it is taken, and how it ended.

Guarantees: a task goes its way once, also when several processes look at the same time and any of them is killed:
every step is one conditional change of one row, and what a step brings is taken for the attempt that was asked alone.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from kirzl_lab.catalog.models import CourseFile
from kirzl_lab.problems import NothingToGrade, RunOver, UnknownRun
from kirzl_lab.store.course_tables import Assignment, GradingRun, GradingTask, Submission
from kirzl_lab.store.tables import Person, Space

LOG_LIMIT = 20_000
"""Characters of a task's log that are kept: its end."""


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
    cancelled: bool
    changed_at: datetime
    reason: str | None
    log: str
    result: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Run:
    """A run and how far it is."""

    id: int
    assignment: str
    started_by: str
    """Hub name."""
    starter: str
    """Their name."""
    started_at: datetime
    cancelled_at: datetime | None
    finished_at: datetime | None
    states: dict[State, int]
    """How many of its tasks are in each state."""

    @property
    def total(self) -> int:
        """How many tasks it has."""
        return sum(self.states.values())

    @property
    def over(self) -> int:
        """How many of them have come to an end."""
        return sum(count for state, count in self.states.items() if state in OVER)


async def latest_submissions(
    session: AsyncSession, assignment_id: int, students: Collection[str] | None = None
) -> list[int]:
    """The newest submission of each person, of `students` (hub names) alone or of all."""
    newest = select(
        Submission.id,
        func.row_number()
        .over(partition_by=Submission.person_id, order_by=(Submission.submitted_at.desc(), Submission.id.desc()))
        .label("place"),
    ).where(Submission.assignment_id == assignment_id)
    if students is not None:
        newest = newest.join(Person, Person.id == Submission.person_id).where(Person.hub_name.in_(students))
    ranked = newest.subquery()
    return list(await session.scalars(select(ranked.c.id).where(ranked.c.place == 1).order_by(ranked.c.id)))


async def begin(
    session: AsyncSession,
    assignment: Assignment,
    started_by: int,
    now: datetime,
    students: Collection[str] | None = None,
) -> int:
    """Make a run with a task for the newest submission of each person; its id.

    Tasks of earlier runs about the same submissions that are still open are cancelled: this run takes their place.
    Raises `NothingToGrade`.
    """
    submissions = await latest_submissions(session, assignment.id, students)
    if not submissions:
        raise NothingToGrade(assignment=assignment.name)
    await _end(session, GradingTask.submission_id.in_(submissions) & GradingTask.state.in_(OPEN), State.CANCELLED, now)
    run = GradingRun(assignment_id=assignment.id, started_by=started_by, started_at=now)
    session.add(run)
    await session.flush()
    session.add_all(
        GradingTask(run_id=run.id, submission_id=submission, state=State.QUEUED, changed_at=now)
        for submission in submissions
    )
    await session.flush()
    await _close_runs(session, now)
    return run.id


async def cancel(session: AsyncSession, run_id: int, now: datetime) -> None:
    """End every open task of a run. What runs is ended by whoever runs it, at its next look. Raises `RunOver`."""
    await _end(session, (GradingTask.run_id == run_id) & GradingTask.state.in_(OPEN), State.CANCELLED, now)
    changed = await session.execute(
        update(GradingRun)
        .where(GradingRun.id == run_id, GradingRun.finished_at.is_(None))
        .values(cancelled_at=now, finished_at=now)
        .returning(GradingRun.id)
    )
    if changed.first() is None:
        raise RunOver()


async def retry(session: AsyncSession, run_id: int, now: datetime) -> int:
    """Queue the tasks of a run that failed or were cancelled once more; how many they are."""
    again = await session.execute(
        update(GradingTask)
        .where(GradingTask.run_id == run_id, GradingTask.state.in_({State.FAILED, State.CANCELLED}))
        .values(
            state=State.QUEUED,
            attempt=GradingTask.attempt + 1,
            fetch_hash=None,
            report_hash=None,
            prepared_sha256=None,
            executed_sha256=None,
            reason=None,
            log="",
            changed_at=now,
        )
        .returning(GradingTask.id)
    )
    count = len(again.all())
    if count:
        await session.execute(
            update(GradingRun).where(GradingRun.id == run_id).values(finished_at=None, cancelled_at=None)
        )
    return count


async def move(
    session: AsyncSession, task: Task, frm: State | Collection[State], to: State, now: datetime, **values: Any
) -> bool:
    """Take a task's attempt a step further; False when it is not (any more) where the step begins.

    `values` are columns of the task; `log` is shortened to its end.
    """
    states = {frm} if isinstance(frm, State) else set(frm)
    if "log" in values:
        values["log"] = values["log"][-LOG_LIMIT:].replace("\x00", "\N{REPLACEMENT CHARACTER}")
    changed = await session.execute(
        update(GradingTask)
        .where(GradingTask.id == task.id, GradingTask.attempt == task.attempt, GradingTask.state.in_(states))
        .values(state=to, changed_at=now, **values)
        .returning(GradingTask.id)
    )
    if changed.first() is None:
        return False
    if to in OVER:
        await _close_runs(session, now)
    return True


async def again(session: AsyncSession, task: Task, now: datetime) -> bool:
    """Give up an attempt that was being executed and queue the next one; what the old one reports is refused."""
    changed = await session.execute(
        update(GradingTask)
        .where(GradingTask.id == task.id, GradingTask.attempt == task.attempt, GradingTask.state == State.EXECUTING)
        .values(
            state=State.PREPARED, attempt=GradingTask.attempt + 1, fetch_hash=None, report_hash=None, changed_at=now
        )
        .returning(GradingTask.id)
    )
    return changed.first() is not None


async def open_tasks(session: AsyncSession, states: Collection[State] = OPEN) -> list[Task]:
    """Tasks in these states, the oldest first."""
    return await _tasks(session, _about_tasks().where(GradingTask.state.in_(states)))


async def tasks_of(session: AsyncSession, run_id: int) -> list[Task]:
    """The tasks of a run, by student."""
    return await _tasks(
        session, _about_tasks().where(GradingTask.run_id == run_id).order_by(None).order_by(Person.hub_name)
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


async def take_fetch(session: AsyncSession, token: str) -> Task | None:
    """The task whose present attempt fetches its files with that token, which is used up by this."""
    return await _take(session, GradingTask.fetch_hash, token)


async def take_report(session: AsyncSession, token: str) -> Task | None:
    """The task whose present attempt reports with that token, which is used up by this."""
    return await _take(session, GradingTask.report_hash, token)


async def task_reporting(session: AsyncSession, token: str) -> Task | None:
    """The task whose present attempt may report with that token, which is not used up by this."""
    wanted = _about_tasks().where(GradingTask.report_hash == hash_of(token), GradingTask.state == State.EXECUTING)
    return next(iter(await _tasks(session, wanted)), None)


async def _take(session: AsyncSession, column: InstrumentedAttribute[str | None], token: str) -> Task | None:
    used = update(GradingTask).where(column == hash_of(token), GradingTask.state == State.EXECUTING)
    taken = (await session.execute(used.values({column: None}).returning(GradingTask.id))).scalar_one_or_none()
    if taken is None:
        return None
    return (await _tasks(session, _about_tasks().where(GradingTask.id == taken)))[0]


def hash_of(token: str) -> str:
    """What the lab remembers of a task's token."""
    return sha256(token.encode()).hexdigest()


async def newest_graded(session: AsyncSession, space_id: int) -> list[Task]:
    """Of each submission of a course that was graded, the task that did it last."""
    newest = (
        select(func.max(GradingTask.id))
        .join(Submission, Submission.id == GradingTask.submission_id)
        .join(Assignment, Assignment.id == Submission.assignment_id)
        .where(Assignment.space_id == space_id, GradingTask.state == State.DONE)
        .group_by(GradingTask.submission_id)
    )
    return await _tasks(session, _about_tasks().where(GradingTask.id.in_(newest)))


async def runs_of(session: AsyncSession, assignment_id: int, limit: int = 20) -> list[Run]:
    """The last runs of an assignment, newest first."""
    return await _runs(
        session,
        select(GradingRun.id)
        .where(GradingRun.assignment_id == assignment_id)
        .order_by(GradingRun.id.desc())
        .limit(limit),
    )


async def run_called(session: AsyncSession, space_id: int, run_id: int) -> Run:
    """A run of that course. Raises `UnknownRun`."""
    known = (
        select(GradingRun.id)
        .join(Assignment, Assignment.id == GradingRun.assignment_id)
        .where(GradingRun.id == run_id, Assignment.space_id == space_id)
    )
    found = await _runs(session, known)
    if not found:
        raise UnknownRun()
    return found[0]


async def _runs(session: AsyncSession, ids: Select[int]) -> list[Run]:
    wanted = list(await session.scalars(ids))
    counts: dict[int, dict[State, int]] = {}
    query = (
        select(GradingTask.run_id, GradingTask.state, func.count())
        .where(GradingTask.run_id.in_(wanted))
        .group_by(GradingTask.run_id, GradingTask.state)
    )
    for run_id, state, count in await session.execute(query):
        counts.setdefault(run_id, {})[State(state)] = count
    about = (
        select(GradingRun, Assignment.name, Person.hub_name, Person.display_name)
        .join(Assignment, Assignment.id == GradingRun.assignment_id)
        .join(Person, Person.id == GradingRun.started_by)
        .where(GradingRun.id.in_(wanted))
        .order_by(GradingRun.id.desc())
    )
    return [
        Run(
            id=run.id,
            assignment=name,
            started_by=hub_name,
            starter=display_name,
            started_at=run.started_at,
            cancelled_at=run.cancelled_at,
            finished_at=run.finished_at,
            states=counts.get(run.id, {}),
        )
        for run, name, hub_name, display_name in await session.execute(about)
    ]


def _about_tasks() -> Select[GradingTask, Submission, Assignment, Space, str, datetime | None]:
    return (
        select(GradingTask, Submission, Assignment, Space, Person.hub_name, GradingRun.cancelled_at)
        .join(GradingRun, GradingRun.id == GradingTask.run_id)
        .join(Submission, Submission.id == GradingTask.submission_id)
        .join(Assignment, Assignment.id == Submission.assignment_id)
        .join(Space, Space.id == Assignment.space_id)
        .join(Person, Person.id == Submission.person_id)
        .order_by(GradingTask.id)
    )


async def _tasks(
    session: AsyncSession, query: Select[GradingTask, Submission, Assignment, Space, str, datetime | None]
) -> list[Task]:
    return [
        Task(
            id=task.id,
            run_id=task.run_id,
            attempt=task.attempt,
            state=State(task.state),
            course=space.name,
            assignment=assignment.name,
            student=student,
            submission_id=submission.id,
            submitted_at=submission.submitted_at,
            submission_sha256=submission.sha256,
            source_sha256=assignment.source_sha256,
            late_penalty=CourseFile.model_validate(space.spec).late_penalty,
            prepared_sha256=task.prepared_sha256,
            executed_sha256=task.executed_sha256,
            graded_sha256=task.graded_sha256,
            cancelled=cancelled_at is not None,
            changed_at=task.changed_at,
            reason=task.reason,
            log=task.log,
            result=task.result,
        )
        for task, submission, assignment, space, student, cancelled_at in await session.execute(query)
    ]


async def _end(session: AsyncSession, which: ColumnElement[bool], state: State, now: datetime) -> None:
    await session.execute(
        update(GradingTask).where(which).values(state=state, fetch_hash=None, report_hash=None, changed_at=now)
    )


async def _close_runs(session: AsyncSession, now: datetime) -> None:
    """Runs without an open task are finished."""
    finished: Sequence[int] = list(
        await session.scalars(
            select(GradingRun.id).where(
                GradingRun.finished_at.is_(None),
                ~select(GradingTask.id)
                .where(GradingTask.run_id == GradingRun.id, GradingTask.state.in_(OPEN))
                .exists(),
            )
        )
    )
    if finished:
        await session.execute(update(GradingRun).where(GradingRun.id.in_(finished)).values(finished_at=now))
