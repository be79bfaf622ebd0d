"""Of what comes back from student code only the outputs are taken."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output

from kirzl_lab.grading.finish import finish
from kirzl_lab.grading.returned import ReturnRefusedError, take
from kirzl_lab.problems import ResultRefused
from tests.grading.course import LATE, STUDENT, Course, facts, marked

HELLO = new_output("stream", name="stdout", text="hello")


@pytest.fixture
def executed(prepared: Path, tmp_path: Path) -> Path:
    """The same, as if it had been run."""
    return Path(shutil.copytree(prepared, tmp_path / "executed"))


def edit(file: Path, change: Callable[[Any], object]) -> None:
    notebook = nbformat.read(file, as_version=4)
    change(notebook)
    file.write_text(nbformat.writes(notebook))


def test_outputs_counts_and_languages_are_taken(prepared: Path, executed: Path, tmp_path: Path) -> None:
    def run(notebook: Any) -> None:
        one = marked(notebook, "test_square")
        one.outputs, one.execution_count = [HELLO], 3
        one.metadata["execution"] = {"shell.execute_reply": "now"}
        notebook.metadata |= {"language_info": {"name": "python"}, "title": "mine"}

    edit(executed / "problem1.ipynb", run)
    take(prepared, executed, tmp_path / "taken")
    taken = nbformat.read(tmp_path / "taken" / "problem1.ipynb", as_version=4)
    sent = nbformat.read(prepared / "problem1.ipynb", as_version=4)
    one = marked(taken, "test_square")
    assert (one.outputs, one.execution_count) == ([HELLO], 3)
    assert taken.metadata == sent.metadata | {"language_info": {"name": "python"}}
    one.outputs, one.execution_count = [], None
    assert taken.cells == sent.cells
    assert (tmp_path / "taken" / "numbers.txt").read_text() == "1\n2\n3\n"


def test_notebooks_that_were_not_sent_are_left_out(prepared: Path, executed: Path, tmp_path: Path) -> None:
    (prepared / "problem2.ipynb").unlink()  # the student did not hand it in, their code makes a perfect one
    take(prepared, executed, tmp_path / "taken")
    assert [file.name for file in (tmp_path / "taken").glob("*.ipynb")] == ["problem1.ipynb"]


def changed(change: Callable[[Any], object]) -> Callable[[Path], object]:
    return lambda folder: edit(folder / "problem1.ipynb", change)


def text(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "problem1.ipynb").write_text(text)


def raw(change: Callable[[Any], object]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        notebook = json.loads((folder / "problem1.ipynb").read_text())
        change(notebook)
        (folder / "problem1.ipynb").write_text(json.dumps(notebook))

    return write


def outputs(value: Any) -> Callable[[Path], object]:
    """Outputs of the first code cell."""
    return raw(lambda notebook: next(c for c in notebook["cells"] if c["cell_type"] == "code").update(outputs=value))


CHANGED, NO_NOTEBOOK = "the cells of “problem1.ipynb” were changed", "“problem1.ipynb” is no notebook"

HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a test is changed": (changed(lambda n: marked(n, "test_square").update(source="pass")), CHANGED),
    "a checksum is changed": (
        changed(lambda n: marked(n, "plot").metadata.nbgrader.update(checksum="0" * 32)),
        CHANGED,
    ),
    "points are changed": (changed(lambda n: marked(n, "test_square").metadata.nbgrader.update(points=99)), CHANGED),
    "a cell is no longer marked": (changed(lambda n: marked(n, "test_square").metadata.pop("nbgrader")), CHANGED),
    "an answer is marked as a grade": (
        changed(lambda n: n.cells[0].metadata.update(nbgrader={"grade": True})),
        CHANGED,
    ),
    "the kind of a cell is changed": (changed(lambda n: n.cells[1].update(cell_type="raw")), CHANGED),
    "cells change places": (changed(lambda n: n.cells.reverse()), CHANGED),
    "a cell is gone": (changed(lambda n: n.cells.pop()), CHANGED),
    "a cell is new": (changed(lambda n: n.cells.append(new_code_cell("pass"))), CHANGED),
    "no cells": (text('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}'), NO_NOTEBOOK),
    "cells are a word": (raw(lambda n: n.update(cells="cells")), NO_NOTEBOOK),
    "cells are numbers": (raw(lambda n: n.update(cells=[1] * len(n["cells"]))), NO_NOTEBOOK),
    "metadata are a list": (raw(lambda n: n.update(metadata=[])), NO_NOTEBOOK),
    "another format": (raw(lambda n: n.update(nbformat=99)), NO_NOTEBOOK),
    "outputs of no kind": (outputs([{"output_type": "grade", "points": 99}]), NO_NOTEBOOK),
    "outputs are a word": (outputs("outputs"), NO_NOTEBOOK),
    "text that is a number": (outputs([{"output_type": "stream", "name": "stdout", "text": 7}]), NO_NOTEBOOK),
    "half a character": (outputs([{"output_type": "stream", "name": "stdout", "text": "\ud800"}]), NO_NOTEBOOK),
    "no JSON": (text("{"), NO_NOTEBOOK),
    "nothing": (text(""), NO_NOTEBOOK),
    "a number": (text("1"), NO_NOTEBOOK),
    "a deep list": (text("[" * 100_000), NO_NOTEBOOK),
    "a long number": (text('{"nbformat": ' + "9" * 10_000 + "}"), NO_NOTEBOOK),
    "no text": (lambda folder: (folder / "problem1.ipynb").write_bytes(b"\xff\xfe\0"), NO_NOTEBOOK),
    "missing": (lambda folder: (folder / "problem2.ipynb").unlink(), "“problem2.ipynb” is missing"),
    "a folder": (
        lambda folder: ((folder / "problem2.ipynb").unlink(), (folder / "problem2.ipynb").mkdir()),
        "is missing",
    ),
    "another folder": (lambda folder: (folder / "problem3.ipynb").mkdir(), "“problem3.ipynb” is no notebook"),
    "large": (lambda folder: (folder / "problem1.ipynb").write_bytes(b" " * (81 * 1024 * 1024)), "is too large"),
    "very large": (lambda folder: (folder / "hole").open("wb").truncate(10**12), "the files are too large"),
    "a link": (
        lambda folder: ((folder / "problem1.ipynb").unlink(), (folder / "problem1.ipynb").symlink_to("problem2.ipynb")),
        "“problem1.ipynb” is a link",
    ),
    "a link elsewhere": (lambda folder: (folder / "gradebook").symlink_to("/etc/passwd"), "“gradebook” is a link"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_anything_else_is_refused(name: str, prepared: Path, executed: Path, tmp_path: Path) -> None:
    make, why = HOSTILE[name]
    make(executed)
    with pytest.raises(ReturnRefusedError, match=why):
        take(prepared, executed, tmp_path / "taken")


@pytest.mark.parametrize("name", ["a test is changed", "missing", "no JSON", "a link elsewhere"])
def test_a_refusal_changes_nothing(
    name: str, handed_in: Course, prepared: Path, executed: Path, tmp_path: Path
) -> None:
    before, work = facts(handed_in), tmp_path / "finish"
    HOSTILE[name][0](executed)
    work.mkdir()
    with pytest.raises(ResultRefused, match="was refused and not graded"):
        finish(handed_in.to_grade(STUDENT, LATE), prepared, executed, tmp_path / "autograded", work)
    assert facts(handed_in) == before
    assert not (tmp_path / "autograded").exists()


def test_the_time_is_the_labs(handed_in: Course, prepared: Path, executed: Path, tmp_path: Path) -> None:
    work = tmp_path / "finish"
    (executed / "timestamp.txt").unlink()
    (executed / "timestamp.txt").mkdir()
    work.mkdir()
    finish(handed_in.to_grade(STUDENT, LATE), prepared, executed, tmp_path / "autograded", work)
    assert facts(handed_in)[STUDENT]["timestamp"] == LATE.replace(tzinfo=None)
    assert (tmp_path / "autograded" / "timestamp.txt").read_text() == "2026-11-02 15:00:00.000000 UTC"
