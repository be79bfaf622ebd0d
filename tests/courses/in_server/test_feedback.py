"""Feedback, as nbgrader's own tests script it: generated, released for all or for some, and each gets their own."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_notebook

from tests.courses.in_server.conftest import COURSE, Desk
from tests.grading.course import cell
from tests.service.sample import COLLEAGUE, STUDENT


def pages(desk: Desk) -> dict[str, str]:
    """The pages of feedback that a student has, by path below the assignment's feedback."""
    root = desk.home / "ps1/feedback"
    return {str(page.relative_to(root)): page.read_text() for page in sorted(root.rglob("*.html"))}


def give(teacher: Desk, student: str, text: str, *, timestamp: str | None = None) -> Path:
    """Feedback as `nbgrader generate_feedback` leaves it."""
    at = timestamp or teacher.timestamp(f"course/submitted/{student}/ps1")
    teacher.write(f"course/feedback/{student}/ps1/timestamp.txt", at)
    return teacher.write(f"course/feedback/{student}/ps1/p1.html", text)


@pytest.fixture
def collected(teacher: Desk, student: Desk, colleague: Desk) -> Desk:
    """Two have handed in, and it is collected."""
    teacher.release("ps1")
    student.fetch_and_submit("ps1")
    colleague.fetch_and_submit("ps1")
    teacher.run("collect", "ps1")
    return teacher


def test_everybody_gets_their_own(collected: Desk, student: Desk, colleague: Desk) -> None:
    give(collected, STUDENT, "<p>for one")
    give(collected, COLLEAGUE, "<p>for the other")
    collected.write(f"course/feedback/{STUDENT}/ps1/submission_secret.txt", "secret")
    said = collected.run("release_feedback", "ps1")
    assert f"Releasing feedback for student '{STUDENT}' on assignment 'ml-101/ps1/p1' " in said
    assert "Fetched feedback" in student.run("fetch_feedback", "ps1")
    assert pages(student) == {"2026-11-24 08:30:03.000000 UTC/p1.html": "<p>for one"}
    colleague.run("fetch_feedback", "ps1")
    assert list(pages(colleague).values()) == ["<p>for the other"]


def test_for_one_student_and_for_all_but_one(collected: Desk, student: Desk, colleague: Desk) -> None:
    give(collected, STUDENT, "<p>for one")
    give(collected, COLLEAGUE, "<p>for the other")
    collected.run("release_feedback", "ps1", f"--student={STUDENT}")
    assert "Could not find feedback" in colleague.run("fetch_feedback", "ps1")
    assert pages(colleague) == {}
    student.run("fetch_feedback", "ps1")
    assert len(pages(student)) == 1
    give(collected, STUDENT, "<p>changed")
    collected.run("release_feedback", "ps1", f"--CourseDirectory.student_id_exclude={STUDENT},nobody")
    for desk in (student, colleague):
        desk.run("fetch_feedback", "ps1")
    assert list(pages(student).values()) == ["<p>for one"]
    assert list(pages(colleague).values()) == ["<p>for the other"]


def test_lists_tell_what_there_is_to_fetch(collected: Desk, student: Desk) -> None:
    student.run("submit", "ps1")
    first, second = (line.rsplit(" (", 1)[0] for line in student.listed("--cached"))
    give(collected, STUDENT, "<p>old")
    collected.run("release_feedback", "ps1")
    for kind in ("--cached", "--inbound"):
        assert student.listed(kind) == [f"{first} (feedback ready to be fetched)", f"{second} (no feedback available)"]
    student.run("fetch_feedback", "ps1")
    assert student.listed("--cached")[0] == f"{first} (feedback already fetched)"
    give(collected, STUDENT, "<p>new")
    collected.run("release_feedback", "ps1")
    assert student.listed("--cached")[0] == f"{first} (feedback ready to be fetched)"
    student.run("fetch_feedback", "ps1")
    assert student.listed("--cached")[0] == f"{first} (feedback already fetched)"
    assert list(pages(student).values()) == ["<p>new"]


def test_feedback_for_what_the_lab_never_had(collected: Desk, student: Desk) -> None:
    give(collected, STUDENT, "<p>x", timestamp="2000-01-01 00:00:00.000000 UTC")
    assert "its feedback is not released" in collected.run("release_feedback", "ps1")
    student.run("fetch_feedback", "ps1")
    assert pages(student) == {}


def test_from_source_to_feedback(teacher: Desk, student: Desk, colleague: Desk) -> None:
    """All of nbgrader: the assignment is generated, run, scored, and each reads what they got."""
    answer = "def square(x):\n    ### BEGIN SOLUTION\n    return x * x\n    ### END SOLUTION"
    source = new_notebook(
        cells=[
            cell("code", answer, "square", solution=True),
            cell("code", "assert square(3) == 9", "test_square", 3, grade=True, locked=True),
        ],
        metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    )
    teacher.write("course/source/ps1/p1.ipynb", str(nbformat.writes(source)))
    shutil.copyfile(teacher.gradebook, teacher.course / "gradebook.db")
    teacher.run("generate_assignment", "ps1")
    teacher.run("release_assignment", "ps1")
    for desk, solution in ((student, "    return x * x"), (colleague, "    return 3 * x + 1")):
        desk.run("fetch_assignment", "ps1")
        work = nbformat.read(desk.home / "ps1/p1.ipynb", as_version=4)
        assert "raise NotImplementedError()" in work.cells[0].source
        work.cells[0].source = f"def square(x):\n{solution}"
        desk.write("ps1/p1.ipynb", str(nbformat.writes(work)))
        desk.run("submit", "ps1")
    teacher.run("collect", "ps1")
    # The gradebook of the course is the lab's, which runs what was handed in.
    lab_has = teacher.lab.database.parent / "gradebooks" / COURSE / "gradebook.db"
    lab_has.parent.mkdir(parents=True)
    shutil.copyfile(teacher.course / "gradebook.db", lab_has)
    assert "2 of 2 submissions of ps1 are graded" in teacher.run("autograde", "ps1")
    shutil.copyfile(lab_has, teacher.course / "gradebook.db")
    teacher.run("generate_feedback", "ps1")
    teacher.run("release_feedback", "ps1")
    for desk, score in ((student, "Score: 3.0 / 3.0"), (colleague, "Score: 0.0 / 3.0")):
        desk.run("fetch_feedback", "ps1")
        (page,) = pages(desk).values()
        assert score in " ".join(page.split())
