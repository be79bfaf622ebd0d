"""Release and fetch, as nbgrader's own tests script them, over the lab service."""

import shutil

from kirzl_lab.courses.in_server.service import NO_LAB
from tests.courses.in_server.conftest import Desk, Lab, notebook


def test_fetch(teacher: Desk, student: Desk) -> None:
    said = teacher.release("ps1", p1_ipynb=notebook("1"), data_csv="a,b")
    assert "Released as: ml-101 ps1" in said
    said = student.run("fetch_assignment", "ps1")
    assert "Fetched as: ml-101 ps1" in said
    assert (student.home / "ps1/p1.ipynb").read_text() == notebook("1")
    assert (student.home / "ps1/data.csv").read_text() == "a,b"
    assert [file.name for file in student.home.iterdir() if not file.name.startswith(".local")] == ["ps1"]


def test_a_copy_that_is_there_stays(teacher: Desk, student: Desk) -> None:
    teacher.release("ps1", p1_ipynb=notebook("1"), p2_ipynb=notebook("2"))
    student.run("fetch_assignment", "ps1")
    said = student.run("fetch_assignment", "ps1", status=1)
    assert "You already have a copy of the assignment in this directory: ps1" in said
    (student.home / "ps1/p1.ipynb").unlink()
    student.run("fetch_assignment", "ps1", status=1)
    mine = student.write("ps1/p2.ipynb", "mine")
    said = student.run("fetch_assignment", "ps1", "--replace")
    assert "Replacing missing file 'ps1/p1.ipynb'" in said
    assert (student.home / "ps1/p1.ipynb").read_text() == notebook("1")
    assert mine.read_text() == "mine"


def test_missing_folders_are_replaced_and_links_are_not_followed(teacher: Desk, student: Desk) -> None:
    teacher.write("course/release/ps1/sub/deep/data.csv", "1")
    teacher.write("course/release/ps1/other/data.csv", "2")
    teacher.release("ps1")
    student.run("fetch_assignment", "ps1")
    shutil.rmtree(student.home / "ps1/sub")
    shutil.rmtree(student.home / "ps1/other")
    student.write("elsewhere/kept", "")
    (student.home / "ps1/other").symlink_to(student.home / "nowhere")
    assert "Creating missing directory 'ps1/sub'" in student.run("fetch_assignment", "ps1", "--replace")
    assert (student.home / "ps1/sub/deep/data.csv").read_text() == "1"
    assert not (student.home / "nowhere").exists()


def test_flags_several_at_once_and_the_course_in_the_path(teacher: Desk, student: Desk) -> None:
    teacher.release("ps1")
    teacher.release("ps2")
    student.run("fetch_assignment", "--assignment=ps1")
    student.run("fetch_assignment", "ps1", "ps2", "--Exchange.path_includes_course=True")
    for found in ("ps1", "ml-101/ps1", "ml-101/ps2"):
        assert (student.home / found / "p1.ipynb").is_file()
    student.run("submit", "ps1", "--Exchange.path_includes_course=True")


def test_what_is_not_there_is_told_with_what_was_meant(teacher: Desk, student: Desk) -> None:
    teacher.release("ps1")
    said = student.run("fetch_assignment", "ps11", status=1)
    assert "Assignment not found: ml-101 ps11" in said
    assert "Did you mean: ps1" in said
    teacher.write("course/source/ps2/p1.ipynb", notebook("1"))
    said = teacher.run("release_assignment", "ps2", status=1)
    assert "run `nbgrader generate_assignment` first" in said
    assert "Did you mean: ps1" in teacher.run("release_assignment", "ps12", status=1)


def test_releasing_again_takes_force(teacher: Desk, student: Desk) -> None:
    teacher.release("ps1")
    said = teacher.run("release_assignment", "ps1", status=1)
    assert "Destination already exists, add --force to overwrite: ml-101 ps1" in said
    teacher.write("course/release/ps1/p1.ipynb", notebook("new"))
    for flag in ("--force", "-f"):
        said = teacher.run("release_assignment", "ps1", flag)
        assert "Overwriting files: ml-101 ps1" in said
    student.run("fetch_assignment", "ps1")
    assert (student.home / "ps1/p1.ipynb").read_text() == notebook("new")


def test_students_get_the_release_and_never_the_source(teacher: Desk, student: Desk, lab: Lab) -> None:
    teacher.write("course/source/ps1/p1.ipynb", notebook("the solution"))
    teacher.write("course/source/ps1/__pycache__/x.pyc", "")
    teacher.release("ps1", "--debug", p1_ipynb=notebook("released"), left_pyc="")
    assert [asked for asked in lab.seen if asked.startswith("PUT")] == [
        "PUT /courses/ml-101/assignments/ps1/source",
        "PUT /courses/ml-101/assignments/ps1/release",
    ]
    student.run("fetch_assignment", "ps1")
    assert [file.name for file in (student.home / "ps1").iterdir()] == ["p1.ipynb"]
    assert "the solution" not in (student.home / "ps1/p1.ipynb").read_text()


def test_students_do_not_release(teacher: Desk, student: Desk) -> None:
    student.environment["KIRZL_LAB_STAFF"] = "1"  # as anybody can set it who has a terminal
    student.write("course/release/ps1/p1.ipynb", notebook("1"))
    said = student.run("release_assignment", "ps1", status=1)
    assert "This is for the instructors and assistants of the course" in said
    assert student.listed() == []


def test_outside_a_lab_there_is_no_exchange(student: Desk) -> None:
    del student.environment["KIRZL_LAB_SERVICE_URL"]
    assert NO_LAB in student.run("fetch_assignment", "ps1", status=1)
