"""A demo's class: what each of its students hands in."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from kirzl_lab.courses.demo import USUAL, Kind, Work, demo_class, kinds, student_work, submission_files

STUB = "# YOUR CODE HERE\nraise NotImplementedError()"
TEXT_STUB = "YOUR ANSWER HERE"


def nbgrader(name: str, *, solution: bool = False, grade: bool = False) -> dict[str, object]:
    return {"nbgrader": {"grade_id": name, "solution": solution, "grade": grade, "locked": not solution, "task": False}}


def notebook(*, released: bool) -> NotebookNode:
    """Two answers that tests grade, each with its tests, and two that a person grades: as source or as release."""
    double = "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION"
    seven = "### BEGIN SOLUTION\nseven, eight = 7, 8\n### END SOLUTION"
    cells = [
        new_markdown_cell("# Title", id="title"),
        new_code_cell(
            f"def double(x):\n    {STUB.replace(chr(10), chr(10) + '    ')}" if released else double,
            id="double",
            metadata=nbgrader("double", solution=True),
        ),
        new_code_cell("assert double(2) == 4", id="double-tests", metadata=nbgrader("double-tests", grade=True)),
        new_markdown_cell(
            TEXT_STUB if released else "Because.", id="why", metadata=nbgrader("why", solution=True, grade=True)
        ),
        new_code_cell(STUB if released else seven, id="seven", metadata=nbgrader("seven", solution=True)),
        new_code_cell("assert seven == 7", id="seven-tests", metadata=nbgrader("seven-tests", grade=True)),
        new_code_cell(
            STUB if released else "print(double(seven))",
            id="show",
            metadata=nbgrader("show", solution=True, grade=True),
        ),
    ]
    return new_notebook(cells=cells)


def made(work: Work, number: int = 0) -> dict[str, str]:
    """The cells of what a student makes, by id."""
    answered = student_work(notebook(released=False), notebook(released=True), work, number=number)
    nbformat.validate(answered)
    return {cell.id: cell.source for cell in answered.cells}


def outcome(cells: dict[str, str]) -> list[str]:
    """What the code cells of a notebook end with, in order: nothing, or the name of an exception."""
    namespace: dict[str, object] = {}
    ends = []
    for name in ("double", "double-tests", "seven", "seven-tests"):
        try:
            exec(cells[name], namespace)
            ends.append("")
        except Exception as error:
            ends.append(type(error).__name__)
    return ends


RELEASE = {cell.id: cell.source for cell in notebook(released=True).cells}


def test_perfect_work_is_the_source_without_its_marks() -> None:
    cells = made(Work.PERFECT)
    assert outcome(cells) == ["", "", "", ""]
    assert cells["why"] == "Because."
    assert cells["show"] == "print(double(seven))"
    assert "###" not in "".join(cells.values())


@pytest.mark.parametrize("number", range(5))
def test_partly_right_work_has_something_and_not_everything(number: int) -> None:
    assert outcome(made(Work.PARTLY, number)) == ["", "", "NotImplementedError", "NameError"]


@pytest.mark.parametrize("number", range(3))
def test_wrong_work_runs(number: int) -> None:
    cells = made(Work.WRONG, number)
    assert outcome(cells) == ["", "AssertionError", "", "AssertionError"]
    assert cells["why"] not in (TEXT_STUB, "Because.")
    assert cells["show"] != STUB


@pytest.mark.parametrize(
    ("work", "error"), [(Work.FAILING, "NameError"), (Work.SYNTAX_ERROR, "SyntaxError")], ids=["failing", "syntax"]
)
def test_one_answer_is_broken_and_the_number_says_which(work: Work, error: str) -> None:
    assert outcome(made(work, 0)) == [error, "NameError", "", ""]
    assert outcome(made(work, 1)) == ["", "", error, "NameError"]


def test_endless_work_begins_with_a_loop_that_nothing_ends() -> None:
    loop = ast.parse(made(Work.ENDLESS)["double"]).body[0]
    assert ast.unparse(loop) == "while True:\n    pass"


def test_empty_work_is_the_release() -> None:
    assert made(Work.EMPTY) == RELEASE


@pytest.mark.parametrize("work", Work)
def test_nothing_but_answers_changes_and_the_same_comes_out_each_time(work: Work) -> None:
    source, release = notebook(released=False), notebook(released=True)
    first, second = (student_work(source, release, work, number=3) for _ in range(2))
    assert first == second
    assert (source, release) == (notebook(released=False), notebook(released=True)), "what was given stays"
    for before, after in zip(release.cells, first.cells, strict=True):
        assert before | {"source": after.source} == after
        assert before.source == after.source or before.metadata.nbgrader.solution


@pytest.fixture
def assignment(tmp_path: Path) -> tuple[Path, Path]:
    """The folders of source and release, with a data file in a folder of the release."""
    for name in ("source", "release"):
        folder = tmp_path / name
        (folder / "data").mkdir(parents=True)
        nbformat.write(notebook(released=name == "release"), folder / "a.ipynb")
        (folder / "data" / "a.csv").write_bytes(b"x\r\n\xff")
    return tmp_path / "source", tmp_path / "release"


def test_a_submission_has_all_files_of_the_release(assignment: tuple[Path, Path]) -> None:
    files = submission_files(*assignment, Work.PERFECT)
    assert set(files) == {"a.ipynb", "data/a.csv"}
    assert files["data/a.csv"] == b"x\r\n\xff"
    answered = nbformat.reads(files["a.ipynb"].decode(), as_version=4)
    assert answered == student_work(notebook(released=False), notebook(released=True), Work.PERFECT)


def test_a_class_of_thirty_has_every_kind_and_is_the_same_each_time(assignment: tuple[Path, Path]) -> None:
    one, other = (list(demo_class(*assignment, 30)) for _ in range(2))
    assert one == other
    assert [student.number for student in one] == list(range(1, 31))
    assert {student.kind for student in one} == set(USUAL) == set(Kind) - {Kind.ENDLESS}
    by_kind = {student.kind: student for student in one}
    assert by_kind[Kind.MISSING].attempts == ()
    assert [attempt.work for attempt in by_kind[Kind.TWICE].attempts] == [Work.PARTLY, Work.PERFECT]
    late = [student.kind for student in one for attempt in student.attempts if attempt.late]
    assert set(late) == {Kind.LATE}


def test_who_does_what_moves_on_from_assignment_to_assignment() -> None:
    assert set(kinds(len(USUAL))) == set(USUAL), "a small class has each kind, too"
    assert kinds(30, shift=4)[:-4] == kinds(30)[4:]
    assert kinds(0) == kinds(0, endless=True) == ()
    assert kinds(30, endless=True) == (*kinds(30)[:-1], Kind.ENDLESS)
