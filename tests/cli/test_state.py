"""The lock and the note: one lab for each folder, and nothing stale ever stops a start."""

import fcntl
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kirzl_lab.cli import state
from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.state import Folder, Note, holding, is_held, read_note, write_atomically, write_note
from tests.support.waiting import wait_until

HOLD = """
import sys
from pathlib import Path
from kirzl_lab.cli.state import Folder, holding
with holding(Folder(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_lab_is_refused_in_a_sentence(folder: Folder, note: Note) -> None:
    with holding(folder):
        write_note(folder, replace(note, url="http://localhost:8123"))
        with (
            pytest.raises(Stop, match=r"already at http://localhost:8123: end it with `kirzl-lab down`") as stop,
            holding(folder),
        ):
            pass
    assert stop.value.code == Exit.RUNS_ALREADY


def test_the_lock_ends_with_its_holder(folder: Folder) -> None:
    assert not is_held(folder)
    with holding(folder):
        assert is_held(folder)
    assert not is_held(folder)
    with holding(folder):
        assert is_held(folder)


def test_the_lock_ends_with_a_killed_holder(folder: Folder) -> None:
    command = [sys.executable, "-c", HOLD, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert is_held(folder)
        holder.kill()
        holder.wait()
    assert folder.lock.exists()
    with holding(folder):
        assert is_held(folder)


def test_a_look_does_not_stop_a_start(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    looker = os.open(folder.lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(looker, fcntl.LOCK_SH)
    assert not is_held(folder), "one look took another one for a lab"
    monkeypatch.setattr(state.time, "sleep", lambda _: os.close(looker))  # the look ends while we wait for it
    with holding(folder):
        assert is_held(folder)


def test_a_child_does_not_keep_the_lock(folder: Folder) -> None:
    with holding(folder):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        # Not at once: the new process closes what it inherited one after the other.
        wait_until(lambda: not is_held(folder), "the end of the lock", 5)
    finally:
        child.communicate(b"\n")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"nonsense": 1}'])
def test_a_note_that_makes_no_sense_is_as_none(folder: Folder, text: str) -> None:
    folder.note.write_text(text)
    assert read_note(folder) is None


def test_the_note_comes_back_as_it_was_left(folder: Folder, note: Note) -> None:
    left = replace(note, pids={"hub": 7}, ports={"hub": 8001}, checks={"hub": ("http://127.0.0.1:8001/", (200,))})
    write_note(folder, left)
    found = read_note(folder)
    assert found is not None
    assert found.pids == left.pids
    assert [(url, tuple(accept)) for url, accept in found.checks.values()] == list(left.checks.values())


def test_the_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path / "a" / "lab")
    folder.create()
    assert {place.stat().st_mode & 0o777 for place in (folder.path, folder.secrets, folder.run, folder.logs)} == {0o700}


def test_a_folder_that_cannot_be_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Stop, match="choose another one with --data") as stop:
        Folder.at(tmp_path / "file" / "lab").create()
    assert stop.value.code == Exit.CANNOT


def test_two_names_of_one_folder_are_one_lab(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "lab")
    assert Folder.at(tmp_path / "link") == Folder.at(tmp_path / "lab")


def test_a_killed_write_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "note.json"
    write_atomically(file, "old")

    def killed(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(file, "new")
    assert file.read_text() == "old"
    monkeypatch.undo()
    write_atomically(file, "newer")
    assert file.read_text() == "newer"


@pytest.mark.parametrize("name", ["a?b", "a%20b"])
def test_a_name_that_databases_misread_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(Stop, match="choose another one with --data"):
        Folder.at(tmp_path / name).create()
    assert not (tmp_path / name).exists()


def test_databases_of_an_open_folder_are_closed_to_others(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("lab.sqlite", "hub.sqlite-wal", "lab.sqlite.migrating")]
    for file in files:
        file.touch(0o644)
    Folder.at(tmp_path).create()
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_a_folder_in_place_of_the_lock_is_told_in_a_sentence(folder: Folder) -> None:
    folder.lock.mkdir()
    with pytest.raises(Stop, match=r"run/lock cannot be used .*move it out of the way"), holding(folder):
        pass
