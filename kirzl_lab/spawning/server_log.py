"""What a server writes to its terminal, kept for the people who operate the lab."""

from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import IO

from kirzl_lab.spawning import folders

LINES = 20


def open_new(file: Path, data: Path) -> IO[bytes]:
    """A new log, open for writing; the one before is kept with the suffix `.1`."""
    folders.make_private(file.parent, data)
    with suppress(FileNotFoundError):
        file.replace(file.with_name(file.name + ".1"))
    return file.open("ab")


def end_of(file: Path) -> str:
    """The last lines of a log, or nothing when there is none."""
    try:
        with file.open(errors="replace") as lines:
            return "".join(deque(lines, LINES))
    except OSError:
        return ""
