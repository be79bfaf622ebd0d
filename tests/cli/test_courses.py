"""Courses and rosters from the command line, against the lab service on a loopback port."""

import asyncio
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kirzl_lab.cli.exits import Exit
from kirzl_lab.cli.main import app
from kirzl_lab.store.database import Store
from tests.service.fake_hub import FakeHub
from tests.service.sample import INSTRUCTOR, STUDENT, fill, fill_courses
from tests.service.site import running_site

NEW = ("--title", "Statistik", "--term", "2026/27", "--size", "cpu-small", "--starts", "2026-10-12")


@pytest.fixture(scope="module")
def template(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("courses") / "lab.sqlite"
    shutil.copyfile(sqlite_template, file)

    async def write() -> None:
        store = Store(f"sqlite+aiosqlite:///{file}")
        await fill(store)
        await fill_courses(store)
        await store.close()

    asyncio.run(write())
    return file


@pytest.fixture
def lab(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A lab at KIRZL_LAB_URL, and the token of an instructor there."""
    hub = FakeHub()
    with running_site(template, tmp_path, hub, crowd=False) as url:
        monkeypatch.setenv("KIRZL_LAB_URL", url)
        monkeypatch.setenv("KIRZL_LAB_TOKEN", hub.give_token(INSTRUCTOR, "token-of-an-instructor"))
        yield hub


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["course", *words], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


def run_json(*words: str) -> tuple[int, Any]:
    result = CliRunner().invoke(app, ["course", *words, "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_from_new_to_deleted(lab: FakeHub, tmp_path: Path) -> None:
    assert run("new", "stat-1", *NEW) == (0, "✓ The course stat-1 is there, and you instruct it.")
    assert "stat-1 Statistik 2026/27 instructor" in run("list")[1]
    code, copied = run_json("copy", "stat-1", "stat-2", "--term", "2027", "--weeks", "26")
    assert (code, copied["course"]["starts"]) == (0, "2027-04-12")
    assert run("delete", "stat-1") == (Exit.NO, "“stat-1” is still in use: archive it first.")
    assert run("archive", "stat-1")[0] == 0
    to = tmp_path / "stat-1.tar"
    assert run("download", "stat-1", "--to", str(to))[0] == 0
    with tarfile.open(to) as archive:
        assert archive.getnames() == ["stat-1/course.json", "stat-1/roster.csv", "stat-1/gradebook.csv"]
    assert run("download", "stat-1", "--to", str(to))[0] == Exit.CANNOT, "nothing is written over"
    assert run("restore", "stat-1")[0] == 0
    assert run("archive", "stat-1")[0] == 0
    code, said = run("delete", "stat-1")
    assert (code, "until 2026-12-08" in said) == (0, True)


def test_a_course_file_says_everything(lab: FakeHub, tmp_path: Path) -> None:
    file = tmp_path / "course.yaml"
    file.write_text("title: {de: Kurs, en: Course}\nterm: 2027\nsizes: [cpu-medium]\ndefault_size: cpu-medium\n")
    code, said = run("new", "k-1", "--file", str(file))
    assert (code, "expected a text" in said) == (Exit.NO, True)
    file.write_text(file.read_text().replace("2027", '"2027"'))
    code, made = run_json("new", "k-1", "--file", str(file))
    assert (code, made["course"]["sizes"]) == (0, ["cpu-medium"])


def test_a_roster_from_a_file_and_by_hand(lab: FakeHub, tmp_path: Path) -> None:
    run("new", "stat-1", *NEW)
    file = tmp_path / "people.csv"
    file.write_bytes("E-Mail;Gruppe\nstudent@uni.example;Größe\nx@uni.example;\n".encode("cp1252"))
    words = ("roster", "upload", "stat-1", str(file), "--institution", "uni")
    code, said = run(*words, "--dry-run")
    assert (code, said.count("roster-added"), "Nothing was changed" in said) == (0, 2, True)
    assert len(run_json("roster", "list", "stat-1")[1]) == 1
    assert run(*words)[1].count("roster-added") == 2
    assert run(*words) == (0, "✓ The roster is like that already.")
    code, waiting = run_json("roster", "list", "stat-1", "--state", "waiting")
    assert [row["value"] for row in waiting] == ["x@uni.example"]
    assert "Student Prüfling bound" in run("roster", "list", "stat-1")[1]
    add = ("roster", "add", "stat-1", "student@uni.example", "--institution", "uni", "--role", "assistant")
    assert "student → assistant" in run(*add)[1]
    assert "roster-removed" in run("roster", "remove", "stat-1", "X@uni.example")[1]
    assert run("roster", "remove", "stat-1", "x@uni.example")[0] == Exit.NO
    assert run("roster", "remove", "stat-1", "instructor@uni.example")[0] == Exit.NO, "the last instructor stays"


def test_mistakes_in_a_file_are_told_by_line(lab: FakeHub, tmp_path: Path) -> None:
    run("new", "stat-1", *NEW)
    file = tmp_path / "people.csv"
    file.write_text("institution,email\nuni,nobody\nuni,x@uas.example\n")
    code, told = run_json("roster", "upload", "stat-1", str(file))
    assert (code, len(told["lines"])) == (Exit.NO, 2)
    assert told["lines"][0] == f"{file}:2: “nobody” is no e-mail address"


@pytest.mark.parametrize("name", ["nowhere", "../people", "a/b", "x?y#z"])
def test_a_course_that_there_is_not(lab: FakeHub, name: str) -> None:
    code, told = run_json("archive", name)
    assert (code, told["slug"] in ("unknown-course", "not-found", "method-refused")) == (Exit.NO, True)


def test_what_stands_in_the_way(lab: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run("new", "stat-1") == (Exit.USAGE, "Give --title, --term and --size, or a course.yaml with --file.")
    monkeypatch.setenv("KIRZL_LAB_TOKEN", lab.give_token(STUDENT, "token-of-a-student"))
    assert "cannot create courses" in run("new", "stat-1", *NEW)[1]
    monkeypatch.setenv("KIRZL_LAB_TOKEN", "made-up")
    code, told = run_json("list")
    assert (code, told["slug"]) == (Exit.NO, "not-logged-in")
    monkeypatch.delenv("KIRZL_LAB_TOKEN")
    assert run("list")[0] == Exit.USAGE
    monkeypatch.setenv("KIRZL_LAB_TOKEN", "any")
    assert run("list", "--url", "http://127.0.0.1:9")[0] == Exit.CANNOT
    monkeypatch.delenv("KIRZL_LAB_URL")
    assert run("list", "--data", str(tmp_path / "no-lab"))[0] == Exit.USAGE
