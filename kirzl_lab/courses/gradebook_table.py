"""The gradebook as a table: a row for each student, a column for each assignment. Pure: what is read comes from others."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kirzl_lab.courses.gradebook_view import Grades, Grading
from kirzl_lab.courses.handed_in import OwnSubmission, Student


class State(StrEnum):
    """How far a student's work on an assignment has come."""

    MISSING = "missing"
    SUBMITTED = "submitted"
    """Handed in and not graded."""
    NEEDS_MANUAL_GRADE = "needs-manual-grade"
    GRADED = "graded"


@dataclass(frozen=True, slots=True)
class Column:
    """An assignment."""

    name: str
    max_score: float
    """0 while the gradebook does not know it."""
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Cell:
    """One student's work on one assignment."""

    state: State
    grading: Grading | None
    """Of the submission that was graded last."""
    submitted_at: datetime | None
    """Of the last submission."""
    newer: bool
    """Whether something was handed in after what was graded."""

    @property
    def score(self) -> float | None:
        """What counts; None while there is no grade."""
        return self.grading.score if self.grading else None


EMPTY = Cell(State.MISSING, None, None, newer=False)


@dataclass(frozen=True, slots=True)
class Row:
    """A student and their work."""

    student: Student
    cells: tuple[Cell, ...]
    """In the order of the columns."""

    @property
    def total(self) -> float:
        """The sum of what counts."""
        return sum((cell.score or 0.0 for cell in self.cells), 0.0)


@dataclass(frozen=True, slots=True)
class Table:
    """A gradebook, or a part of it."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def max_total(self) -> float:
        """The most points of all assignments together."""
        return sum((column.max_score for column in self.columns), 0.0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows, and in which order."""

    search: str = ""
    """A part of a name or hub name."""
    section: str | None = None
    """Only this section; empty: those without one."""
    assignment: str | None = None
    """What `state` is about; without it a row is wanted when any of its cells is in that state."""
    state: State | None = None
    sort: str = "name"
    """`name`, `section`, `total`, or `score` for that of the assignment `by`."""
    by: str | None = None
    descending: bool = False

    @property
    def by_student(self) -> bool:
        """Whether the choice of rows and their order need nothing of the grades."""
        return self.state is None and self.sort in ("name", "section")


def columns(
    grades: Mapping[str, tuple[float, datetime | None]], due: Mapping[str, datetime | None]
) -> tuple[Column, ...]:
    """The assignments of gradebook (name -> most points, due date) and lab (name -> due date), by due date, then name.

    The gradebook's due date counts: a later one than at the last release may stand there already.
    """
    names = {**due, **grades}
    made = [Column(name, *(grades.get(name) or (0.0, due[name]))) for name in names]
    return tuple(sorted(made, key=lambda column: (column.due_at is None, column.due_at or datetime.min, column.name)))


def table(
    grades: Grades,
    students: Iterable[Student],
    handed_in: Mapping[tuple[str, str], datetime],
    due: Mapping[str, datetime | None],
) -> Table:
    """Every one of `students`, in their order.

    `handed_in`: (hub name, assignment) -> the last submission that the lab has. `due`: the lab's assignments.
    """
    known = {name: (one.max_score, one.due_at) for name, one in grades.assignments.items()}
    across = columns(known, due)
    rows = (
        Row(
            student,
            tuple(
                _cell(grades.of.get((student.hub_name, column.name)), handed_in.get((student.hub_name, column.name)))
                for column in across
            ),
        )
        for student in students
    )
    return Table(across, tuple(rows))


def choose_students(students: Iterable[Student], wanted: Wanted) -> list[Student]:
    """The students that the search and the section leave, in the order of names, or of sections."""
    needle = _folded(wanted.search)
    left = [
        student
        for student in students
        if (not needle or needle in _folded(student.name) or needle in _folded(student.hub_name))
        and (wanted.section is None or student.section == wanted.section)
    ]
    left.sort(key=lambda student: (_folded(student.name), student.hub_name), reverse=_turned(wanted, "name"))
    if wanted.sort == "section":
        left.sort(key=lambda student: _folded(student.section), reverse=wanted.descending)
    return left


def choose_rows(rows: Sequence[Row], across: Sequence[Column], wanted: Wanted) -> list[Row]:
    """The rows whose state is wanted, in the wanted order; equal ones stay in the order in which they come."""
    places = {column.name: number for number, column in enumerate(across)}
    at, by = places.get(wanted.assignment or ""), places.get(wanted.by or "")
    left = [row for row in rows if wanted.state is None or _has(row, wanted.state, at)]
    if wanted.sort == "total":
        left.sort(key=lambda row: row.total, reverse=wanted.descending)
    elif wanted.sort == "score" and by is not None:
        # Those without a score come last, whichever way the others are sorted.
        scored = [row for row in left if row.cells[by].score is not None]
        scored.sort(key=lambda row: row.cells[by].score or 0.0, reverse=wanted.descending)
        left = scored + [row for row in left if row.cells[by].score is None]
    return left


def released(
    grades: Grades, student: Student, submissions: Sequence[OwnSubmission], due: Mapping[str, datetime | None]
) -> Table:
    """What a student may see of their own: a grade only when feedback was released for the very submission it is for.

    `due`: the assignments that are released now. What they handed something in for stays when it is withdrawn.
    """
    due = {one.assignment: one.due_at for one in submissions} | dict(due)
    hub_name = student.hub_name
    with_feedback = {(one.assignment, one.submitted_at) for one in submissions if one.feedback_at is not None}
    of = {
        (of_whom, assignment): grading
        for (of_whom, assignment), grading in grades.of.items()
        if of_whom == hub_name and (assignment, grading.submitted_at) in with_feedback
    }
    # Assignments that only the gradebook has are not theirs to see.
    assignments = {name: one for name, one in grades.assignments.items() if name in due}
    last = {(hub_name, one.assignment): one.submitted_at for one in submissions}
    return table(Grades(assignments, of), [student], last, due)


def _cell(grading: Grading | None, submitted_at: datetime | None) -> Cell:
    if grading is None:
        return EMPTY if submitted_at is None else Cell(State.SUBMITTED, None, submitted_at, newer=False)
    state = State.NEEDS_MANUAL_GRADE if grading.needs_manual_grade else State.GRADED
    graded_at = grading.submitted_at
    newer = submitted_at is not None and graded_at is not None and submitted_at > graded_at
    return Cell(state, grading, submitted_at or graded_at, newer)


def _has(row: Row, state: State, at: int | None) -> bool:
    return any(cell.state is state for cell in (row.cells if at is None else (row.cells[at],)))


def _turned(wanted: Wanted, sort: str) -> bool:
    return wanted.descending and wanted.sort == sort


def _folded(text: str) -> str:
    """For searching and sorting: without case and without marks, so that Übende stands with U and is found by ubende."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))
