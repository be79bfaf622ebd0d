"""A course with every kind of cell, as nbgrader has it, and what its students hand in."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory

from kirzl_lab.grading.records import ToGrade

COURSE, ASSIGNMENT, STUDENT = "ml-101", "sheet1", "x-student"
DUE = datetime(2026, 11, 2, 12, tzinfo=UTC)
EARLY, LATE = datetime(2026, 11, 1, 12, tzinfo=UTC), datetime(2026, 11, 2, 15, tzinfo=UTC)

PENALTY_PLUGIN = """
from nbgrader.plugins import BasePlugin

class Hourly(BasePlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        return 0.25 * total_seconds_late / 3600
"""
"""A plugin of a site: a quarter of a point for each hour."""


def cell(kind: str, source: str, name: str, points: float | None = None, **marks: bool) -> Any:
    """A cell of nbgrader; `marks` are grade, solution, locked and task."""
    made = {"code": new_code_cell, "markdown": new_markdown_cell}[kind](source)
    made.metadata["nbgrader"] = {
        "grade": False, "solution": False, "locked": False, "task": False, "grade_id": name, "schema_version": 3,
        **marks, **({} if points is None else {"points": points}),
    }  # fmt: skip
    return made


def problem1() -> Any:
    """The notebook that has every kind of cell."""
    answer = "def square(x):\n    ### BEGIN SOLUTION\n    return x * x\n    ### END SOLUTION"
    test = "assert square(2) == 4\n### BEGIN HIDDEN TESTS\nassert square(-3) == 9\n### END HIDDEN TESTS"
    partial = "done = [square(n) == n * n for n in (1, 2, 3, 4)]\nsum(done) / 2"
    by_hand = "### BEGIN SOLUTION\nplot = 'a plot'\n### END SOLUTION"
    task = "Explain your plot.\n=== BEGIN MARK SCHEME ===\nTwo points for axes.\n=== END MARK SCHEME ==="
    return _notebook(
        new_markdown_cell("# Squares"),
        cell("code", answer, "square", solution=True),
        cell("code", test, "test_square", 3, grade=True, locked=True),
        cell("code", partial, "test_partial", 2, grade=True, locked=True),
        cell("code", by_hand, "plot", 4, grade=True, solution=True),
        cell("markdown", "Because.", "why", 5, grade=True, solution=True),
        cell("markdown", task, "explain", 6, task=True, locked=True),
        cell("code", "assert square(0.5) == 0.25", "test_bonus", 0, grade=True, locked=True),
    )


def problem2() -> Any:
    """A second notebook, with a data file of the course."""
    answer = "def total():\n    ### BEGIN SOLUTION\n    return sum(map(int, open('numbers.txt')))\n    ### END SOLUTION"
    return _notebook(
        cell("code", "import helper", "import", locked=True),
        cell("code", answer, "total", solution=True),
        cell("code", "assert total() == helper.TOTAL", "test_total", 7, grade=True, locked=True),
        new_code_cell("1 + 1"),
    )


def _notebook(*cells: Any) -> Any:
    spec = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return new_notebook(cells=list(cells), metadata={"kernelspec": spec})


@dataclass(frozen=True)
class Course:
    """A course folder of nbgrader."""

    root: Path
    elsewhere: str | None = None
    """The address of its gradebook, where that is no file in its folder."""

    @property
    def gradebook(self) -> str:
        """The address of its gradebook."""
        return self.elsewhere or f"sqlite:///{self.root / 'gradebook.db'}"

    @property
    def source(self) -> Path:
        """The assignment's own files."""
        return self.root / "source" / ASSIGNMENT

    def submitted(self, student: str) -> Path:
        """What the student handed in."""
        return self.root / "submitted" / student / ASSIGNMENT

    def hand_in(self, student: str, at: datetime, notebooks: Mapping[str, Any]) -> None:
        """Hand these notebooks in, in place of those before, with the files of the release."""
        folder = self.submitted(student)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.root / "release" / ASSIGNMENT, folder, ignore=shutil.ignore_patterns("*.ipynb"))
        for name, notebook in notebooks.items():
            nbformat.write(notebook, folder / f"{name}.ipynb")
        (folder / "timestamp.txt").write_text(f"{at:%Y-%m-%d %H:%M:%S.%f} UTC")

    def released(self, name: str) -> Any:
        """The notebook as students get it."""
        return nbformat.read(self.root / "release" / ASSIGNMENT / f"{name}.ipynb", as_version=4)

    def to_grade(self, student: str, at: datetime = EARLY, **options: Any) -> ToGrade:
        """The student's submission."""
        return ToGrade(COURSE, ASSIGNMENT, student, at, self.gradebook, options)

    def copy(self, root: Path) -> "Course":
        """The same in another folder."""
        shutil.copytree(self.root, root)
        return Course(root)


def make(root: Path, elsewhere: str | None = None) -> Course:
    """A course whose assignment is generated, and handed in by nobody."""
    course = Course(root, elsewhere)
    course.source.mkdir(parents=True)
    nbformat.write(problem1(), course.source / "problem1.ipynb")
    nbformat.write(problem2(), course.source / "problem2.ipynb")
    (course.source / "numbers.txt").write_text("1\n2\n3\n")
    (course.source / "helper.py").write_text("TOTAL = 6\n")
    directory = CourseDirectory(root=str(root), db_url=course.gradebook, course_id=COURSE, assignment_id=ASSIGNMENT)
    GenerateAssignment(coursedir=directory).start()
    with Gradebook(course.gradebook, COURSE) as gradebook:
        gradebook.update_or_create_assignment(ASSIGNMENT, duedate=DUE.replace(tzinfo=None))
    return course


def marked(notebook: Any, name: str) -> Any:
    """The notebook's cell that nbgrader knows by that name."""
    return next(one for one in notebook.cells if one.metadata.get("nbgrader", {}).get("grade_id") == name)


def answered(notebook: Any, **answers: str) -> Any:
    """The notebook with these sources for the cells of these names."""
    for name, source in answers.items():
        marked(notebook, name).source = source
    return notebook


def facts(course: Course) -> dict[str, Any]:
    """Everything that a gradebook says of submissions, but for its own ids."""
    found: dict[str, Any] = {}
    with Gradebook(course.gradebook, COURSE) as gradebook:
        found["students"] = sorted(student.id for student in gradebook.students)
        for submission in gradebook.assignment_submissions(ASSIGNMENT):
            told = _told(submission, "timestamp", "score", "max_score", "needs_manual_grade", "late_submission_penalty")
            for notebook in submission.notebooks:
                told[notebook.name] = _told(
                    notebook, "score", "max_score", "needs_manual_grade", "late_submission_penalty", "failed_tests"
                )
                for grade in notebook.grades:
                    told[notebook.name, grade.name] = _told(
                        grade, "auto_score", "manual_score", "extra_credit", "needs_manual_grade", "score", "max_score_gradecell"
                    )  # fmt: skip
                for comment in notebook.comments:
                    told[notebook.name, comment.name, "comment"] = _told(comment, "auto_comment", "manual_comment")
            found[submission.student.id] = told
    return found


def _told(row: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


async def always() -> bool:
    """It is still wanted."""
    return True
