"""What pages read is what nbgrader's own Gradebook says."""

import shutil
import tempfile
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbgrader.api import Gradebook

from kirzl_lab.courses import gradebook_view
from kirzl_lab.courses.gradebook import GradebookFiles, Gradebooks
from kirzl_lab.courses.gradebook_view import Grading
from tests.courses.books import (
    COURSE,
    DUE,
    BookMade,
    CellMade,
    GradeMade,
    WorkMade,
    assignment,
    books,
    fill,
    student,
)

QUARTERS = st.integers(0, 40).map(lambda quarters: quarters / 4)
"""Sums of these are exact in any order."""


def compare(read: gradebook_view.Grades, url: str, *, exactly: bool) -> None:
    """Every figure of every submission and assignment, against nbgrader's properties."""

    def same(mine: float, theirs: float) -> bool:
        return mine == theirs if exactly else mine == pytest.approx(theirs, rel=1e-12, abs=1e-12)

    with Gradebook(url, COURSE) as gradebook:
        assert list(read.assignments) == [
            one.name for one in sorted(gradebook.assignments, key=lambda one: one.duedate)
        ]
        found = set()
        for one in gradebook.assignments:
            assert same(read.assignments[one.name].max_score, one.max_score)
            assert read.assignments[one.name].due_at == one.duedate.replace(tzinfo=UTC)
            for submission in one.submissions:
                found.add((submission.student_id, one.name))
                mine = read.of[submission.student_id, one.name]
                assert same(mine.raw_score, submission.score)
                assert same(mine.penalty, submission.late_submission_penalty)
                assert mine.needs_manual_grade == submission.needs_manual_grade
                assert mine.submitted_at == submission.timestamp.replace(tzinfo=UTC)
                # As nbgrader's own export and the feedback have it.
                assert same(mine.score, max(0.0, submission.score - submission.late_submission_penalty))
        assert set(read.of) == found


def written(empty: Path, book: BookMade, folder: Path) -> GradebookFiles:
    made = GradebookFiles(folder)
    file = made.file(COURSE)
    file.parent.mkdir(parents=True)
    shutil.copyfile(empty, file)
    fill(made.lab_url(COURSE), book)
    return made


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = GradebookFiles(tmp_path_factory.mktemp("empty"))
    made.prepare(COURSE)
    return made.file(COURSE)


@given(book=books(QUARTERS))
def test_every_figure_is_nbgraders(empty: Path, book: BookMade) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = written(empty, book, Path(folder))
        with made.reading(COURSE) as connection:
            compare(gradebook_view.read(connection), made.lab_url(COURSE), exactly=True)


@given(book=books(st.floats(0, 100)))
def test_any_score_is_nbgraders_but_for_the_order_of_the_sum(empty: Path, book: BookMade) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = written(empty, book, Path(folder))
        with made.reading(COURSE) as connection:
            compare(gradebook_view.read(connection), made.lab_url(COURSE), exactly=False)


BOOK = BookMade(
    assignments=[[[CellMade("auto", 2), CellMade("manual", 3)], [CellMade("task", 5)]], [[CellMade("auto", 4)]], [[]]],
    work=[
        [
            WorkMade([(1.0, [GradeMade(2, None, None, False), GradeMade(None, 1.5, 0.5, False)]), (None, [GradeMade(None, 5, 1, False)])]),
            WorkMade([(9.0, [GradeMade(4, None, None, False)])], timedelta(hours=3)),
            WorkMade([(None, [])]),
        ],
        [WorkMade([(None, [GradeMade(0, None, None, False), GradeMade(None, None, None, True)]), (None, [GradeMade(None, None, 2, True)])]), None, None],
        [None, None, None],
    ],
)  # fmt: skip


def test_a_gradebook_of_each_kind(any_gradebooks: Gradebooks) -> None:
    any_gradebooks.prepare(COURSE)
    url = any_gradebooks.lab_url(COURSE)
    fill(url, BOOK)
    with any_gradebooks.reading(COURSE) as connection:
        everything = gradebook_view.read(connection)
        some = gradebook_view.read(connection, [student(1)])
        one = gradebook_view.read_assignment(connection, assignment(0))
        tasks = gradebook_view.read_tasks(connection, assignment(0))
        assert set(gradebook_view.read_students(connection)) == {student(0), student(1)}
    compare(everything, url, exactly=True)
    assert everything.of[student(0), "ps0"] == Grading(10.0, 1.0, False, DUE.replace(tzinfo=UTC))
    assert everything.of[student(0), "ps1"].score == 0.0, "nobody falls below zero"
    # Extra credit alone is no score.
    assert everything.of[student(1), "ps0"] == Grading(0.0, 0.0, True, DUE.replace(tzinfo=UTC))
    assert some.of == {key: value for key, value in everything.of.items() if key[0] == student(1)}
    assert some.assignments == everything.assignments
    assert one == {who: value for (who, name), value in everything.of.items() if name == "ps0"}
    told = [
        (task.notebook, task.cell, task.max_score, task.graded, task.mean_score, task.full, task.none) for task in tasks
    ]
    assert told == [("nb0", "cell0", 2.0, 2, 1.0, 1, 1), ("nb0", "cell1", 3.0, 1, 2.0, 0, 0), ("nb1", "cell0", 5.0, 1, 6.0, 1, 0)]  # fmt: skip
    assert [task.success for task in tasks] == [0.5, 2 / 3, 1.2]


def test_a_page_cannot_write(any_gradebooks: Gradebooks) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    with any_gradebooks.reading(COURSE) as connection, pytest.raises(DBAPIError, match=r"read-?only"):
        connection.execute(text("INSERT INTO student (id) VALUES ('stranger')"))
