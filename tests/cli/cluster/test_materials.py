"""A folder on its way to a course's volume: what is sent, and what becomes of it there."""

import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kirzl_lab.cli.cluster import materials


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "data" / "deep").mkdir(parents=True)
    (source / "README.md").write_text("read me")
    (source / "data" / "deep" / "big.bin").write_bytes(os.urandom(70_000))
    (source / "empty").mkdir()
    (source / "wählen.ipynb").write_text("ü")
    return source


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    target = tmp_path / "volume"
    target.mkdir()
    return target


def receive(source: Path, volume: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Any]:
    """What the pod does, here."""
    files, _ = materials._listed(source)
    sent = io.BytesIO(b"".join(materials._tar(source, files)))
    printed = io.StringIO()
    monkeypatch.setattr(sys, "argv", ["-c", str(volume), *words])
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=sent))
    monkeypatch.setattr(sys, "stdout", printed)
    exec(compile(materials.RECEIVE, "receive", "exec"), {})
    found: dict[str, Any] = json.loads(printed.getvalue())
    return found


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_arrives_as_it_is(folder: Path, volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = receive(folder, volume, monkeypatch)
    assert done == {"written": 3, "removed": []}
    assert tree(volume) == tree(folder)
    assert (volume / "empty").is_dir()
    assert (volume / "README.md").stat().st_mode & 0o777 == 0o644
    assert int((volume / "README.md").stat().st_mtime) == int((folder / "README.md").stat().st_mtime)


def test_files_are_replaced_and_those_of_lecturers_stay(
    folder: Path, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (volume / "README.md").write_text("old")
    (volume / "mine.ipynb").write_text("a lecturer's")
    reader = (volume / "README.md").open()
    assert receive(folder, volume, monkeypatch)["removed"] == []
    assert (volume / "mine.ipynb").read_text() == "a lecturer's"
    assert (volume / "README.md").read_text() == "read me"
    assert reader.read() == "old"  # whoever reads has the one or the other, whole
    reader.close()


def test_with_delete_what_is_not_in_the_folder_goes(
    folder: Path, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (volume / "old" / "deeper").mkdir(parents=True)
    (volume / "old" / "deeper" / "x.txt").write_text("x")
    (volume / "data").mkdir()
    (volume / "data" / "y.txt").write_text("y")
    assert receive(folder, volume, monkeypatch, "delete")["removed"] == ["data/y.txt", "old/deeper/x.txt"]
    assert tree(volume) == tree(folder)
    assert not (volume / "old").exists()
    assert (volume / "empty").is_dir()


def test_what_is_in_the_way_is_replaced(
    folder: Path, volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (volume / "data").symlink_to(outside)
    (volume / "README.md").mkdir()
    (volume / "README.md" / "x").write_text("x")
    (volume / "empty").write_text("a file")
    receive(folder, volume, monkeypatch)
    assert tree(volume) == tree(folder)
    assert list(outside.iterdir()) == []


def test_links_and_leftovers_are_not_sent(folder: Path, tmp_path: Path) -> None:
    (folder / "link").symlink_to(tmp_path)
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "a").write_text("a")
    os.mkfifo(folder / "pipe")
    files, left_out = materials._listed(folder)
    names = {path.relative_to(folder).as_posix() for path in files}
    assert names == {"README.md", "data", "data/deep", "data/deep/big.bin", "empty", "wählen.ipynb"}
    assert left_out == ["link", "pipe"]


def test_a_file_that_shrinks_meanwhile_does_not_spoil_the_next(folder: Path) -> None:
    assert b"".join(materials._content(io.BytesIO(b"abc"), 5)) == b"abc\0\0"
    assert b"".join(materials._content(io.BytesIO(b"abcdef"), 5)) == b"abcde"


def test_courses_with_materials_are_found(tmp_path: Path) -> None:
    (tmp_path / "ml-101" / "materials").mkdir(parents=True)
    (tmp_path / "dl-201").mkdir()
    assert materials.courses_with_materials(tmp_path) == [("ml-101", tmp_path / "ml-101" / "materials")]
