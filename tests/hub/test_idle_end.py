"""A server that ended for lack of work, as its person finds it under My spaces: a real lab with a short limit."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kirzl_lab.cli.ports import free_port
from tests.support.people import Person
from tests.support.running_lab import ROOT, RunningLab, lab
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.laptop, pytest.mark.slow]

SAID = {
    "en": "Your server had nothing to do for 1 minutes and was ended. Your files are kept.",
    "de": "Ihr Server hatte 1 Minuten lang nichts zu tun und wurde beendet. Ihre Dateien bleiben erhalten.",
}


@pytest.fixture
def hasty_lab(tmp_path: Path) -> Iterator[RunningLab]:
    """A lab whose course ends idle servers after some seconds."""
    courses = Path(shutil.copytree(ROOT / "courses", tmp_path / "courses"))
    file = courses / "ml-101" / "course.yaml"
    text = file.read_text()
    assert text.count("idle_hours: 2\n") == 1
    file.write_text(text.replace("idle_hours: 2\n", "idle_hours: 0.002\n"))
    with lab(tmp_path / "lab", "--demo", "--port", str(free_port()), courses=courses) as running:
        yield running


def home(person: Person, language: str) -> str:
    return " ".join(person.http.get(f"{person.lab_url}/hub/home", headers={"Accept-Language": language}).text.split())


def test_my_spaces_says_why_and_a_new_start_forgets_it(hasty_lab: RunningLab) -> None:
    student = Person(hasty_lab.url)
    student.login("uni", "student1")
    student.start("ml-101", "cpu-small")
    wait_until(lambda: (student.server("ml-101") or {}).get("ready"), "the server runs")
    wait_until(lambda: student.server("ml-101") is None, "the end of an idle server")
    for language, sentence in SAID.items():
        assert sentence in home(student, language)
    student.start("ml-101", "cpu-small")
    assert SAID["en"] not in home(student, "en")
    student.close()
