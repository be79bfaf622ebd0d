"""Somebody is removed from a roster while their server runs: a real lab, its pages, its loop, its audit."""

import json
import os
import re
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kirzl_lab.cli.ports import free_port
from tests.service.test_real_hub import get
from tests.support.people import Person
from tests.support.running_lab import ROOT, RunningLab, lab, run_command
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.laptop, pytest.mark.slow]

ROW = "uni,matriculation_number,1000001,student,Mon 10:00\n"
FAREWELL = "You are no longer a member of “Machine Learning from the Ground Up”."


@pytest.fixture
def courses(tmp_path: Path) -> Path:
    """Courses whose rosters this test may change."""
    return Path(shutil.copytree(ROOT / "courses", tmp_path / "courses"))


@pytest.fixture
def own_lab(tmp_path: Path, courses: Path) -> Iterator[RunningLab]:
    """A lab in which nobody else is."""
    with lab(tmp_path / "lab", "--demo", "--port", str(free_port()), courses=courses) as running:
        yield running


@pytest.fixture
def student(own_lab: RunningLab) -> Iterator[Person]:
    """A student with a server that runs."""
    person = Person(own_lab.url)
    person.login("uni", "student1")
    assert person.start("ml-101", "cpu-small").status_code == 200
    wait_until(lambda: (person.server("ml-101") or {}).get("ready"), "the server runs")
    yield person
    person.close()


def home(person: Person) -> str:
    return " ".join(person.http.get(f"{person.lab_url}/hub/home", headers={"Accept-Language": "en"}).text.split())


def apply_roster(own_lab: RunningLab, courses: Path, change: Callable[[str], str]) -> None:
    roster = courses / "ml-101" / "roster.csv"
    roster.write_text(change(roster.read_text()))
    done = run_command("catalog", "apply", "--data", str(own_lab.data), "--courses", str(courses))
    assert done.returncode == 0, done.stdout + done.stderr


def let_ten_minutes_pass(own_lab: RunningLab, since: str = "removed_at") -> None:
    """The clock of the lab cannot be turned from here, but the moment of the loss can: that column of its row."""
    with sqlite3.connect(own_lab.data / "lab.sqlite", timeout=10) as database:
        moved = f"UPDATE roster_rows SET {since} = strftime('%Y-%m-%d %H:%M:%f', {since}, '-10 minutes') WHERE {since} IS NOT NULL"
        assert database.execute(moved).rowcount == 1
    database.close()


def pid_of_the_hub(own_lab: RunningLab) -> int:
    status = json.loads(run_command("status", "--json", "--data", str(own_lab.data)).stdout)
    pid: int = status["pids"]["hub"]
    return pid


def test_removed_while_the_server_runs(own_lab: RunningLab, courses: Path, student: Person) -> None:
    assert "no longer a member" not in home(student)
    apply_roster(own_lab, courses, lambda roster: roster.replace(ROW, ""))

    page = home(student)
    assert FAREWELL in page
    assert re.search(r"Your server goes on until <time datetime=\"[^\"]+\"", page)
    assert f'href="/user/{student.hub_name}/ml-101/"' in page, "it can be opened, to save what is open"
    assert 'name="server" value="ml-101"' in page, "and stopped"
    assert student.start("ml-101", "cpu-small").status_code == 403
    assert (student.server("ml-101") or {}).get("ready"), "nothing ends before the grace is over"

    hub, service_log = pid_of_the_hub(own_lab), own_lab.data / "logs" / "service.log"
    os.kill(hub, signal.SIGSTOP)
    try:
        let_ten_minutes_pass(own_lab)
        wait_until(lambda: "not looked after" in service_log.read_text(), "the loop sees that the hub is away")
    finally:
        os.kill(hub, signal.SIGCONT)
    wait_until(lambda: student.server("ml-101") is None, "the end of the server")

    page = home(student)
    assert f"{FAREWELL} Your server there was ended: <time" in page
    assert 'name="server" value="ml-101"' not in page
    operator = Person(own_lab.url)
    operator.login("uni", "operator")
    entries = get(operator, "api/audit", person=student.hub_name, action="server-stopped").json()["items"]
    assert [(entry["actor"], entry["space"], entry["detail"]) for entry in entries] == [
        ("lab", "ml-101", {"server": "ml-101", "reason": "left"})
    ]
    operator.close()

    apply_roster(own_lab, courses, lambda roster: roster + ROW)
    assert "no longer a member" not in home(student)
    assert student.start("ml-101", "cpu-small").status_code == 200


def test_an_assistant_becomes_a_student_while_the_server_runs(own_lab: RunningLab, courses: Path) -> None:
    assistant = Person(own_lab.url)
    assistant.login("uni", "assistant")
    assert assistant.start("ml-101", "cpu-small").status_code == 200
    wait_until(lambda: (assistant.server("ml-101") or {}).get("ready"), "the server runs")
    demoted = "Your role in “Machine Learning from the Ground Up” has changed."
    assert demoted not in home(assistant)
    apply_roster(own_lab, courses, lambda roster: roster.replace("example,assistant,", "example,student,"))

    assert assistant.start("ml-101", "cpu-small").status_code == 200, "it runs: a click on Start changes nothing"
    page = home(assistant)
    assert f"{demoted} Your server still has the course's own files and goes on until <time" in page
    assert page.count("<h2>Machine Learning from the Ground Up</h2>") == 1
    assert (assistant.server("ml-101") or {}).get("ready"), "nothing ends before the grace is over"

    let_ten_minutes_pass(own_lab, since="role_changed_at")
    wait_until(lambda: assistant.server("ml-101") is None, "the end of the server")
    assert f"{demoted} Your server there was ended: <time" in home(assistant)

    assert assistant.start("ml-101", "cpu-small").status_code == 200
    wait_until(lambda: (assistant.server("ml-101") or {}).get("ready"), "the server runs, as a student's")
    assert demoted not in home(assistant)
    assistant.close()
