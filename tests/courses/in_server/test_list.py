"""Lists, as nbgrader's own tests script them, and how something is taken back."""

import json
from collections.abc import Callable

import pytest

from kirzl_lab.courses.in_server.listing import KEPT
from tests.courses.in_server.conftest import Desk
from tests.service.sample import ASSISTANT, COLLEAGUE, STUDENT


def test_released_and_fetched(teacher: Desk, student: Desk) -> None:
    assert student.listed() == []
    teacher.release("ps1")
    teacher.release("ps2")
    assert student.listed() == ["ml-101 ps1", "ml-101 ps2"]
    assert student.listed("ps2") == ["ml-101 ps2"]
    student.run("fetch_assignment", "ps1")
    assert student.listed() == ["ml-101 ps1 (already downloaded)", "ml-101 ps2"]
    # The token of a server speaks for its own course.
    assert "You have no course called “dl-201”" in student.run("list", "--course", "dl-201", status=1)


def test_a_release_is_taken_back_and_what_was_handed_in_stays(teacher: Desk, student: Desk) -> None:
    teacher.release("ps1")
    teacher.release("ps2")
    student.fetch_and_submit("ps1")
    assert "Removing released assignments:" in teacher.run("list", "ps1", "--remove")
    assert student.listed() == ["ml-101 ps2"]
    assert teacher.listed("ps1") == []
    assert "Assignment not found" in student.run("submit", "ps1", status=1)
    assert len(student.listed("--cached")) == 1
    teacher.run("list", "ps2", "--remove")
    assert student.listed() == []


def test_students_take_nothing_back(teacher: Desk, student: Desk) -> None:
    teacher.release("ps1")
    student.fetch_and_submit("ps1")
    student.run("list", "--remove", status=1)
    assert student.listed("ps1") == ["ml-101 ps1 (already downloaded)"]
    for desk in (student, teacher):
        for kind in ("--inbound", "--cached"):
            assert KEPT in desk.run("list", kind, "--remove", status=1)
    assert len(teacher.listed("--inbound")) == 1


def test_handed_in(teacher: Desk, student: Desk, colleague: Desk, desks: Callable[[str], Desk]) -> None:
    teacher.release("ps1")
    teacher.release("ps2")
    assert teacher.listed("--inbound") == []
    student.fetch_and_submit("ps1")
    student.fetch_and_submit("ps2")
    colleague.fetch_and_submit("ps1")
    whole = desks(ASSISTANT).listed("--inbound")
    assert [line.split()[1:3] for line in whole] == [[COLLEAGUE, "ps1"], [STUDENT, "ps1"], [STUDENT, "ps2"]]
    assert [line.split()[1] for line in teacher.listed("ps1", "--inbound")] == [COLLEAGUE, STUDENT]
    assert [line.split()[2] for line in teacher.listed("--inbound", f"--student={STUDENT}")] == ["ps1", "ps2"]
    assert teacher.listed("--cached") == []
    # Students see their own alone, however they ask.
    for kind in ("--inbound", "--cached"):
        assert [line.split()[1] for line in colleague.listed(kind)] == [COLLEAGUE]
        assert colleague.listed(kind, f"--student={STUDENT}") == []
    assert "incompatible" in teacher.run("list", "--inbound", "--cached", status=1)


def test_as_json(teacher: Desk, student: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    teacher.release("ps1")
    student.fetch_and_submit("ps1")
    capsys.readouterr()
    student.run("list", "--json", "--cached")
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["course_id"], found["student_id"], found["assignment_id"]) == ("ml-101", STUDENT, "ps1")
    assert found["submissions"][0]["notebooks"][0]["notebook_id"] == "p1"
