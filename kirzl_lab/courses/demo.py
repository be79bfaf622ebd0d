"""What a class hands in, in every state that grading has to cope with: for demos, tests and measurements. Pure.

Guarantees: the same arguments give the same bytes; what is handed in is the release, with other text in its answers
and nothing else changed; everybody of a class has a kind, and a class of `len(USUAL)` or more has each of them.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import cast

import nbformat
from nbformat import NotebookNode

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
"""nbgrader's marks around what a release leaves out; an answer that a person grades may do without."""


class Work(StrEnum):
    """How somebody answered."""

    PERFECT = "perfect"
    """As in the source."""
    PARTLY = "partly"
    """The first answers as in the source, the others not begun."""
    WRONG = "wrong"
    """Every answer runs, none is right."""
    FAILING = "failing"
    """As in the source, but one cell fails when it runs."""
    SYNTAX_ERROR = "syntax-error"
    """As in the source, but one cell is no Python."""
    EMPTY = "empty"
    """The release as it is."""
    ENDLESS = "endless"
    """As in the source, but one cell never ends: a run of it takes as long as the limit allows."""


class Kind(StrEnum):
    """What somebody of a class did about an assignment."""

    PERFECT = "perfect"
    PARTLY = "partly"
    WRONG = "wrong"
    FAILING = "failing"
    SYNTAX_ERROR = "syntax-error"
    EMPTY = "empty"
    LATE = "late"
    """Perfect, after the due date."""
    TWICE = "twice"
    """Partly first, then perfect."""
    MISSING = "missing"
    """Nothing."""
    ENDLESS = "endless"


USUAL = tuple(kind for kind in Kind if kind is not Kind.ENDLESS)
"""The kinds that a class has without being asked."""
_ROUND = (*USUAL, Kind.PERFECT, Kind.PARTLY, Kind.PERFECT, Kind.PARTLY, Kind.TWICE, Kind.PARTLY)
"""A class goes round in these, so that good and middling work is more frequent than the rest."""

_ATTEMPTS: Mapping[Kind, tuple[Work, ...]] = {
    Kind.PERFECT: (Work.PERFECT,),
    Kind.PARTLY: (Work.PARTLY,),
    Kind.WRONG: (Work.WRONG,),
    Kind.FAILING: (Work.FAILING,),
    Kind.SYNTAX_ERROR: (Work.SYNTAX_ERROR,),
    Kind.EMPTY: (Work.EMPTY,),
    Kind.LATE: (Work.PERFECT,),
    Kind.TWICE: (Work.PARTLY, Work.PERFECT),
    Kind.MISSING: (),
    Kind.ENDLESS: (Work.ENDLESS,),
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One submission: its files by their path below the assignment's folder, and whether it comes after the due date."""

    work: Work
    files: Mapping[str, bytes]
    late: bool


@dataclass(frozen=True, slots=True)
class Student:
    """One of a class: the number from 1, what they did, and what they hand in, the oldest first."""

    number: int
    kind: Kind
    attempts: tuple[Attempt, ...]


def demo_class(
    source: Path, release: Path, students: int, *, shift: int = 0, endless: bool = False
) -> Iterator[Student]:
    """A class of so many `students`, with what each hands in for the assignment in the folders `source` and `release`.

    `shift` moves the kinds on by so many students, so that it is not the same ones who are late in each assignment.
    With `endless`, the last student's work never ends. Raises `OSError` and nbformat's errors for folders that hold
    no such assignment.
    """
    for number, kind in enumerate(kinds(students, shift=shift, endless=endless), start=1):
        attempts = tuple(
            Attempt(work, submission_files(source, release, work, number=number), late=kind is Kind.LATE)
            for work in _ATTEMPTS[kind]
        )
        yield Student(number, kind, attempts)


def kinds(students: int, *, shift: int = 0, endless: bool = False) -> tuple[Kind, ...]:
    """What each of so many students does, as in `demo_class`."""
    usual = tuple(_ROUND[(index + shift) % len(_ROUND)] for index in range(students))
    return (*usual[:-1], Kind.ENDLESS) if endless and usual else usual


def submission_files(source: Path, release: Path, work: Work, *, number: int = 0) -> dict[str, bytes]:
    """Every file of the folder `release` by its path below it, notebooks answered as `student_work` does."""
    files = {}
    for file in sorted(path for path in release.rglob("*") if path.is_file()):
        name = file.relative_to(release)
        if file.suffix == ".ipynb" and (source / name).is_file():
            answered = student_work(_read(source / name), _read(file), work, number=number)
            files[name.as_posix()] = _written(answered)
        else:
            files[name.as_posix()] = file.read_bytes()
    return files


def student_work(source: NotebookNode, release: NotebookNode, work: Work, *, number: int = 0) -> NotebookNode:
    """The notebook that a student makes of `release`, who answers as `work` says; both arguments stay as they are.

    `number` is the student's: it decides how much of partly right work is there, and which answer is broken.
    """
    made = deepcopy(release)
    if work is Work.EMPTY:
        return made
    solved = {_id(cell): _without_marks(cell.source) for cell in source.cells if _is_answer(cell)}
    answers = [cell for cell in made.cells if _is_answer(cell) and _id(cell) in solved]
    for cell in _begun(answers, number) if work is Work.PARTLY else answers:
        cell.source = _not_known(cell, solved[_id(cell)]) if work is Work.WRONG else solved[_id(cell)]
    tested = [cell for cell in answers if not _by_a_person(cell)]
    if tested:
        cell = tested[number % len(tested)]
        cell.source = _broken(cell.source, work)
    return made


def _begun(answers: Sequence[NotebookNode], number: int) -> Sequence[NotebookNode]:
    """The answers of somebody who went on from the first until time was up: at least one, never all that tests grade."""
    tested = [index for index, cell in enumerate(answers) if not _by_a_person(cell)]
    if len(tested) < 2:
        return answers[: len(answers) // 2]
    return answers[: tested[1 + number % (len(tested) - 1)]]


def _broken(source: str, work: Work) -> str:
    match work:
        case Work.FAILING:
            return f"print(reslt)\n\n\n{source}"
        case Work.SYNTAX_ERROR:
            return f"{source}\n)"
        case Work.ENDLESS:
            return f"while True:\n    pass\n\n\n{source}"
        case _:
            return source


def _not_known(cell: NotebookNode, solved: str) -> str:
    """An answer that runs and is wrong: functions return 0, and so is everything else that the cell should find."""
    if cell.cell_type != "code":
        return "I do not know."
    if _by_a_person(cell):
        return "# I do not know."
    tree = ast.parse(solved)
    names = [name for node in tree.body if isinstance(node, ast.Assign) for name in _names(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Return):
            node.value = ast.Constant(0)
    return "\n".join([ast.unparse(tree), *(f"{name} = 0" for name in names)])


def _names(assignment: ast.Assign) -> Iterator[str]:
    """The names that an assignment binds."""
    for target in assignment.targets:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def _without_marks(source: str) -> str:
    return "\n".join(line for line in source.split("\n") if BEGIN not in line and END not in line)


def _read(path: Path) -> NotebookNode:
    return cast(NotebookNode, nbformat.read(path, as_version=4))


def _written(notebook: NotebookNode) -> bytes:
    return f"{nbformat.writes(notebook)}\n".encode()


def _id(cell: NotebookNode) -> str:
    return str(cell.metadata.nbgrader.grade_id)


def _is_answer(cell: NotebookNode) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def _by_a_person(answer: NotebookNode) -> bool:
    """Whether a person grades an answer; the tests that follow them grade the others."""
    return bool(answer.metadata.nbgrader.grade)
