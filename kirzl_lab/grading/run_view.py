"""What pages show of grading: the tasks of a run a page at a time, and how each submission fared last. No logs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.grading.tasks import State
from kirzl_lab.problems import UnknownRun
from kirzl_lab.store.course_tables import GradingRun, GradingTask, Submission
from kirzl_lab.store.pages import Page
from kirzl_lab.store.tables import Person

FIRST = (State.FAILED, State.EXECUTING, State.EXECUTED, State.PREPARED, State.QUEUED, State.DONE, State.CANCELLED)
"""The order of the tasks on a page: what somebody has to look at, what goes on, what is over."""


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task of a run."""

    id: int
    run_id: int
    student: str
    """Hub name."""
    name: str
    submission_id: int
    submitted_at: datetime
    state: State
    attempt: int
    reason: str | None
    result: dict[str, Any] | None
    changed_at: datetime


COLUMNS = (
    GradingTask.id,
    GradingTask.run_id,
    Person.hub_name,
    Person.display_name,
    GradingTask.submission_id,
    Submission.submitted_at,
    GradingTask.state,
    GradingTask.attempt,
    GradingTask.reason,
    GradingTask.result,
    GradingTask.changed_at,
)


async def task_lines(
    session: AsyncSession, run_id: int, *, state: State | None, page: int, per_page: int
) -> Page[TaskLine]:
    """A page of the tasks of a run, or of those in one state."""
    place = case({one: number for number, one in enumerate(FIRST)}, value=GradingTask.state)
    which = GradingTask.run_id == run_id
    if state is not None:
        which &= GradingTask.state == state
    total = (await session.execute(select(func.count()).select_from(GradingTask).where(which))).scalar_one()
    query = (
        select(*COLUMNS)
        .join(Submission, Submission.id == GradingTask.submission_id)
        .join(Person, Person.id == Submission.person_id)
        .where(which)
        .order_by(place, Person.display_name, GradingTask.id)
        .limit(per_page)
        .offset((page - 1) * per_page)
    )
    return Page(tuple(_line(row) for row in await session.execute(query)), page, per_page, total)


async def task_called(session: AsyncSession, run_id: int, task_id: int) -> tuple[TaskLine, str]:
    """A task of the run, and the end of its log. Raises `UnknownRun`."""
    query = (
        select(*COLUMNS, GradingTask.log)
        .join(Submission, Submission.id == GradingTask.submission_id)
        .join(Person, Person.id == Submission.person_id)
        .where(GradingTask.id == task_id, GradingTask.run_id == run_id)
    )
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise UnknownRun()
    return _line(row[:-1]), row[-1]


async def last_states(session: AsyncSession, assignment_id: int) -> dict[int, State]:
    """By submission of an assignment the state of the last task that was about it."""
    newest = (
        select(func.max(GradingTask.id))
        .join(GradingRun, GradingRun.id == GradingTask.run_id)
        .where(GradingRun.assignment_id == assignment_id)
        .group_by(GradingTask.submission_id)
    )
    query = select(GradingTask.submission_id, GradingTask.state).where(GradingTask.id.in_(newest))
    return {submission: State(state) for submission, state in await session.execute(query)}


def _line(row: Any) -> TaskLine:
    id_, run_id, student, name, submission_id, submitted_at, state, *rest = row
    return TaskLine(id_, run_id, student, name, submission_id, submitted_at, State(state), *rest)
