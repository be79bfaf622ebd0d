"""What can be asked of a gradebook, and what programs are answered. The OpenAPI description is made from these."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kirzl_lab.courses.gradebook_table import Column, Row, State, Table, Wanted
from kirzl_lab.courses.statistics import distribution
from kirzl_lab.service.gradebooks import Figures, Shown
from kirzl_lab.service.models import Answer, Asked, Lines, Search, Word, blank


class GradebookAsked(Asked):
    """Which students, in which order."""

    search: Search = Field(default="", description="A part of a name or hub name.")
    section: Annotated[Word | None, BeforeValidator(blank)] = Field(
        default=None, description="Only students of this section."
    )
    assignment: Annotated[Word | None, BeforeValidator(blank)] = Field(
        default=None, description="The assignment that `state` is about; without it any of them."
    )
    state: Annotated[State | None, BeforeValidator(blank)] = Field(
        default=None, description="Only students whose work is in this state."
    )
    sort: Literal["name", "section", "total", "score"] = Field(
        default="name", description="What to sort by; `score` is that of the assignment `by`."
    )
    by: Annotated[Word | None, BeforeValidator(blank)] = Field(default=None, description="See `sort`.")
    descending: bool = Field(default=False, description="Whether the order is turned around.")

    def sorted(self, sort: str, by: str | None, descending: bool) -> dict[str, Any]:
        """The parameters of the first page of the same list in another order."""
        order = {"sort": sort, "by": by, "descending": descending or None}
        return self.query(1) | {"page": None} | order

    @property
    def filtered(self) -> bool:
        """Whether some students are left out."""
        return bool(self.search or self.section or self.state)

    @property
    def wanted(self) -> Wanted:
        """The same for the table."""
        return Wanted(self.search, self.section, self.assignment, self.state, self.sort, self.by, self.descending)


class GradeAnswer(Answer):
    """One student's work on one assignment."""

    assignment: str
    state: State
    score: float | None = Field(
        description="What counts: the points without the penalty, at least 0. Null without a grade."
    )
    raw_score: float | None = Field(description="The points before the penalty.")
    late_penalty: float | None = Field(description="What lateness costs, in points.")
    submitted_at: datetime | None = Field(description="When the last submission was handed in.")
    newer_submission: bool = Field(description="Whether something was handed in after what was graded.")


class StudentGrades(Answer):
    """A student's grades, in the order of the assignments."""

    student: str = Field(description="The hub name, which is the student's id in the gradebook.")
    name: str
    section: str
    enrolled: bool = Field(description="Whether they are a student of the course now.")
    total: float
    grades: list[GradeAnswer]


class GradedAssignmentAnswer(Answer):
    """An assignment."""

    name: str
    max_score: float
    due_at: datetime | None


class GradebookAnswer(Lines[StudentGrades]):
    """A page of a gradebook."""

    assignments: list[GradedAssignmentAnswer] = Field(description="By due date; those without one come last.")


class TaskAnswer(Answer):
    """How an assignment's students fared with one graded cell; what waits for a person is not in it."""

    notebook: str
    cell: str
    max_score: float
    graded: int = Field(description="How many have a score.")
    mean_score: float
    full: int = Field(description="How many of them have all points.")
    none: int = Field(description="How many of them have no point.")
    success: float | None = Field(
        description="The share of the points that was reached, 0 to 1; more with extra credit."
    )


class BinAnswer(Answer):
    """How many scores are from `low` up to `high`."""

    low: float
    high: float | None = Field(description="Null: everything from `low` on, which only extra credit reaches.")
    count: int


class SummaryAnswer(Answer):
    """Of all complete scores, in points; zero when there are none."""

    count: int
    mean: float
    median: float
    low: float
    high: float


class StatisticsAnswer(Answer):
    """The figures of an assignment."""

    assignment: str
    max_score: float
    due_at: datetime | None
    students: int = Field(description="How many are students of the course.")
    submitted: int = Field(description="How many people have handed something in, or are graded.")
    waiting: int = Field(description="How many submissions wait for a person; they are in none of the scores.")
    late: int = Field(description="How many lost points because they were late.")
    scores: SummaryAnswer
    distribution: list[BinAnswer]
    tasks: list[TaskAnswer]
    submitted_at: list[datetime] = Field(description="When each submission was handed in, oldest first.")


class OwnGrades(Answer):
    """The grades that somebody may see of their own."""

    assignments: list[GradedAssignmentAnswer]
    grades: list[GradeAnswer] = Field(description="A score is there once feedback was released for that submission.")


def grade_answers(across: tuple[Column, ...], row: Row) -> list[GradeAnswer]:
    """A row for programs."""
    return [
        GradeAnswer(
            assignment=column.name,
            state=cell.state,
            score=cell.score,
            raw_score=cell.grading.raw_score if cell.grading else None,
            late_penalty=cell.grading.penalty if cell.grading else None,
            submitted_at=cell.submitted_at,
            newer_submission=cell.newer,
        )
        for column, cell in zip(across, row.cells, strict=True)
    ]


def gradebook_answer(found: Shown) -> GradebookAnswer:
    """A page for programs."""
    students = [
        StudentGrades(
            student=row.student.hub_name,
            name=row.student.name,
            section=row.student.section,
            enrolled=row.student.enrolled,
            total=row.total,
            grades=grade_answers(found.columns, row),
        )
        for row in found.page.items
    ]
    return GradebookAnswer(
        items=students,
        page=found.page.page,
        pages=found.page.pages,
        per_page=found.page.per_page,
        total=found.page.total,
        assignments=[GradedAssignmentAnswer.model_validate(column) for column in found.columns],
    )


def own_answer(table: Table) -> OwnGrades:
    """Somebody's own grades for programs."""
    return OwnGrades(
        assignments=[GradedAssignmentAnswer.model_validate(column) for column in table.columns],
        grades=grade_answers(table.columns, table.rows[0]),
    )


def statistics_answer(found: Figures) -> StatisticsAnswer:
    """The figures for programs."""
    return StatisticsAnswer(
        assignment=found.assignment,
        max_score=found.max_score,
        due_at=found.due_at,
        students=found.students,
        submitted=found.submitted,
        waiting=found.waiting,
        late=found.late,
        scores=SummaryAnswer.model_validate(found.summary),
        distribution=[BinAnswer.model_validate(one) for one in distribution(found.scores, found.max_score)],
        tasks=[TaskAnswer.model_validate(task) for task in found.tasks],
        submitted_at=list(found.times),
    )
