"""Copies of folders that strangers filled: plain files and folders only, and no more of them than there is room for.

Nothing that is refused has been followed, opened for reading by name twice, or left half-checked: names are looked up
in folders that are held open, and a file is judged by the very descriptor that is then copied.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kirzl_lab.grading.outcomes import MIB
from kirzl_lab.problems import Phrase

DEPTH: Final = 32
"""Of folders in folders."""


@dataclass(frozen=True)
class Room:
    """How much a copy may hold."""

    files: int = 20_000
    """Folders count as well."""
    size: int = 1024 * MIB
    """In bytes."""


USUAL: Final = Room()


class CopyRefusedError(Exception):
    """The folder holds what cannot be copied. `why` is for people."""

    def __init__(self, why: Phrase) -> None:
        self.why = why
        super().__init__(why.text())


def copy_tree(source: Path, target: Path, room: Room = USUAL) -> None:
    """Copy the folder `source` to `target`, which is made; of modes only whether the owner may execute is kept.

    Raises `CopyRefusedError` for links, devices, names that are no UTF-8, folders too deep, more than there is room
    for, and what cannot be read.
    """
    if not stat.S_ISDIR(os.lstat(source).st_mode):
        raise CopyRefusedError(Phrase("it is no folder"))
    left = Left(room)
    target.mkdir(parents=True)
    try:
        for folder, folders, files, descriptor in os.fwalk(source, onerror=_raise, follow_symlinks=False):
            here = Path(folder).relative_to(source)
            if len(here.parts) > DEPTH:
                raise CopyRefusedError(Phrase("its folders are nested too deep"))
            for name in folders:
                left.count(name)
                if not stat.S_ISDIR(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                    raise _no_file(name)
                (target / here / name).mkdir()
            for name in files:
                left.count(name)
                _copy_file(name, descriptor, target / here / name, left)
    except OSError as error:
        raise CopyRefusedError(Phrase("a file cannot be read: %(error)s", {"error": error.strerror})) from error


class Left:
    """The room that is left."""

    def __init__(self, room: Room) -> None:
        self.files, self.size = room.files, room.size

    def count(self, name: str) -> None:
        """Take one file or folder of that name off."""
        try:
            name.encode()
        except UnicodeEncodeError:
            raise CopyRefusedError(Phrase("the name of a file is no text")) from None
        self.files -= 1
        if self.files < 0:
            raise CopyRefusedError(Phrase("there are too many files"))

    def take(self, size: int) -> None:
        """Take that many bytes off."""
        self.size -= size
        if self.size < 0:
            raise _too_large()


def _copy_file(name: str, folder: int, target: Path, left: Left) -> None:
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise _no_file(name)  # before it is opened: a device may do something then
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as source:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1:
            raise _no_file(name)
        if about.st_size > left.size:
            raise _too_large()
        with target.open("xb") as copy:
            for part in _parts(source.fileno()):
                left.take(len(part))
                copy.write(part)
    target.chmod(0o755 if about.st_mode & stat.S_IXUSR else 0o644)


def _parts(descriptor: int) -> Iterator[bytes]:
    while part := os.read(descriptor, MIB):
        yield part


def _no_file(name: str) -> CopyRefusedError:
    return CopyRefusedError(Phrase("“%(name)s” is a link or no plain file", {"name": name}))


def _too_large() -> CopyRefusedError:
    return CopyRefusedError(Phrase("the files are too large"))


def _raise(error: OSError) -> None:
    raise error
