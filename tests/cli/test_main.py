"""The command line: what is asked, what is answered, and with which exit code."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kirzl_lab.cli import background, doctor, node
from kirzl_lab.cli import down as down_module
from kirzl_lab.cli import up as up_module
from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.lab import NOBODY, Options
from kirzl_lab.cli.main import app
from kirzl_lab.cli.processes import Launcher
from kirzl_lab.cli.state import Folder, Note, holding, write_note

ROOT = Path(__file__).parents[2]
HERE = ["--hub-config", str(ROOT / "hub_config"), "--courses", str(ROOT / "courses")]


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, " ".join(result.output.split())


def run_json(*words: str) -> tuple[int, Any]:
    result = CliRunner().invoke(app, [*words, "--json"])
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A courses folder with two mistakes."""
    folder = tmp_path / "courses" / "ml-101"
    folder.mkdir(parents=True)
    text = (ROOT / "courses/ml-101/course.yaml").read_text()
    (folder / "course.yaml").write_text(text.replace("default_size:", "defualt_size:", 1))
    (folder / "roster.csv").write_text("institution,claim,value,role,section\nnowhere,email,a@b.example,student,\n")
    return tmp_path / "courses"


# -- help --------------------------------------------------------------------------------------------------------

COMMANDS = (
    ["up"],
    ["down"],
    ["status"],
    ["doctor"],
    ["catalog", "check"],
    ["catalog", "apply"],
    ["receipt", "verify"],
    ["course", "new"],
    ["course", "list"],
    ["course", "archive"],
    ["course", "roster", "upload"],
    ["demo", "seed"],
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_tells_exit_codes_and_json(command: list[str]) -> None:
    code, said = run(*command, "--help")
    assert code == 0
    assert "Exit codes: 0 done, or yes" in said
    assert "--json" in said


def test_version() -> None:
    assert run("--version") == (0, "kirzl-lab 0.1.0")


@pytest.mark.parametrize(
    "words", [["fly"], ["up", "--fly"], ["up", "--port", "0"], ["up", "--port", "x"], ["status", "x"]]
)
def test_what_is_not_understood_is_2(words: list[str]) -> None:
    assert run(*words)[0] == Exit.USAGE


# -- catalog -----------------------------------------------------------------------------------------------------


def test_our_own_catalogue_has_no_mistakes() -> None:
    assert run("catalog", "check", *HERE) == (0, "✓ No mistakes.")


def test_every_mistake_is_told(course: Path) -> None:
    code, said = run("catalog", "check", "--hub-config", str(ROOT / "hub_config"), "--courses", str(course))
    assert code == Exit.NO
    assert "course.yaml:" in said and "roster.csv:2" in said
    assert re.search(r"\d+ mistakes\.$", said)


def test_mistakes_as_json(course: Path) -> None:
    code, said = run_json("catalog", "check", "--hub-config", str(ROOT / "hub_config"), "--courses", str(course))
    assert code == Exit.NO
    assert said["ok"] is False
    assert {"file", "line", "found", "expected", "message"} <= said["mistakes"][0].keys()


def test_only_what_was_named(course: Path) -> None:
    hub_config = ["--hub-config", str(ROOT / "hub_config")]
    code, said = run_json("catalog", "check", str(course / "ml-101/roster.csv"), *hub_config)
    assert code == Exit.NO
    assert {Path(mistake["file"]).name for mistake in said["mistakes"]} == {"roster.csv"}


def test_apply_tells_what_it_did_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    data = ["--data", str(tmp_path / "lab")]
    code, said = run_json("catalog", "apply", *data, *HERE)
    assert code == 0
    assert "space-created" in {change["action"] for change in said["changes"]}
    assert run("catalog", "apply", *data, *HERE) == (0, "✓ The lab knows this catalogue already.")


def test_a_dry_run_changes_nothing(tmp_path: Path, course: Path) -> None:
    data = ["--data", str(tmp_path / "lab")]
    run("catalog", "apply", *data, *HERE)
    (course / "ml-101/course.yaml").write_text((ROOT / "courses/ml-101/course.yaml").read_text())
    (course / "ml-101/roster.csv").write_text("institution,claim,value,role,section\n")
    other = [*data, "--hub-config", str(ROOT / "hub_config"), "--courses", str(course)]
    first = run("catalog", "apply", "--dry-run", *other)
    assert first[0] == 0
    assert "space-archived" in first[1] and "Nothing was changed" in first[1]
    assert run("catalog", "apply", "--dry-run", *other) == first
    assert run("catalog", "apply", *data, *HERE) == (0, "✓ The lab knows this catalogue already.")


def test_a_dry_run_without_a_lab_tells_everything_as_new(tmp_path: Path) -> None:
    data = ["--data", str(tmp_path / "none")]
    foreseen = run_json("catalog", "apply", "--dry-run", *data, *HERE)
    assert not (tmp_path / "none").exists()
    applied = run_json("catalog", "apply", *data, *HERE)
    assert foreseen == (0, {**applied[1], "dry_run": True})
    assert "space-created" in {change["action"] for change in foreseen[1]["changes"]}


def test_a_dry_run_leaves_an_older_database_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "lab.sqlite"
    sqlite3.connect(file).close()
    file.write_bytes(b"")
    code, said = run("catalog", "apply", "--dry-run", "--data", str(tmp_path), *HERE)
    assert code == Exit.CANNOT
    assert "older version of the lab" in said
    assert file.read_bytes() == b"" and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", ["lab.sqlite", "hub.sqlite"])
def test_a_damaged_database_is_told_in_a_sentence(tmp_path: Path, name: str) -> None:
    run("catalog", "apply", "--data", str(tmp_path), *HERE)
    (tmp_path / name).write_bytes(b"garbage" * 1000)
    code, said = run("catalog", "apply", "--data", str(tmp_path), *HERE)
    assert code == Exit.CANNOT
    assert said == f"The database in {tmp_path / name} is damaged: put back a copy of it from your backup."


def test_nothing_is_applied_of_a_catalogue_with_mistakes(tmp_path: Path, course: Path) -> None:
    other = ["--hub-config", str(ROOT / "hub_config"), "--courses", str(course)]
    code, said = run("catalog", "apply", "--data", str(tmp_path / "lab"), *other)
    assert code == Exit.NO
    assert "nothing was applied" in said and "roster.csv:2" in said
    assert not (tmp_path / "lab").exists()


def test_mistakes_stop_apply_with_the_json_that_check_tells(tmp_path: Path, course: Path) -> None:
    other = ["--hub-config", str(ROOT / "hub_config"), "--courses", str(course)]
    code, said = run_json("catalog", "apply", "--data", str(tmp_path / "lab"), *other)
    assert code == said["exit_code"] == Exit.NO
    assert "nothing was applied" in said["error"]
    assert said["mistakes"] == run_json("catalog", "check", *other)[1]["mistakes"]
    assert {"file", "line", "found", "expected", "message"} <= said["mistakes"][0].keys()


# -- status and down ---------------------------------------------------------------------------------------------


def test_no_lab(tmp_path: Path) -> None:
    data = ["--data", str(tmp_path)]
    assert run("status", *data)[0] == Exit.NO
    assert run_json("status", *data) == (Exit.NO, {"running": False, "data": str(tmp_path), "health": {}})
    assert run("down", *data) == (Exit.OK, f"No lab runs on {tmp_path}.")
    assert list(tmp_path.iterdir()) == []


def test_down_on_a_folder_that_is_not_as_it_should_be(folder: Folder) -> None:
    folder.lock.mkdir()
    code, said = run("down", "--data", str(folder.path))
    assert code == Exit.CANNOT
    assert "run/lock cannot be used" in said


def test_a_stale_note_is_no_lab(folder: Folder, note: Note) -> None:
    write_note(folder, note)
    folder.lock.touch()
    assert run("status", "--data", str(folder.path))[0] == Exit.NO
    assert run("down", "--data", str(folder.path))[0] == Exit.OK  # and we, whose number is in the note, live on


def test_status_asks_each_part(folder: Folder, note: Note) -> None:
    running = replace(note, state="running", checks={"hub": ("http://127.0.0.1:1/", (200,))})
    with holding(folder):
        write_note(folder, running)
        code, said = run_json("status", "--data", str(folder.path))
        told = run("status", "--data", str(folder.path))[1]
    assert code == Exit.OK
    assert said["running"] is True
    assert said["url"] == note.url
    assert said["health"] == {"hub": "does not answer"}
    assert "✗ hub does not answer" in told


HOLDER = """
import os, signal, sys
from kirzl_lab.cli.state import *
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
folder = Folder(Path(sys.argv[1]))
with holding(folder):
    write_note(folder, Note(os.getpid(), "running", "", "", str(folder.path), False, ""))
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("ear", ["good", "deaf"])
def test_down_ends_a_lab_that_listens_and_one_that_does_not(
    folder: Folder, ear: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(down_module.end, "__kwdefaults__", {"end_limit_s": 1.0})
    command = [sys.executable, "-c", HOLDER, str(folder.path), ear]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        code, said = run("down", "--data", str(folder.path))
        assert holder.wait(10) == (-15 if ear == "good" else -9)
    assert code == Exit.OK
    assert said == ("The lab has ended." if ear == "good" else "The lab did not end when asked to and was killed.")


# -- up ----------------------------------------------------------------------------------------------------------


def test_up_refuses_a_second_lab(folder: Folder) -> None:
    with holding(folder):
        code, said = run("up", "--no-browser", "--data", str(folder.path), *HERE)
    assert code == Exit.RUNS_ALREADY
    assert "runs on" in said and "already" in said


def test_up_says_which_folder_is_missing(tmp_path: Path) -> None:
    code, said = run("up", "--no-browser", "--data", str(tmp_path), "--hub-config", str(tmp_path / "none"))
    assert code == Exit.CANNOT
    assert "--hub-config" in said


def test_up_says_when_there_is_no_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "_candidates", list)
    code, said = run_json("up", "--no-browser", "--data", str(tmp_path), *HERE)
    assert code == Exit.CANNOT
    assert "There is no Node.js here" in said["error"]


def test_up_tells_address_and_accounts(note: Note, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def pretend(options: Options, listen: Any) -> None:
        assert options.demo and options.port == 9000
        listen({"event": "started", "part": "hub"})
        listen({"event": "ready", "part": "hub", "seconds": 1.5})
        listen({"event": "running", "note": {**vars_of(note), "demo": True}})
        listen({"event": "ending"})

    monkeypatch.setattr(up_module, "up", pretend)
    code, said = run("up", "--demo", "--port", "9000", "--no-browser", "--data", str(tmp_path))
    assert code == 0
    assert "✓ hub 1.5 s" in said
    assert f"The lab runs at {note.url}" in said
    assert "Demo Start-up Centre: founder, member" in said
    assert said.endswith("The lab has ended.")


def test_up_says_that_another_port_was_taken(note: Note, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def pretend(_options: Options, listen: Any) -> None:
        listen({"event": "port", "asked": 8000, "taken": 8001})
        listen({"event": "running", "note": vars_of(note)})

    monkeypatch.setattr(up_module, "up", pretend)
    code, said = run("up", "--no-browser", "--data", str(tmp_path))
    assert code == 0
    assert "8000 is busy: took 8001" in said
    assert NOBODY not in said


def test_up_says_when_nobody_can_log_in(folder: Folder, note: Note, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.logs / "prepare.log").write_text(f"The lab knows this catalogue already.\n{NOBODY}\n")
    monkeypatch.setattr(up_module, "up", lambda _, listen: listen({"event": "running", "note": vars_of(note)}))
    assert NOBODY in run("up", "--no-browser", "--data", str(folder.path))[1]
    page = (ROOT / "kirzl_lab/hub/templates/login.html").read_text()
    assert all(sentence.rstrip(".") in page for sentence in NOBODY.split(". "))


def vars_of(note: Note) -> dict[str, Any]:
    return {name: getattr(note, name) for name in note.__dataclass_fields__}


def test_detached_up_passes_on_what_stopped_it(tmp_path: Path, folder: Folder) -> None:
    options = Options(folder, tmp_path / "none", tmp_path / "none")
    with pytest.raises(Stop, match="There is no folder") as stop:
        background.start_in_background(options, lambda _event: None)
    assert stop.value.code == Exit.CANNOT


# -- how it looks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1", "FORCE_COLOR": ""}])
def test_no_colours_where_nobody_looks(environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kirzl_lab.cli.main", "catalog", "check", str(tmp_path)]
    result = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=False, cwd=ROOT)
    assert result.returncode == Exit.NO
    assert b"\x1b" not in result.stdout + result.stderr


def test_doctor_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = run_json("doctor", "--data", str(tmp_path))
    assert {"Python", "Node.js", "proxy", "end of the lab", "limits", "GPU", "port", "data folder"} <= {
        finding["what"] for finding in said["findings"]
    }
    monkeypatch.setattr(node, "PROXY", tmp_path / "none")
    code, said = run("doctor", "--data", str(tmp_path))
    assert code == Exit.NO
    assert "✗ proxy: not here" in said and "make env" in said


def test_doctor_asks_for_limits_where_servers_are_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "best_launcher", lambda: Launcher("pid-namespace", prefix=("echo", "as seen from")))
    limits = next(finding for finding in doctor.findings(Folder.at(tmp_path)) if finding.what == "limits")
    assert limits.found.startswith(f"as seen from {sys.executable}")
