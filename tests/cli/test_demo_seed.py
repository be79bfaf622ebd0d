"""A class in a demo lab, made by `kirzl-lab demo seed`, as its people see it afterwards."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kirzl_lab.cli.demo.front_door import Account, accounts_by_claim
from kirzl_lab.cli.demo.seed import address_of
from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.ports import free_port
from kirzl_lab.cli.state import Folder, Note, holding, write_note
from kirzl_lab.courses.demo import Kind, kinds
from tests.support.people import Person
from tests.support.running_lab import RunningLab, lab, run_command

FIRST, SECOND, LAST = "1-nearest-neighbours", "2-regression", "3-evaluation"
SEED_LIMIT_S = 540


def test_accounts_are_found_by_what_a_roster_says_of_them() -> None:
    known = accounts_by_claim()
    assert known["uni", "matriculation_number", "1000007"] == Account("uni", "student7")
    assert known["uas", "email", "student1@uas.example"] == Account("uas", "student1")
    assert ("uas", "matriculation_number", "1000007") not in known


def test_without_a_lab(folder: Folder) -> None:
    with pytest.raises(Stop, match=r"No lab runs on .*kirzl-lab up --demo") as stopped:
        address_of(folder)
    assert stopped.value.code is Exit.NO


def test_a_lab_without_demo_institutions(folder: Folder, note: Note) -> None:
    with holding(folder):
        write_note(folder, Note(**{**vars_of(note), "state": "running"}))
        with pytest.raises(Stop, match="has no demo institutions") as stopped:
            address_of(folder)
        assert stopped.value.code is Exit.NO
        write_note(folder, Note(**{**vars_of(note), "state": "running", "demo": True}))
        assert address_of(folder) == note.url


def vars_of(note: Note) -> dict[str, Any]:
    return {name: getattr(note, name) for name in Note.__slots__}


@pytest.fixture(scope="module")
def own_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab whose course no other test changes."""
    with lab(tmp_path_factory.mktemp("seeded"), "--demo", "--port", str(free_port())) as running:
        yield running


def seed(data: Path, students: int) -> tuple[int, Any]:
    said = run_command("demo", "seed", "--data", str(data), "--students", str(students), "--json", timeout=SEED_LIMIT_S)
    assert not said.stderr, said.stderr
    return said.returncode, json.loads(said.stdout)


def get(person: Person, path: str) -> Any:
    person.visit("/services/lab/courses")  # logs in at the lab service
    return person.http.get(f"{person.lab_url}/services/lab/api/{path}").raise_for_status().json()


@pytest.mark.laptop
@pytest.mark.slow
def test_a_class_of_four(own_lab: RunningLab) -> None:
    code, told = seed(own_lab.data, 4)
    assert (code, told["course"], told["url"]) == (0, "ml-101", own_lab.url), told
    first, second, last = told["assignments"]
    attempts = [
        sum(2 if kind is Kind.TWICE else kind is not Kind.MISSING for kind in kinds(4, shift=n)) for n in (0, 5)
    ]
    assert [each["submissions"] for each in told["assignments"]] == [*attempts, 0]
    assert told["added"] == sum(attempts) == first["added"] + second["added"]
    assert (second["late"], second["graded"], second["feedback"]) == (kinds(4, shift=5).count(Kind.LATE), 0, 0)
    assert second["late"] == 1, "somebody of four is late in the second assignment"
    assert (first["students"], first["graded"], first["feedback"]) == (4, 3, 2), "one waits for somebody to look at it"
    assert (last["submissions"], last["graded"]) == (0, 0)

    assert_seen_by_people(own_lab.url)

    code, again = seed(own_lab.data, 4)
    assert (code, again["added"]) == (0, 0), again
    assert [line | {"added": 0} for line in told["assignments"]] == again["assignments"]


def assert_seen_by_people(url: str) -> None:
    lecturer = logged_in(url, "lecturer")
    submissions = get(lecturer, f"courses/ml-101/submissions?assignment={SECOND}")["submissions"]
    assert [each["late"] for each in submissions].count(True) == 1 and submissions[-1]["late"]
    (run,) = get(lecturer, f"courses/ml-101/assignments/{FIRST}/runs")["runs"]
    assert (run["total"], run["states"]) == (4, {"done": 4})
    model = lecturer.api("GET", f"/users/{lecturer.hub_name}").json()
    assert model["servers"] == {}, "the server that was started for it is stopped"

    feedback = set(get(lecturer, f"courses/ml-101/assignments/{FIRST}/feedback")["released"])
    students = [logged_in(url, f"student{number}") for number in (1, 2, 3, 4)]
    assert len(feedback & {student.hub_name for student in students}) == 2
    for student in students:
        mine = {each["name"]: each for each in get(student, "courses/ml-101/assignments")["assignments"]}
        assert list(mine) == [FIRST, SECOND, LAST]
        (handed_in,) = mine[FIRST]["submissions"]
        assert handed_in["receipt"] and (handed_in["feedback_at"] is not None) == (student.hub_name in feedback)
        grades = get(student, "courses/ml-101/grades")["grades"]
        score = next(each["score"] for each in grades if each["assignment"] == FIRST)
        assert (score is not None) == (student.hub_name in feedback), "points are shown with their feedback"
    for person in (lecturer, *students):
        person.close()


def logged_in(url: str, account: str) -> Person:
    person = Person(url)
    person.login("uni", account)
    assert person.hub_name
    return person


@pytest.mark.laptop
@pytest.mark.slow
def test_more_students_than_the_roster_has(own_lab: RunningLab) -> None:
    said = run_command("demo", "seed", "--data", str(own_lab.data), "--students", "31")
    assert said.returncode == Exit.USAGE
