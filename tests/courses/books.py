"""Gradebooks for tests, filled through nbgrader's own classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from hypothesis import strategies as st
from nbgrader.api import (
    Assignment,
    BaseCell,
    Grade,
    Gradebook,
    GradeCell,
    Notebook,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
    TaskCell,
)
from sqlalchemy import Connection, insert

COURSE = "ml-101"
DUE = datetime(2026, 10, 12, 10)  # nbgrader's times are UTC without a zone
CELLS = {
    "auto": (GradeCell, "code"),
    "manual": (GradeCell, "markdown"),
    "task": (TaskCell, "markdown"),
}


@dataclass(frozen=True)
class CellMade:
    """A graded cell: its kind (see `CELLS`) and its points."""

    kind: str
    max_score: float


@dataclass(frozen=True)
class GradeMade:
    """A grade of such a cell."""

    auto: float | None
    manual: float | None
    extra: float | None
    waits: bool


@dataclass(frozen=True)
class WorkMade:
    """A submission: for each notebook its late penalty and its grades."""

    parts: Sequence[tuple[float | None, Sequence[GradeMade]]]
    after_due: timedelta = timedelta(0)


@dataclass(frozen=True)
class BookMade:
    """Assignments as lists of notebooks as lists of cells, and what each student handed in, None for nothing."""

    assignments: Sequence[Sequence[Sequence[CellMade]]]
    work: Sequence[Sequence[WorkMade | None]]
    """By student, then by assignment."""


def student(number: int) -> str:
    """The hub name of a student."""
    return f"student-{number}"


def assignment(number: int) -> str:
    """The name of an assignment."""
    return f"ps{number}"


def fill(url: str, book: BookMade, names: Sequence[str] = ()) -> None:
    """Write the book into the empty gradebook at `url`, as nbgrader does: `add_submission` mirrors an assignment.

    Students are called `names`, or by their number.
    """
    with Gradebook(url, COURSE) as gradebook:
        for number, notebooks in enumerate(book.assignments):
            name = assignment(number)
            made = Assignment(name=name, course_id=COURSE, duedate=DUE + timedelta(days=7 * number))
            gradebook.db.add(made)
            for at, cells in enumerate(notebooks):
                notebook = Notebook(name=f"nb{at}", assignment=made)
                gradebook.db.add(notebook)
                for place, cell in enumerate(cells):
                    kind, cell_type = CELLS[cell.kind]
                    gradebook.db.add(
                        kind(name=f"cell{place}", notebook=notebook, max_score=cell.max_score, cell_type=cell_type)
                    )
        for number, works in enumerate(book.work):
            who = names[number] if names else student(number)
            gradebook.db.add(Student(id=who))
            gradebook.db.commit()
            for at, work in enumerate(works):
                if work is not None:
                    _submit(gradebook, who, at, work)
        gradebook.db.commit()


def _submit(gradebook: Gradebook, who: str, number: int, work: WorkMade) -> None:
    with gradebook.db.no_autoflush:  # its half-made objects would be written one after the other, with a warning each
        handed_in = gradebook.add_submission(
            assignment(number), who, timestamp=DUE + timedelta(days=7 * number) + work.after_due
        )
    for notebook in handed_in.notebooks:
        penalty, grades = work.parts[int(notebook.name.removeprefix("nb"))]
        notebook.late_submission_penalty = penalty
        for grade in notebook.grades:
            made = grades[int(grade.name.removeprefix("cell"))]
            grade.auto_score, grade.manual_score, grade.extra_credit = made.auto, made.manual, made.extra
            grade.needs_manual_grade = made.waits


def books(points: st.SearchStrategy[float]) -> st.SearchStrategy[BookMade]:
    """Any small gradebook, with scores out of `points`."""
    maybe = st.none() | points
    grade = st.builds(GradeMade, auto=maybe, manual=maybe, extra=maybe, waits=st.booleans())

    @st.composite
    def made(draw: st.DrawFn) -> BookMade:
        cell = st.builds(CellMade, kind=st.sampled_from(sorted(CELLS)), max_score=points)
        notebooks = st.lists(st.lists(cell, max_size=3), max_size=2)
        assignments = draw(st.lists(notebooks, max_size=3))
        work = []
        for _ in range(draw(st.integers(0, 3))):
            works: list[WorkMade | None] = []
            for parts in assignments:
                if draw(st.booleans()):
                    works.append(None)
                    continue
                works.append(WorkMade([(draw(maybe), [draw(grade) for _ in cells]) for cells in parts]))
            work.append(works)
        return BookMade(assignments, work)

    return made()


def fill_large(
    connection: Connection, students: Sequence[str], assignments: Sequence[str], *, notebooks: int = 2, cells: int = 4
) -> None:
    """A large gradebook in a second: everybody handed everything in; one in twenty cells waits for a person."""
    random = Random(8)
    numbers = iter(range(10**9))

    def key() -> str:
        return f"{next(numbers):032x}"

    lists: dict[type, list[dict[str, object]]] = {
        kind: []
        for kind in (
            Student, Assignment, Notebook, BaseCell, GradeCell, SubmittedAssignment, SubmittedNotebook, Grade,
        )
    }  # fmt: skip
    lists[Student] = [{"id": name} for name in students]
    for number, name in enumerate(assignments):
        due = DUE + timedelta(days=7 * number)
        assignment_id = key()
        lists[Assignment].append({"id": assignment_id, "name": name, "course_id": COURSE, "duedate": due})
        made: list[tuple[str, list[str]]] = []
        for at in range(notebooks):
            notebook_id, cell_ids = key(), [key() for _ in range(cells)]
            made.append((notebook_id, cell_ids))
            lists[Notebook].append({"id": notebook_id, "name": f"nb{at}", "assignment_id": assignment_id})
            for place, cell_id in enumerate(cell_ids):
                lists[BaseCell].append(
                    {"id": cell_id, "name": f"cell{place}", "notebook_id": notebook_id, "type": "GradeCell"}
                )
                lists[GradeCell].append({"id": cell_id, "max_score": 2.0, "cell_type": "code"})
        for who in students:
            work_id, late = key(), random.random() < 0.1
            at_ = due + timedelta(hours=random.randint(1, 48) if late else -random.randint(1, 96))
            lists[SubmittedAssignment].append(
                {"id": work_id, "assignment_id": assignment_id, "student_id": who, "timestamp": at_}
            )
            for notebook_id, cell_ids in made:
                part_id = key()
                lists[SubmittedNotebook].append(
                    {
                        "id": part_id,
                        "assignment_id": work_id,
                        "notebook_id": notebook_id,
                        "late_submission_penalty": 1.0 if late else None,
                    }
                )
                for cell_id in cell_ids:
                    lists[Grade].append(
                        {
                            "id": key(),
                            "notebook_id": part_id,
                            "cell_id": cell_id,
                            "auto_score": random.choice((0.0, 1.0, 2.0, 2.0)),
                            "needs_manual_grade": random.random() < 0.05,
                        }
                    )
    for kind, rows in lists.items():
        connection.execute(insert(kind.__table__), rows)
