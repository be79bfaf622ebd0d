"""Runs and their tasks in the lab database: what is to be done, by whom it is taken, and how it ended.

Guarantees: a task goes its way once, also when several processes look at the same time and any of them is killed:
every step is one conditional change of one row, and what a step brings is taken for the attempt that was asked alone.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from kirzl_lab.grading.tasks import OPEN, OVER, State, Task, about_tasks, hash_of, tasks_in
from kirzl_lab.problems import NothingToGrade, RunOver, UnknownRun
from kirzl_lab.store.course_tables import Assignment, GradingRun, GradingTask, Submission
from kirzl_lab.store.tables import Person

LOG_LIMIT = 20_000
"""Characters of a task's log that are kept: its end."""


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

    Tasks of earlier runs about the same people's work that are still open are cancelled: this run takes their place.
    Raises `NothingToGrade`.
    """
    await _alone(session, assignment.id)
    submissions = await latest_submissions(session, assignment.id, students)
    if not submissions:
        raise NothingToGrade(assignment=assignment.name)
    people = select(Submission.person_id).where(Submission.id.in_(submissions))
    theirs = select(Submission.id).where(Submission.assignment_id == assignment.id, Submission.person_id.in_(people))
    await _end(session, GradingTask.submission_id.in_(theirs) & GradingTask.state.in_(OPEN), State.CANCELLED, now)
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
    """Queue the tasks of a run that failed or were cancelled once more; how many they are.

    Not those of people about whose work another task has been made since: that one counts.
    """
    await _alone(session, (await session.get_one(GradingRun, run_id)).assignment_id)
    mine, later, submission, other = (
        aliased(GradingTask),
        aliased(GradingTask),
        aliased(Submission),
        aliased(Submission),
    )
    replaced = (
        select(mine.id)
        .join(submission, submission.id == mine.submission_id)
        .join(other, (other.assignment_id == submission.assignment_id) & (other.person_id == submission.person_id))
        .join(later, (later.submission_id == other.id) & (later.id > mine.id))
        .where(mine.run_id == run_id, later.state != State.CANCELLED)
    )
    again = await session.execute(
        update(GradingTask)
        .where(
            GradingTask.run_id == run_id,
            GradingTask.state.in_({State.FAILED, State.CANCELLED}),
            GradingTask.id.not_in(replaced),
        )
        .values(
            state=State.QUEUED,
            attempt=GradingTask.attempt + 1,
            losses=0,
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


async def again(session: AsyncSession, task: Task, now: datetime, *, lost: bool = True) -> bool:
    """Give up an attempt that was being executed and queue the next one; what the old one reports is refused.

    `lost` counts it among those that came to nothing; one that never began is not.
    """
    changed = await session.execute(
        update(GradingTask)
        .where(GradingTask.id == task.id, GradingTask.attempt == task.attempt, GradingTask.state == State.EXECUTING)
        .values(
            state=State.PREPARED,
            attempt=GradingTask.attempt + 1,
            losses=GradingTask.losses + int(lost),
            fetch_hash=None,
            report_hash=None,
            changed_at=now,
        )
        .returning(GradingTask.id)
    )
    return changed.first() is not None


async def take_fetch(session: AsyncSession, token: str) -> Task | None:
    """The task whose present attempt fetches its files with that token, which is used up by this."""
    return await _take(session, GradingTask.fetch_hash, token)


async def take_report(session: AsyncSession, token: str) -> Task | None:
    """The task whose present attempt reports with that token, which is used up by this."""
    return await _take(session, GradingTask.report_hash, token)


async def _take(session: AsyncSession, column: InstrumentedAttribute[str | None], token: str) -> Task | None:
    used = update(GradingTask).where(column == hash_of(token), GradingTask.state == State.EXECUTING)
    taken = (await session.execute(used.values({column: None}).returning(GradingTask.id))).scalar_one_or_none()
    if taken is None:
        return None
    return (await tasks_in(session, about_tasks().where(GradingTask.id == taken)))[0]


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


async def _alone(session: AsyncSession, assignment_id: int) -> None:
    """Until the transaction ends nobody else makes tasks about the assignment, nor queues them anew."""
    await session.execute(select(Assignment.id).where(Assignment.id == assignment_id).with_for_update(key_share=True))


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
