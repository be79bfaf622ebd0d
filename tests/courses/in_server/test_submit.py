"""Hand in, as nbgrader's own tests script it, and what a shared disk never had to: tries that fail and come again."""

import stat

from kirzl_lab.courses.in_server.exchange import KEY
from kirzl_lab.courses.in_server.service import AWAY, OUT_OF_DATE, PATIENT
from tests.courses.in_server.conftest import Desk, Lab, notebook
from tests.service.sample import COLLEAGUE, STUDENT


def test_several_attempts(teacher: Desk, student: Desk, lab: Lab) -> None:
    teacher.release("ps1")
    student.run("fetch_assignment", "ps1")
    assert "Submitted as: ml-101 ps1 2026-11-24 08:30:03.000000 UTC" in student.run("submit", "ps1")
    student.write("ps1/p1.ipynb", notebook("better"))
    assert "Submitted as: ml-101 ps1 2026-11-24 08:30:04.000000 UTC" in student.run("submit", "ps1")
    found = teacher.listed("--inbound")
    assert found == [
        f"ml-101 {STUDENT} ps1 2026-11-24 08:30:0{second}.000000 UTC (no feedback available)" for second in (3, 4)
    ]
    receipts = sorted((student.home / "ps1/.kirzl-receipts").iterdir())
    assert [file.name for file in receipts] == [f"20261124T08300{second}.000000Z.jws" for second in (3, 4)]
    assert all(file.read_text().count(".") == 2 for file in receipts)
    assert not (student.home / "ps1" / KEY).exists()


def test_notebooks_that_are_missing_or_more(teacher: Desk, student: Desk) -> None:
    teacher.release("ps1", p1_ipynb=notebook("1"), p2_ipynb=notebook("2"))
    student.run("fetch_assignment", "ps1")
    assert "WARNING" not in student.run("submit", "ps1", "--strict")
    student.write("ps1/p3.ipynb", notebook("3"))
    said = student.run("submit", "ps1", "--strict")
    assert "p3.ipynb: EXTRA" in said
    (student.home / "ps1/p1.ipynb").unlink()
    said = student.run("submit", "ps1")
    assert "p1.ipynb: MISSING" in said
    assert "p2.ipynb: FOUND" in said
    said = student.run("submit", "ps1", "--strict", status=1)
    assert "Assignment ps1 not submitted. There are missing notebooks" in said
    assert len(teacher.listed("--inbound")) == 3


def test_what_is_handed_in_is_what_the_options_say(teacher: Desk, student: Desk) -> None:
    teacher.release("ps1")
    student.run("fetch_assignment", "ps1")
    student.write("ps1/foo.pyc")
    student.write("ps1/feedback/p1.html")
    student.write("ps1/[x].txt", "x")
    student.write("ps1/sub/small", "x" * 2000)
    student.write("ps1/sub/large", "x" * 2001)
    (student.home / "ps1/p1.ipynb").chmod(stat.S_IRUSR)
    student.run("submit", "ps1", "--CourseDirectory.max_file_size=2")
    student.write("ps1/.kirzl-receipts/more.jws")
    teacher.run("collect", "ps1")
    folder = teacher.course / "submitted" / STUDENT / "ps1"
    assert sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()) == [
        "[x].txt",
        "p1.ipynb",
        "sub/small",
        "timestamp.txt",
    ]
    assert (folder / "p1.ipynb").stat().st_mode & 0o777 == 0o644
    student.run("submit", "ps1", '--CourseDirectory.include=["*.ipynb", "sub"]')
    teacher.run("collect", "ps1", "--update")
    assert not (folder / "[x].txt").exists()
    said = student.run("submit", "ps1", "--CourseDirectory.max_dir_size=1", status=1)
    assert "ps1 is larger than 1 kB" in said


def test_links_lead_nowhere(teacher: Desk, student: Desk) -> None:
    teacher.release("ps1")
    student.run("fetch_assignment", "ps1")
    secret = student.write("private.txt", "not for others")
    (student.home / "ps1/link.txt").symlink_to(secret)
    assert "Left out, because it leads out of the assignment or is no file: link.txt" in student.run("submit", "ps1")
    teacher.run("collect", "ps1")
    assert not list((teacher.course / "submitted").rglob("link.txt"))


def test_everybody_hands_in_as_themselves(teacher: Desk, student: Desk) -> None:
    teacher.release("ps1")
    student.run("fetch_assignment", "ps1")
    assert "--student is ignored" in student.run("submit", "ps1", f"--student={COLLEAGUE}")
    assert [line.split()[1] for line in teacher.listed("--inbound")] == [STUDENT]


def test_what_cannot_be_handed_in(teacher: Desk, student: Desk) -> None:
    said = student.run("submit", "ps1", status=1)
    assert f"Assignment not found at: {student.home}/ps1" in said
    student.write("ps1/p1.ipynb", notebook("1"))
    assert "Assignment not found: ml-101 ps1" in student.run("submit", "ps1", status=1)
    teacher.release("ps1")
    student.write("ps1/CON", "")
    said = student.run("submit", "ps1", status=1)
    assert "The files of ps1 cannot be handed over: the name “CON” cannot be had on every system." in said
    assert teacher.listed("--inbound") == []


def test_late_is_told(teacher: Desk, student: Desk) -> None:
    teacher.due("ps1", "2026-11-24 08:30:03")
    teacher.release("ps1")
    student.run("fetch_assignment", "ps1")
    assert "Handed in after it was due" not in student.run("submit", "ps1")
    assert "Handed in after it was due" in student.run("submit", "ps1")


def test_a_try_whose_answer_was_lost_is_one_submission(teacher: Desk, student: Desk, lab: Lab) -> None:
    """The service took the files, and its answer did not arrive: not at once, and not in the next command."""
    teacher.release("ps1")
    student.run("fetch_assignment", "ps1")
    lab.lose = lambda asked: asked.startswith("POST")
    said = student.run("submit", "ps1", status=1)
    assert AWAY in said
    assert len([asked for asked in lab.seen if asked.startswith("POST")]) == 1 + len(PATIENT)
    key = (student.home / "ps1" / KEY).read_text()
    lab.lose = lambda _: False
    student.run("submit", "ps1")
    assert len(teacher.listed("--inbound")) == 1
    assert not (student.home / "ps1" / KEY).exists()
    # Later it is another submission, although the files are the same.
    student.run("submit", "ps1")
    assert len(teacher.listed("--inbound")) == 2
    assert key


def test_a_try_whose_answer_was_lost_gets_its_receipt_after_a_withdrawal(
    teacher: Desk, student: Desk, lab: Lab
) -> None:
    teacher.release("ps1")
    student.run("fetch_assignment", "ps1")
    lab.lose = lambda asked: asked.startswith("POST")
    student.run("submit", "ps1", status=1)
    lab.lose = lambda _: False
    teacher.run("list", "ps1", "--remove")
    student.run("submit", "ps1")
    assert len(list((student.home / "ps1/.kirzl-receipts").iterdir())) == 1
    assert "Assignment not found: ml-101 ps1" in student.run("submit", "ps1", status=1)


def test_other_files_after_a_lost_answer_are_another_submission(teacher: Desk, student: Desk, lab: Lab) -> None:
    teacher.release("ps1")
    student.run("fetch_assignment", "ps1")
    lab.lose = lambda asked: asked.startswith("POST")
    student.run("submit", "ps1", status=1)
    lab.lose = lambda _: False
    student.write("ps1/p1.ipynb", notebook("better"))
    student.run("submit", "ps1")
    assert len(teacher.listed("--inbound")) == 2
    teacher.run("collect", "ps1")
    assert (teacher.course / "submitted" / STUDENT / "ps1/p1.ipynb").read_text() == notebook("better")


def test_a_service_that_comes_back_is_waited_for(
    teacher: Desk, student: Desk, lab: Lab, no_long_waits: list[float]
) -> None:
    teacher.release("ps1")
    student.run("fetch_assignment", "ps1")
    answers = iter([503, 502, 429])
    lab.before = lambda asked: next(answers, None) if asked.startswith("POST") else None
    student.run("submit", "ps1")
    assert len(no_long_waits) == 3
    assert all(wait / 2 <= waited <= wait * 1.5 for wait, waited in zip(PATIENT, no_long_waits, strict=False))
    assert len(teacher.listed("--inbound")) == 1


def test_the_service_is_away(teacher: Desk, student: Desk) -> None:
    teacher.release("ps1")
    student.run("fetch_assignment", "ps1")
    student.environment["KIRZL_LAB_SERVICE_URL"] = "http://127.0.0.1:9/services/lab/"
    for command in (("submit", "ps1"), ("fetch_assignment", "ps2"), ("list",), ("fetch_feedback", "ps1")):
        assert AWAY in student.run(*command, status=1)


def test_a_server_that_the_hub_has_forgotten(teacher: Desk, student: Desk) -> None:
    teacher.release("ps1")
    student.environment["JUPYTERHUB_API_TOKEN"] = "unknown"
    assert OUT_OF_DATE in student.run("fetch_assignment", "ps1", status=1)
