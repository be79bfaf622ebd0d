"""An assignment for pages and API: what the lab database and the gradebook know of it, put together."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from fastapi import Request
from sqlalchemy import Connection

from kirzl_lab.courses import gradebook_view, handed_in, progress
from kirzl_lab.courses.exchange import assignment_called
from kirzl_lab.courses.exchange_lists import AssignmentLine, assignments_of
from kirzl_lab.courses.gradebook_table import Wanted, choose_students
from kirzl_lab.courses.gradebook_view import Grading
from kirzl_lab.courses.handed_in import Counted
from kirzl_lab.courses.progress import Stage, Standing, Tasked
from kirzl_lab.grading import releases, runs
from kirzl_lab.grading.run_view import last_states
from kirzl_lab.grading.runs import Run
from kirzl_lab.grading.tasks import OPEN, State
from kirzl_lab.problems import UnknownAssignment
from kirzl_lab.service.access import course_place_of, viewer_of
from kirzl_lab.service.assignment_models import AssignmentAsked
from kirzl_lab.service.gradebooks import in_gradebook
from kirzl_lab.service.state import ServiceState, state_of
from kirzl_lab.store.course_tables import Assignment
from kirzl_lab.store.pages import Page
from kirzl_lab.store.tables import Space

RUNS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Overview:
    """An assignment as the people who run the course see it."""

    assignment: Assignment
    page: Page[Standing]
    stages: Counter[Stage]
    """Of everybody, not of the page alone."""
    people: int
    handed_in: int
    late: int
    feedback_waits: int
    """For how many people feedback is being made."""
    feedback_failed: int
    sections: list[str]
    max_score: float
    """0 while the gradebook does not know the assignment."""
    runs: list[Run]
    """The last ones, newest first."""

    @property
    def graded(self) -> int:
        """How many are graded completely."""
        return self.stages[Stage.GRADED] + self.stages[Stage.RELEASED]


async def found(request: Request, name: str) -> Assignment:
    """The assignment of the address. Raises `UnknownAssignment`."""
    async with state_of(request).reading() as session:
        assignment = await assignment_called(session, course_place_of(request).space.id, name)
    if assignment is None:
        raise UnknownAssignment(assignment=name)
    return assignment


async def overview(request: Request, assignment: Assignment, asked: AssignmentAsked) -> Overview:
    """Everybody's standing, a page at a time."""
    state, space = state_of(request), course_place_of(request).space
    gradings, max_score = await _graded(state, space, assignment.name)
    async with state.reading() as session:
        students = await handed_in.students(session, space.id, gradings)
        attempts = await handed_in.attempts(session, assignment.id)
        states = await last_states(session, assignment.id)
        last_runs = await runs.runs_of(session, assignment.id, RUNS_SHOWN)
    tasked = {id_: Tasked(id_, one in OPEN, one is State.FAILED) for id_, one in states.items()}
    everybody = progress.standings(students, attempts, gradings, tasked, assignment.due_at)
    return Overview(
        assignment=assignment,
        page=_page(everybody, asked),
        stages=progress.counts(everybody),
        people=len(everybody),
        handed_in=sum(row.times > 0 for row in everybody),
        late=sum(row.late for row in everybody),
        feedback_waits=sum(row.feedback_waits for row in everybody),
        feedback_failed=sum(row.feedback_problem is not None for row in everybody),
        sections=sorted({row.student.section for row in everybody if row.student.section}),
        max_score=max_score,
        runs=last_runs,
    )


async def ask_feedback(request: Request, name: str, students: Collection[str] | None) -> int:
    """Ask for feedback for those people (hub names), or for all whose work is graded completely; for how many.

    Raises `UnknownAssignment` and `NothingToRelease`.
    """
    assignment, state, space = await found(request, name), state_of(request), course_place_of(request).space
    if students is None:
        gradings, _max_score = await _graded(state, space, name)
        students = [student for student, one in gradings.items() if not one.needs_manual_grade]
    async with state.writing() as session:
        return await releases.ask(session, assignment, students, viewer_of(request).person_id, state.clock())


async def lines_of(request: Request) -> tuple[list[AssignmentLine], dict[str, Counted], int]:
    """The course's assignments with what the viewer handed in, what everybody did, and how many students there are.

    They come by due date, then name; the last two are empty for those who do not run the course.
    """
    place = course_place_of(request)
    async with state_of(request).reading() as session:
        lines = await assignments_of(session, place.space.id, viewer_of(request).person_id, staff=place.staff)
        counted = await handed_in.counted(session, place.space.id) if place.staff else {}
        students = await handed_in.enrolled(session, place.space.id) if place.staff else 0
    lines.sort(key=lambda line: (line.due_at is None, line.due_at and line.due_at.timestamp(), line.name))
    return lines, counted, students


async def _graded(state: ServiceState, space: Space, name: str) -> tuple[dict[str, Grading], float]:
    """By hub name the grades of the assignment, and the most points."""

    def read(connection: Connection) -> tuple[dict[str, Grading], float]:
        known = gradebook_view.read_assignments(connection).get(name)
        return gradebook_view.read_assignment(connection, name), known.max_score if known else 0.0

    return await in_gradebook(state, space.name, read)


def _page(everybody: list[Standing], asked: AssignmentAsked) -> Page[Standing]:
    by_name = {row.student.hub_name: row for row in everybody}
    wanted = Wanted(
        asked.search, asked.section, sort=asked.sort, descending=asked.descending and asked.sort in ("name", "section")
    )
    chosen = [by_name[one.hub_name] for one in choose_students([row.student for row in everybody], wanted)]
    if asked.stage is not None:
        chosen = [row for row in chosen if row.stage is asked.stage]
    if asked.late:
        chosen = [row for row in chosen if row.late]
    chosen = progress.ordered(chosen, asked.sort, asked.descending)
    begin = (asked.page - 1) * asked.per_page
    return Page(tuple(chosen[begin : begin + asked.per_page]), asked.page, asked.per_page, len(chosen))
