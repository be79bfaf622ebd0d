"""Collect, as nbgrader's own tests script it."""

from datetime import timedelta

import pytest

from tests.courses.in_server.conftest import Desk, Lab, notebook
from tests.service.sample import COLLEAGUE, STUDENT

FIRST, SECOND = "2026-11-24 08:30:03.000000 UTC", "2026-11-24 08:30:05.000000 UTC"


def test_collect(teacher: Desk, student: Desk) -> None:
    teacher.release("ps1")
    student.run("fetch_assignment", "ps1")
    student.run("submit", "ps1")
    assert "Processing 1 submissions" in teacher.run("collect", "ps1")
    folder = f"course/submitted/{STUDENT}/ps1"
    assert teacher.timestamp(folder) == FIRST
    assert [each.name for each in (teacher.course / "submitted" / STUDENT).iterdir()] == ["ps1"]
    student.write("ps1/p1.ipynb", notebook("better"))
    student.run("submit", "ps1")
    assert "use --update to update" in teacher.run("collect", "ps1")
    assert teacher.timestamp(folder) == FIRST
    assert "Updating submission" in teacher.run("collect", "ps1", "--update")
    assert teacher.timestamp(folder) > FIRST
    assert (teacher.home / folder / "p1.ipynb").read_text() == notebook("better")
    assert "No newer submission to collect" in teacher.run("collect", "--assignment=ps1", "--update")


def test_nothing_to_collect(teacher: Desk) -> None:
    teacher.release("ps1")
    assert "No submissions of 'ps1' for course 'ml-101' to collect" in teacher.run("collect", "ps1")
    assert not (teacher.course / "submitted").exists()


def test_one_student(teacher: Desk, student: Desk, colleague: Desk) -> None:
    teacher.release("ps1")
    student.fetch_and_submit("ps1")
    colleague.fetch_and_submit("ps1")
    teacher.run("collect", "ps1", f"--student={COLLEAGUE}")
    assert [each.name for each in (teacher.course / "submitted").iterdir()] == [COLLEAGUE]


def test_a_submission_cannot_forge_its_time(teacher: Desk, student: Desk) -> None:
    teacher.release("ps1")
    student.run("fetch_assignment", "ps1")
    student.write("ps1/timestamp.txt/x", "2000-01-01 00:00:00 UTC")
    student.run("submit", "ps1")
    teacher.run("collect", "ps1")
    assert teacher.timestamp(f"course/submitted/{STUDENT}/ps1") == FIRST


@pytest.mark.parametrize(
    ("first", "option", "kept"),
    [(True, "--before-duedate", FIRST), (True, "--update", SECOND), (False, "--before-duedate", SECOND)],
)
def test_before_the_due_date(teacher: Desk, student: Desk, lab: Lab, *, first: bool, option: str, kept: str) -> None:
    teacher.release("ps1")
    student.run("fetch_assignment", "ps1")
    if first:
        student.run("submit", "ps1")
        lab.now += timedelta(seconds=1)
    else:
        lab.now += timedelta(seconds=2)
    student.run("submit", "ps1")
    teacher.due("ps1", "2026-11-24 08:30:04")
    teacher.run("collect", "ps1", option)
    assert teacher.timestamp(f"course/submitted/{STUDENT}/ps1") == kept


def test_the_due_date_moves(teacher: Desk, student: Desk) -> None:
    teacher.release("ps1")
    student.fetch_and_submit("ps1")
    student.run("submit", "ps1")
    teacher.run("collect", "ps1")
    late = teacher.timestamp(f"course/submitted/{STUDENT}/ps1")
    teacher.due("ps1", FIRST.removesuffix(" UTC"))
    assert "Updating submission" in teacher.run("collect", "ps1", "--before-duedate")
    assert teacher.timestamp(f"course/submitted/{STUDENT}/ps1") == FIRST < late


def test_students_do_not_collect(teacher: Desk, student: Desk, colleague: Desk) -> None:
    teacher.release("ps1")
    colleague.fetch_and_submit("ps1")
    student.run("collect", "ps1", status=1)
    assert not (student.home / "submitted").exists()
