"""The gradebook of a course for pages and API: what the lab database knows and what the gradebook says, put together."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from kirzl_lab.courses import gradebook_view, handed_in
from kirzl_lab.courses.gradebook_table import Column, Row, Table, Wanted, choose_rows, choose_students, released, table
from kirzl_lab.courses.gradebook_view import GradedAssignment, Grades, Grading, TaskResult
from kirzl_lab.courses.handed_in import Student
from kirzl_lab.courses.statistics import Summary, summary
from kirzl_lab.problems import UnknownAssignment
from kirzl_lab.service.state import ServiceState
from kirzl_lab.store.pages import Page
from kirzl_lab.store.tables import Space

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Shown:
    """A page of a gradebook, and what its filter offers."""

    columns: tuple[Column, ...]
    page: Page[Row]
    sections: list[str]
    max_total: float


async def in_gradebook(state: ServiceState, course: str, read: Callable[[Connection], Result]) -> Result:
    """What `read` gives for the gradebook of `course`; it runs in a thread, because nbgrader's tables are read there."""

    def reading() -> Result:
        with state.gradebooks.reading(course) as connection:
            return read(connection)

    return await asyncio.to_thread(reading)


async def shown(state: ServiceState, space: Space, wanted: Wanted, page: int, per_page: int) -> Shown:
    """A page of the gradebook. Reads no more grades than the page needs, where the order of the rows allows it."""
    graded = await in_gradebook(state, space.name, gradebook_view.read_students)
    async with state.reading() as session:
        everybody = await handed_in.students(session, space.id, graded)
        due = await handed_in.due_dates(session, space.id)
        chosen = choose_students(everybody, wanted)
        begin = (page - 1) * per_page
        on_page = chosen[begin : begin + per_page] if wanted.by_student else chosen
        names = [student.hub_name for student in on_page] if wanted.by_student else None
        last = await handed_in.last_submissions(session, space.id, names)
    grades = await in_gradebook(state, space.name, lambda connection: gradebook_view.read(connection, names))
    found = table(grades, on_page, last, due)
    rows, total = found.rows, len(chosen)
    if not wanted.by_student:
        left = choose_rows(found.rows, found.columns, wanted)
        rows, total = tuple(left[begin : begin + per_page]), len(left)
    sections = sorted({student.section for student in everybody if student.section})
    return Shown(found.columns, Page(rows, page, per_page, total), sections, found.max_total)


async def whole(state: ServiceState, space: Space) -> Table:
    """The whole gradebook, by name."""
    grades: Grades = await in_gradebook(state, space.name, gradebook_view.read)
    async with state.reading() as session:
        graded = {student for student, _assignment in grades.of}
        everybody = choose_students(await handed_in.students(session, space.id, graded), Wanted())
        due = await handed_in.due_dates(session, space.id)
        last = await handed_in.last_submissions(session, space.id)
    return table(grades, everybody, last, due)


@dataclass(frozen=True, slots=True)
class Figures:
    """What the page Statistics says of an assignment."""

    assignment: str
    max_score: float
    due_at: datetime | None
    students: int
    """How many are students of the course."""
    submitted: int
    """How many people have handed in or are graded."""
    waiting: int
    """How many submissions wait for a person; they are not in `scores`."""
    late: int
    """How many lost points because of lateness."""
    scores: tuple[float, ...]
    """Of everybody whose work is graded completely."""
    tasks: tuple[TaskResult, ...]
    times: tuple[datetime, ...]
    """Of every submission, oldest first."""

    @property
    def summary(self) -> Summary:
        """Mean, median and range of the scores."""
        return summary(self.scores)

    @property
    def submissions(self) -> int:
        """How many submissions there are, several of a person included."""
        return len(self.times)


async def figures(state: ServiceState, space: Space, assignment: str) -> Figures:
    """The figures of an assignment. Raises `UnknownAssignment` where neither the lab nor the gradebook has it."""

    def read(connection: Connection) -> tuple[GradedAssignment | None, list[Grading], list[str], list[TaskResult]]:
        grades = gradebook_view.read_assignment(connection, assignment)
        known = gradebook_view.read_assignments(connection).get(assignment)
        tasks = gradebook_view.read_tasks(connection, assignment)
        return known, list(grades.values()), list(grades), tasks

    known, gradings, graded, tasks = await in_gradebook(state, space.name, read)
    async with state.reading() as session:
        due = await handed_in.due_dates(session, space.id)
        everybody = await handed_in.students(session, space.id)
        submitters = await handed_in.submitters(session, space.id, assignment)
        times = await handed_in.submission_times(session, space.id, assignment)
    if known is None and assignment not in due:
        raise UnknownAssignment(assignment=assignment)
    return Figures(
        assignment=assignment,
        max_score=known.max_score if known else 0.0,
        due_at=known.due_at if known else due[assignment],
        students=sum(student.enrolled for student in everybody),
        submitted=len(submitters | set(graded)),
        waiting=sum(one.needs_manual_grade for one in gradings),
        late=sum(one.penalty > 0 for one in gradings),
        scores=tuple(one.score for one in gradings if not one.needs_manual_grade),
        tasks=tuple(tasks),
        times=tuple(times),
    )


async def own(state: ServiceState, space: Space, person_id: int, student: Student) -> Table:
    """What somebody may see of their own: a table with one row."""
    async with state.reading() as session:
        due = await handed_in.due_dates(session, space.id, released=True)
        submissions = await handed_in.own_submissions(session, space.id, person_id)
    names = [student.hub_name]
    grades = await in_gradebook(state, space.name, lambda connection: gradebook_view.read(connection, names))
    return released(grades, student, submissions, due)
