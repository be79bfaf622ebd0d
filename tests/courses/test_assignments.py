"""The assignments of the sample courses: clean in the repository, whole for nbgrader, and just to who solves them."""

import ast
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbformat import NotebookNode
from nbgrader.apps import NbGraderAPI
from nbgrader.nbgraderformat import MetadataValidator
from traitlets.config import Config

from kirzl_lab.courses.demo import Work, submission_files

COURSES = Path(__file__).resolve().parents[2] / "courses"
ASSIGNMENTS = sorted(path for path in COURSES.glob("*/source/*") if path.is_dir())
MARKS = ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN TESTS", "MARK SCHEME")
REGRESSION = COURSES / "ml-101" / "source" / "2-regression"
"""Tried with every kind of work: that says more about who makes the work than about the assignment."""
BROKEN = (Work.PARTLY, Work.WRONG, Work.SYNTAX_ERROR)


def name_of(assignment: Path) -> str:
    return f"{assignment.parents[1].name}/{assignment.name}"


each_assignment = pytest.mark.parametrize("assignment", ASSIGNMENTS, ids=name_of)


def notebook_of(folder: Path) -> NotebookNode:
    (path,) = folder.glob("*.ipynb")
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def graded_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if "points" in cell.metadata.get("nbgrader", {})]


def secrets_of(notebook: NotebookNode) -> list[str]:
    """What students must not see before they hand in: solutions, hidden tests, mark schemes, answers of a person's."""
    regions = re.compile(r"### BEGIN (?:SOLUTION|HIDDEN TESTS|MARK SCHEME)\n(.*?)\s*### END ", re.DOTALL)
    found = [text for cell in notebook.cells for text in regions.findall(cell.source)]
    by_a_person = [cell for cell in graded_cells(notebook) if cell.metadata.nbgrader.solution]
    return found + [cell.source for cell in by_a_person]


def test_each_course_has_its_assignments() -> None:
    assert [name_of(path) for path in ASSIGNMENTS] == [
        "dl-201/1-gradients",
        "dl-201/2-small-network",
        "ml-101/1-nearest-neighbours",
        "ml-101/2-regression",
        "ml-101/3-evaluation",
    ]


@each_assignment
def test_is_clean(assignment: Path) -> None:
    (path,) = assignment.glob("*.ipynb")
    notebook = notebook_of(assignment)
    nbformat.validate(notebook)
    assert path.read_text("utf-8") == nbformat.writes(notebook) + "\n", "as nbformat writes it"
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5), "cells have ids"
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info == {"name": "python"}, "no version of whoever saved it last"
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"nbgrader"}
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


@each_assignment
def test_nbgrader_takes_its_cells_and_points_are_as_the_table_says(assignment: Path) -> None:
    notebook = notebook_of(assignment)
    MetadataValidator().validate_nb(notebook)
    title = notebook.cells[0].source
    table = [int(points) for points in re.findall(r"^\|[^|]*\|[^|]*\| (\d+) \|", title, re.MULTILINE)]
    graded = graded_cells(notebook)
    assert [cell.metadata.nbgrader.points for cell in graded] == table
    assert sum(table) == 20
    assert "20 points" in title
    headings = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert [int(points) for points in re.findall(r"^## \d\. .* \((\d) points\)$", headings, re.MULTILINE)] == table


@each_assignment
def test_every_check_says_what_is_wrong(assignment: Path) -> None:
    tests = [cell for cell in graded_cells(notebook_of(assignment)) if cell.metadata.nbgrader.locked]
    code = [cell.source for cell in tests if cell.cell_type == "code"]
    assert len(code) >= 3
    for source in code:
        assert "### BEGIN HIDDEN TESTS" in source
        checks = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert)]
        assert checks
        assert all(check.msg for check in checks)


def test_every_kind_of_cell_is_there() -> None:
    cells = [cell for path in ASSIGNMENTS for cell in notebook_of(path).cells]
    kinds = {
        (cell.cell_type, told.grade, told.solution, told.locked, told.task)
        for cell in cells
        if (told := cell.metadata.get("nbgrader"))
    }
    assert kinds == {
        ("markdown", False, False, True, False),  # read-only
        ("code", False, False, True, False),
        ("code", False, True, False, False),  # an answer, and tests of it
        ("code", True, False, True, False),
        ("markdown", True, True, False, False),  # graded by a person
        ("code", True, True, False, False),
        ("markdown", False, False, True, True),  # a task
    }
    assert any(path.suffix == ".csv" for assignment in ASSIGNMENTS for path in assignment.iterdir())


class Graded(NamedTuple):
    """What nbgrader made of an assignment: its folders, and what it gave for each kind of work, cell by cell."""

    source: Path
    release: Path
    autograded: Path
    """That of the perfect work."""
    scores: dict[str, dict[str, float]]
    full: dict[str, float]


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NbGraderAPI]:
    """A course with all assignments and a gradebook of its own."""
    root = tmp_path_factory.mktemp("course")
    for assignment in ASSIGNMENTS:
        shutil.copytree(assignment, root / "source" / assignment.name)
    config = Config()
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.course_id = "samples"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # nbgrader runs alembic
        patch.setenv("IPYTHONDIR", str(root / ".ipython"))
        patch.setenv("MPLCONFIGDIR", str(root / ".matplotlib"))
        yield NbGraderAPI(config=config)


@pytest.fixture(scope="module", params=ASSIGNMENTS, ids=name_of)
def graded(request: pytest.FixtureRequest, course: NbGraderAPI) -> Graded:
    """Released and autograded by nbgrader itself."""
    assignment: Path = request.param
    name, root = assignment.name, Path(course.coursedir.root)
    released = course.generate_assignment(name)
    assert released["success"], released["log"]
    scores, full = {}, {}
    for work in (Work.PERFECT, Work.EMPTY, *(BROKEN if assignment == REGRESSION else ())):
        files = submission_files(root / "source" / name, root / "release" / name, work, number=1)
        for file, content in files.items():
            path = root / "submitted" / work / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        done = course.autograde(name, work.value)
        assert done["success"], done["log"]
        with course.gradebook as gradebook:
            (notebook,) = gradebook.find_submission(name, work.value).notebooks
            scores[work.value] = {grade.name: grade.auto_score for grade in notebook.grades}
            full |= {grade.name: grade.max_score for grade in notebook.grades}
    return Graded(root / "source" / name, root / "release" / name, root / "autograded" / "perfect" / name, scores, full)


@pytest.mark.slow
def test_nothing_secret_is_in_the_release_and_everything_else_is(graded: Graded) -> None:
    assert {path.name for path in graded.source.iterdir()} == {path.name for path in graded.release.iterdir()}
    text = "\n".join(cell.source for cell in notebook_of(graded.release).cells)
    secrets = secrets_of(notebook_of(graded.source))
    assert len(secrets) >= 7
    for secret in (*secrets, *MARKS):
        assert secret not in text
    assert text.count("raise NotImplementedError()") >= 4


@pytest.mark.slow
def test_who_solves_it_gets_all_points_and_who_does_nothing_gets_none(graded: Graded) -> None:
    by_tests = {name for name in graded.full if name.endswith("-tests")}
    perfect, empty = graded.scores["perfect"], graded.scores["empty"]
    assert {name: perfect[name] for name in by_tests} == {name: graded.full[name] for name in by_tests}
    assert {name for name, score in perfect.items() if score is None} == set(graded.full) - by_tests
    assert {score for name, score in empty.items() if name in by_tests} == {0}


@pytest.mark.slow
@pytest.mark.parametrize("graded", [REGRESSION], ids=[name_of(REGRESSION)], indirect=True)
def test_work_of_every_other_kind_gets_fewer_points(graded: Graded) -> None:
    by_tests = {name for name in graded.full if name.endswith("-tests")}
    sums = {work: sum(scores[name] for name in by_tests) for work, scores in graded.scores.items()}
    for work in BROKEN:
        assert sums[work] < sums["perfect"]
        assert (sums[work] > 0) is (work is not Work.WRONG)


@pytest.mark.slow
def test_it_runs_without_a_mistake_and_without_warnings(graded: Graded) -> None:
    outputs = [output for cell in notebook_of(graded.autograded).cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    complaints = [output.text for output in outputs if output.get("name") == "stderr"]
    assert [text for text in complaints if "IPKernelApp" not in text] == []
