"""Folders of strangers are copied as plain files, or not at all."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kirzl_lab.grading.copying import DEPTH, CopyRefusedError, Room, copy_tree

ROOM = Room(files=20, size=10_000)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "ümlaut.csv").write_bytes(b"1,2\n")
    (folder / "tool").write_text("#!/bin/sh\n")
    (folder / "tool").chmod(0o4700)
    return folder


def test_files_and_folders_are_copied_and_may_be_run_but_no_more(source: Path, tmp_path: Path) -> None:
    copy_tree(source, tmp_path / "copy", ROOM)
    assert (tmp_path / "copy" / "data" / "ümlaut.csv").read_bytes() == b"1,2\n"
    modes = [(tmp_path / "copy" / name).stat().st_mode & 0o7777 for name in ("tool", "data/ümlaut.csv")]
    assert modes == [0o755, 0o644]


def socket_in(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / "socket"))


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link to a file": (lambda folder: (folder / "passwd").symlink_to("/etc/passwd"), "“passwd” is a link"),
    "a link to a folder": (lambda folder: (folder / "etc").symlink_to("/etc"), "“etc” is a link"),
    "a link to nowhere": (lambda folder: (folder / "data" / "gone").symlink_to("gone"), "“gone” is a link"),
    "a second name": (lambda folder: os.link(folder / "tool", folder / "data" / "tool2"), "is a link"),
    "a pipe": (lambda folder: os.mkfifo(folder / "pipe"), "“pipe” is a link or no plain file"),
    "a socket": (socket_in, "“socket” is a link or no plain file"),
    "a name that is no text": (lambda folder: (folder / os.fsdecode(b"\xff")).touch(), "the name of a file is no text"),
    "many files": (lambda folder: [(folder / str(n)).touch() for n in range(20)], "too many files"),
    "many folders": (lambda folder: [(folder / str(n)).mkdir() for n in range(20)], "too many files"),
    "a hole": (lambda folder: os.truncate(folder / "tool", 10**12), "too large"),
    "many bytes": (lambda folder: [(folder / n).write_bytes(bytes(6000)) for n in "ab"], "too large"),
    "no folder": (lambda folder: (folder.rename(folder.with_name("other")), folder.touch()), "it is no folder"),
    "a link as a whole": (
        lambda folder: (folder.rename(folder.with_name("other")), folder.symlink_to("other")),
        "it is no folder",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_anything_else_is_refused(name: str, source: Path, tmp_path: Path) -> None:
    make, why = HOSTILE[name]
    make(source)
    with pytest.raises(CopyRefusedError, match=why):
        copy_tree(source, tmp_path / "copy", ROOM)


def test_folders_in_folders_end(source: Path, tmp_path: Path) -> None:
    deep = source.joinpath(*"d" * (DEPTH + 1))
    deep.mkdir(parents=True)
    with pytest.raises(CopyRefusedError, match="nested too deep"):
        copy_tree(source, tmp_path / "copy")
