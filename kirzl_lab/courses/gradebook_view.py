"""What a gradebook says, read with a few statements over nbgrader's tables.

nbgrader's own properties ask the database once for every score; here each table is read once. Scores are the same to
the last digit that the order of a sum leaves: `raw_score`, `max_score` and `penalty` are nbgrader's
`SubmittedAssignment.score`, `.max_score` and `.late_submission_penalty`, and `score` is what nbgrader's own export
and its feedback make of them: the penalty is taken off, and nobody falls below zero.

Works on SQLite and PostgreSQL. Blocks: call it in a thread.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nbgrader.api import (
    Assignment,
    BaseCell,
    Grade,
    GradeCell,
    Notebook,
    SubmittedAssignment,
    SubmittedNotebook,
    TaskCell,
)
from sqlalchemy import ColumnElement, Connection, FromClause, Integer, Select, Subquery, cast, func, select, union_all

ASSIGNMENT, NOTEBOOK, CELL, GRADE = Assignment.__table__, Notebook.__table__, BaseCell.__table__, Grade.__table__
HANDED_IN, PART = SubmittedAssignment.__table__, SubmittedNotebook.__table__
GRADED_CELLS = (GradeCell.__table__, TaskCell.__table__)


@dataclass(frozen=True, slots=True)
class Grading:
    """What the gradebook has of one student's work on one assignment."""

    raw_score: float
    penalty: float
    """What lateness costs; 0 for work in time."""
    needs_manual_grade: bool
    submitted_at: datetime | None
    """Of the submission that was graded."""

    @property
    def score(self) -> float:
        """What counts."""
        return max(0.0, self.raw_score - self.penalty)


@dataclass(frozen=True, slots=True)
class GradedAssignment:
    """An assignment of the gradebook."""

    max_score: float
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Grades:
    """A whole gradebook, or that of some students."""

    assignments: Mapping[str, GradedAssignment]
    """By name."""
    of: Mapping[tuple[str, str], Grading]
    """By student (hub name) and assignment."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """How an assignment's students fared with one graded cell."""

    notebook: str
    cell: str
    max_score: float
    graded: int
    """How many have a score; those that wait for a person are not in it."""
    mean_score: float
    full: int
    """How many of them have all points."""
    none: int
    """How many of them have no point."""

    @property
    def success(self) -> float | None:
        """The share of points that was reached, 0 to 1 (more with extra credit); None when there is nothing to share."""
        return self.mean_score / self.max_score if self.graded and self.max_score else None


def read(connection: Connection, students: Collection[str] | None = None) -> Grades:
    """All grades, or those of `students` (hub names) alone."""
    only = None if students is None else HANDED_IN.c.student_id.in_(students)
    return Grades(assignments=read_assignments(connection), of=_read(connection, only))


def read_assignment(connection: Connection, assignment: str) -> dict[str, Grading]:
    """The grades of one assignment, by student (hub name)."""
    wanted = select(ASSIGNMENT.c.id).where(ASSIGNMENT.c.name == assignment)
    found = _read(connection, HANDED_IN.c.assignment_id.in_(wanted))
    return {student: grading for (student, _assignment), grading in found.items()}


def _read(connection: Connection, only: ColumnElement[bool] | None) -> dict[tuple[str, str], Grading]:
    """By student and assignment; those submissions alone that `only` leaves."""
    # Three flat lists that are joined here: in SQL the joins over texts cost several times as much as the reading. Plain
    # numbers in dictionaries, because a hundred thousand small objects keep Python's garbage collector busy for longer.
    sums: dict[str, float] = {}
    waits: set[str] = set()
    for notebook, score, waiting in connection.execute(_of(only, _sums(), GRADE)):
        sums[notebook] = score
        if waiting:
            waits.add(notebook)
    scores: dict[str, float] = {}
    penalties: dict[str, float] = {}
    waiting_for: set[str] = set()
    for notebook, submission, penalty in connection.execute(_of(only, _parts(), PART)):
        scores[submission] = scores.get(submission, 0.0) + sums.get(notebook, 0.0)
        if penalty is not None:
            penalties[submission] = penalties.get(submission, 0.0) + penalty
        if notebook in waits:
            waiting_for.add(submission)
    of = {}
    for id_, student, assignment, timestamp in connection.execute(_of(only, _handed_in(), HANDED_IN)):
        grading = Grading(scores.get(id_, 0.0), penalties.get(id_, 0.0), id_ in waiting_for, _utc(timestamp))
        of[student, assignment] = grading
    return of


def read_assignments(connection: Connection) -> dict[str, GradedAssignment]:
    """The assignments of the gradebook by name, in the order of their due dates; those without one come last."""
    points = _cell_points()
    query = (
        select(ASSIGNMENT.c.name, ASSIGNMENT.c.duedate, func.coalesce(func.sum(points.c.max_score), 0.0))
        .select_from(ASSIGNMENT)
        .outerjoin(NOTEBOOK, NOTEBOOK.c.assignment_id == ASSIGNMENT.c.id)
        .outerjoin(points, points.c.notebook_id == NOTEBOOK.c.id)
        .group_by(ASSIGNMENT.c.id, ASSIGNMENT.c.name, ASSIGNMENT.c.duedate)
        .order_by(ASSIGNMENT.c.duedate.is_(None), ASSIGNMENT.c.duedate, ASSIGNMENT.c.name)
    )
    return {name: GradedAssignment(most, _utc(due)) for name, due, most in connection.execute(query)}


def read_students(connection: Connection) -> list[str]:
    """The ids of everybody who has a submission in the gradebook."""
    return list(connection.execute(select(HANDED_IN.c.student_id).distinct()).scalars())


def read_tasks(connection: Connection, assignment: str) -> list[TaskResult]:
    """How every graded cell of `assignment` went, in the order in which notebooks and cells were made known by name."""
    points = _cell_points()
    known = GRADE.c.needs_manual_grade.is_(False)
    score = Grade.score.expression
    query = (
        select(
            NOTEBOOK.c.name,
            CELL.c.name,
            points.c.max_score,
            func.count(GRADE.c.id).filter(known),
            func.coalesce(func.avg(score).filter(known), 0.0),
            func.count(GRADE.c.id).filter(known, score >= points.c.max_score),
            func.count(GRADE.c.id).filter(known, score <= 0.0),
        )
        .select_from(points)
        .join(CELL, CELL.c.id == points.c.id)
        .join(NOTEBOOK, NOTEBOOK.c.id == CELL.c.notebook_id)
        .join(ASSIGNMENT, ASSIGNMENT.c.id == NOTEBOOK.c.assignment_id)
        .outerjoin(GRADE, GRADE.c.cell_id == CELL.c.id)
        .where(ASSIGNMENT.c.name == assignment)
        .group_by(NOTEBOOK.c.name, CELL.c.name, points.c.max_score)
        .order_by(NOTEBOOK.c.name, CELL.c.name)
    )
    return [TaskResult(*row) for row in connection.execute(query)]


def _sums() -> Select[Any]:
    """The score of every notebook, and whether something in it waits for a person."""
    waiting = func.max(cast(GRADE.c.needs_manual_grade, Integer))
    return select(GRADE.c.notebook_id, func.sum(Grade.score.expression), waiting).group_by(GRADE.c.notebook_id)


def _parts() -> Select[Any]:
    return select(PART.c.id, PART.c.assignment_id, PART.c.late_submission_penalty)


def _handed_in() -> Select[Any]:
    query = select(HANDED_IN.c.id, HANDED_IN.c.student_id, ASSIGNMENT.c.name, HANDED_IN.c.timestamp)
    return query.join(ASSIGNMENT, ASSIGNMENT.c.id == HANDED_IN.c.assignment_id)


def _of(only: ColumnElement[bool] | None, query: Select[Any], table: FromClause) -> Select[Any]:
    """The query over `table`, for the submissions that `only` leaves."""
    if only is None:
        return query
    if table is GRADE:
        query = query.join(PART, PART.c.id == GRADE.c.notebook_id)
    if table in (GRADE, PART):
        query = query.join(HANDED_IN, HANDED_IN.c.id == PART.c.assignment_id)
    return query.where(only)


def _cell_points() -> Subquery:
    """`id`, `notebook_id` and `max_score` of every cell that gets a score."""
    return union_all(
        *(
            select(cells.c.id, CELL.c.notebook_id, cells.c.max_score).join(CELL, CELL.c.id == cells.c.id)
            for cells in GRADED_CELLS
        )
    ).subquery("points")


def _utc(moment: datetime | None) -> datetime | None:
    """nbgrader stores UTC without a zone."""
    return None if moment is None else moment.replace(tzinfo=UTC)
