"""The course folder of whoever runs a course, beside what the lab has."""

import logging
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from nbgrader.api import Gradebook

from kirzl_lab.courses.gradebook import GradebookFiles
from kirzl_lab.courses.in_server.configuration import GRADEBOOK
from kirzl_lab.courses.in_server.sync import follow
from kirzl_lab.grading.tasks import State
from tests.courses.in_server.conftest import Desk, Lab, notebook
from tests.courses.in_server.test_feedback import give
from tests.service.sample import ASSISTANT, COLLEAGUE, INSTRUCTOR, STUDENT

COURSE = "ml-101"
LOG = logging.getLogger("test")


def followed(desk: Desk) -> int:
    """How many folders came."""
    with desk.at_work():
        return follow(desk.environment, LOG)


def test_an_empty_folder_gets_everything(
    teacher: Desk, student: Desk, colleague: Desk, desks: Callable[[str], Desk], lab: Lab
) -> None:
    teacher.write("course/source/ps1/p1.ipynb", notebook("the solution"))
    teacher.release("ps1")
    student.fetch_and_submit("ps1")
    student.run("submit", "ps1")
    colleague.fetch_and_submit("ps1")
    teacher.run("collect", "ps1", "--update")
    give(teacher, STUDENT, "<p>well done")
    teacher.run("release_feedback", "ps1")
    fresh = desks(ASSISTANT)
    assert followed(fresh) == 5
    for path in (
        "source/ps1/p1.ipynb",
        "release/ps1/p1.ipynb",
        f"submitted/{STUDENT}/ps1/p1.ipynb",
        f"submitted/{STUDENT}/ps1/timestamp.txt",
        f"submitted/{COLLEAGUE}/ps1/timestamp.txt",
        f"feedback/{STUDENT}/ps1/p1.html",
        f"feedback/{STUDENT}/ps1/timestamp.txt",
    ):
        assert (fresh.course / path).read_text() == (teacher.course / path).read_text(), path
    asked = len(lab.seen)
    assert followed(fresh) == 0
    assert [path for path in lab.seen[asked:] if path.endswith(("files", "release", "source", "feedback"))] == []
    assert sorted(each.name for each in fresh.course.iterdir() if not each.name.startswith(".")) == [
        "feedback",
        "release",
        "source",
        "submitted",
    ]


def test_own_work_stays(teacher: Desk, desks: Callable[[str], Desk]) -> None:
    teacher.write("course/source/ps1/p1.ipynb", notebook("mine"))
    teacher.write("course/source/ps1/data/a.csv", "1")
    teacher.release("ps1")
    fresh = desks(ASSISTANT)
    mine = fresh.write("course/source/ps1/p1.ipynb", notebook("what I write now"))
    assert followed(fresh) == 2
    assert mine.read_text() == notebook("what I write now")
    assert (fresh.course / "source/ps1/data/a.csv").read_text() == "1"
    (fresh.course / "source/ps1/data/a.csv").unlink()
    assert followed(fresh) == 0, "what was removed stays away"
    shutil.rmtree(fresh.course / "source/ps1")
    assert followed(fresh) == 1, "a whole folder that is missing comes again"
    teacher.write("course/source/ps1/more.csv", "2")
    teacher.run("release_assignment", "ps1", "--force")
    assert followed(fresh) == 1
    assert (fresh.course / "source/ps1/more.csv").read_text() == "2"


def test_what_was_collected_is_not_replaced(teacher: Desk, student: Desk) -> None:
    teacher.release("ps1")
    student.fetch_and_submit("ps1")
    teacher.run("collect", "ps1")
    before = teacher.timestamp(f"course/submitted/{STUDENT}/ps1")
    student.run("submit", "ps1")
    followed(teacher)
    assert teacher.timestamp(f"course/submitted/{STUDENT}/ps1") == before
    shutil.rmtree(teacher.course / "submitted")
    followed(teacher)
    assert teacher.timestamp(f"course/submitted/{STUDENT}/ps1") > before


def grade(lab: Lab, number: int) -> None:
    """The rows of a run that graded a submission; its graded folder is what was handed in."""
    with sqlite3.connect(lab.database) as database:
        found = "SELECT id, assignment_id, sha256 FROM submissions ORDER BY id LIMIT 1 OFFSET ?"
        submission, assignment, sha256 = database.execute(found, (number,)).fetchone()
        (person,) = database.execute("SELECT id FROM persons WHERE hub_name = ?", (INSTRUCTOR,)).fetchone()
        at = str(lab.now.replace(tzinfo=None))
        run = "INSERT INTO grading_runs (assignment_id, started_by, started_at, finished_at) VALUES (?, ?, ?, ?)"
        made = database.execute(run, (assignment, person, at, at)).lastrowid
        task = (
            "INSERT INTO grading_tasks (run_id, submission_id, state, attempt, losses, log, changed_at, graded_sha256)"
        )
        values = (made, submission, State.DONE, 1, 0, "", at, sha256)
        database.execute(f"{task} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def test_what_grading_made_replaces_what_was_there(teacher: Desk, student: Desk, lab: Lab) -> None:
    teacher.release("ps1")
    student.fetch_and_submit("ps1")
    teacher.run("collect", "ps1")
    first = teacher.timestamp(f"course/submitted/{STUDENT}/ps1")
    grade(lab, 0)
    assert followed(teacher) == 1
    assert teacher.timestamp(f"course/autograded/{STUDENT}/ps1") == first
    assert followed(teacher) == 0
    student.write("ps1/p1.ipynb", notebook("better"))
    student.run("submit", "ps1")
    assert followed(teacher) == 0
    grade(lab, 1)
    assert followed(teacher) == 2
    for step in ("submitted", "autograded"):
        assert (teacher.course / step / STUDENT / "ps1/p1.ipynb").read_text() == notebook("better")
        assert teacher.timestamp(f"course/{step}/{STUDENT}/ps1") > first


def test_two_servers_at_once(teacher: Desk, student: Desk, desks: Callable[[str], Desk]) -> None:
    teacher.release("ps1")
    student.fetch_and_submit("ps1")
    fresh = desks(ASSISTANT)
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(follow(fresh.environment, LOG))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(counts) == [0, 2]
    assert not list(fresh.course.rglob(".kirzl-part-*"))


def test_students_have_names_in_formgrader(teacher: Desk, student: Desk, colleague: Desk, tmp_path: Path) -> None:
    teacher.write("course/source/ps1/p1.ipynb", notebook("a"))
    teacher.release("ps1")
    student.fetch_and_submit("ps1")
    colleague.fetch_and_submit("ps1")
    address = GradebookFiles(tmp_path).staff_url(COURSE, teacher.who)
    teacher.environment[GRADEBOOK] = address
    with Gradebook(address, COURSE) as book:
        book.add_student(COLLEAGUE, first_name="As", last_name="Written")
    followed(teacher)
    followed(teacher)
    with Gradebook(address, COURSE) as book:
        named = {each.id: (each.last_name, each.first_name) for each in book.students}
    assert named[COLLEAGUE] == ("Written", "As")
    name, beside = named[STUDENT]
    assert name
    assert beside == STUDENT
