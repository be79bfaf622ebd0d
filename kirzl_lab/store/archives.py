"""An assignment's folder as one file, a tar.gz, and back again.

`pack` writes it; `inspect` and `unpack` accept only what `pack` can have written, byte by byte but for the gzip around
it, so that every archive has one reading. They guarantee, for any file whatsoever:

- what is wrong with it is told as an `ArchiveRefused`, and nothing else is raised but `OSError` of the disk;
- memory and time are bounded by the limits, never by what the file claims or by what it unpacks to;
- `inspect` writes nothing; `unpack` writes below the new folder alone, which appears when all of it is written.

Only files are in an archive, by paths that can exist side by side on Linux, macOS and Windows. No times, owners or
links: they are nothing that somebody hands in. All of it blocks: callers have threads. It stands on the standard
library alone, because people's servers run it, too.
"""

import gzip
import os
import stat
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from kirzl_lab.store.archive_reading import inspect, unpack
from kirzl_lab.store.archive_rules import (
    BLOCK,
    CHUNK,
    END,
    LARGEST,
    LIMITS,
    SENTENCES,
    ArchiveRefused,
    File,
    Limits,
    Manifest,
    Names,
    Reason,
    check_path,
    header_of,
    printable,
)

__all__ = ["LIMITS", "SENTENCES", "ArchiveRefused", "File", "Limits", "Manifest", "Reason", "inspect", "pack", "unpack"]


def pack(folder: Path, file: Path, *, exclude: Collection[str] = (), limits: Limits = LIMITS) -> Manifest:
    """Write the files of `folder` into the archive `file`, which is replaced, and tell what is in it.

    The same files give the same bytes. What a pattern of `exclude` (as of `fnmatch`) matches by its name or its path
    stays out. A link to a file inside the folder becomes that file; other links, and what is no file, are in
    `left_out`. Raises `ArchiveRefused` where `inspect` would refuse the archive, and then there is none.
    """
    if file.resolve().is_relative_to(folder.resolve()):
        raise ValueError("an archive cannot be in its own folder")
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = _Found(root, folder.resolve(), exclude, limits)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name[:50]}.", delete=False) as raw:
            draft = Path(raw.name)
            try:
                _write(found, raw, limits)
                raw.flush()
                # Read back as others will: what is here is let in there.
                manifest = inspect(draft, limits)
                draft.replace(file)
            except BaseException:
                draft.unlink()
                raise
    finally:
        os.close(root)
    return replace(manifest, left_out=tuple(sorted(found.left_out)))


def _write(found: "_Found", raw: IO[bytes], limits: Limits) -> None:
    total = 0
    with gzip.GzipFile("", "wb", 6, raw, mtime=0) as stream:
        for path, actual in found.paths():
            with found.open(path, actual) as source:
                about = os.fstat(source.fileno())
                total += about.st_size
                if total > limits.unpacked or about.st_size > LARGEST:
                    raise ArchiveRefused(Reason.TOO_BIG, limit=min(limits.unpacked, LARGEST))
                each = File(path, about.st_size, bool(about.st_mode & stat.S_IXUSR))
                stream.write(header_of(path, each.size, each.executable))
                _copy(source, stream, each)
        stream.write(bytes(END))


def _copy(source: BinaryIO, to: gzip.GzipFile, file: File) -> None:
    left = file.size
    while left and (data := source.read(min(CHUNK, left))):
        to.write(data)
        left -= len(data)
    if left or source.read(1):
        raise ArchiveRefused(Reason.CHANGED, file.path)
    to.write(bytes(-file.size % BLOCK))


class _Found:
    """What is to be packed. Everything is opened step by step and without links: none can lead out meanwhile."""

    def __init__(self, root: int, folder: Path, exclude: Collection[str], limits: Limits) -> None:
        self._root = root
        self._folder = folder
        self._exclude = exclude
        self._limits = limits
        self.left_out: list[str] = []

    def paths(self) -> list[tuple[str, str]]:
        """The path of each file, and the path to open, which is another one for links; in order."""
        names = Names(self._limits)
        found = []
        for path, actual in self._below(""):
            check_path(path, self._limits)
            names.add(path)
            found.append((path, actual))
        return sorted(found)

    def _below(self, folder: str) -> Iterator[tuple[str, str]]:
        try:
            at = self._at(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            raise ArchiveRefused(Reason.UNREADABLE, folder) from None
        try:
            with os.scandir(at) as entries:
                for entry in entries:
                    path = f"{folder}{entry.name}"
                    if not any(fnmatchcase(entry.name, each) or fnmatchcase(path, each) for each in self._exclude):
                        yield from self._entry(path, entry)
        finally:
            os.close(at)

    def _entry(self, path: str, entry: "os.DirEntry[str]") -> Iterator[tuple[str, str]]:
        if entry.is_symlink():
            target = self._target(path)
            if target is None:
                self.left_out.append(printable(path))
            else:
                yield path, target
        elif entry.is_dir(follow_symlinks=False):
            if path.count("/") >= self._limits.depth:
                raise ArchiveRefused(Reason.TOO_DEEP, path, self._limits.depth)
            yield from self._below(f"{path}/")
        elif entry.is_file(follow_symlinks=False):
            yield path, path
        else:
            self.left_out.append(printable(path))

    def _target(self, path: str) -> str | None:
        """Where a link leads to, when that is a file in the folder."""
        try:
            target = (self._folder / path).resolve(strict=True)
            inside = target.relative_to(self._folder)
            return inside.as_posix() if stat.S_ISREG(target.lstat().st_mode) else None
        except (OSError, ValueError, RuntimeError):  # broken, outside, in a circle
            return None

    def open(self, path: str, actual: str) -> BinaryIO:
        """The file, to be read."""
        try:
            at = self._at(actual, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            raise ArchiveRefused(Reason.UNREADABLE, path) from None
        if not stat.S_ISREG(os.fstat(at).st_mode):
            os.close(at)
            raise ArchiveRefused(Reason.CHANGED, path)
        return os.fdopen(at, "rb")

    def _at(self, path: str, flags: int) -> int:
        """A descriptor of what is at `path` below the folder, no step of which is a link."""
        at = os.dup(self._root)
        steps = PurePosixPath(path).parts
        for number, step in enumerate(steps, 1):
            how = flags if number == len(steps) else os.O_RDONLY | os.O_DIRECTORY
            try:
                below = os.open(step, how | os.O_NOFOLLOW, dir_fd=at)
            finally:
                os.close(at)
            at = below
        return at
