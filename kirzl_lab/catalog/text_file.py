"""Reads a small text file that somebody else wrote. Whatever it is, the answer is its text or mistakes, never an exception.

Guarantees: nothing outside the folder it belongs to is read, nothing but a regular file is opened for reading, no
more than the limit is held in memory, and lines are counted as editors count them.
"""

import codecs
import os
import re
import stat
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from kirzl_lab.catalog.mistakes import Mistake

LINE_END = re.compile(r"\r\n|\r|\n")
JOINERS = frozenset("\u200c\u200d")
"""Invisible, but part of how some scripts and emoji are written."""


@dataclass
class TextFile:
    """The lines of a file (without their ends) and what was wrong with it so far.

    In `lines`, characters that must not be there are replaced one by one, so that positions stay true.
    """

    path: Path
    lines: list[str] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    spoilt: set[int] = field(default_factory=set)
    """Lines (from 1) that held bytes or characters that must not be there; what else seems wrong there is an echo."""
    readable: bool = True

    def add(self, line: int, column: int | None, found: str, expected: str) -> None:
        """Note a mistake."""
        self.mistakes.append(Mistake(self.path, line, column, found, expected))


def read_text(path: Path, inside: Path, limit: int, expected: str) -> TextFile:
    """The file at `path`, which must lie inside the folder `inside` and hold at most `limit` bytes.

    `expected` says what should be there, for whoever finds that it is not.
    """
    file = TextFile(path)
    try:
        data = _read(path, inside, limit)
    except _Unusable as error:
        file.readable = False
        file.add(0, None, error.found, error.expected or expected)
    else:
        _decode(file, data)
    return file


class _Unusable(Exception):  # noqa: N818 - never leaves this module
    """The file cannot be read as a whole."""

    def __init__(self, found: str, expected: str = "") -> None:
        super().__init__(found)
        self.found, self.expected = found, expected


def escapes(path: Path, inside: Path) -> bool:
    """Whether `path`, all symbolic links followed, lies outside the folder `inside`. True as well for a loop of links."""
    try:
        return not path.resolve(strict=True).is_relative_to(inside.resolve(strict=True))
    except (OSError, RuntimeError, ValueError):
        return True


def why(error: Exception) -> str:
    """The operating system's reason in lower case, without numbers and paths."""
    reason = error.strerror if isinstance(error, OSError) else None
    return (reason or "not a usable path").lower()


def _read(path: Path, inside: Path, limit: int) -> bytes:
    try:
        # Without O_NONBLOCK, opening a pipe would wait for somebody to write to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        raise _Unusable("a link to nothing" if path.is_symlink() else "no such file") from None
    except (OSError, ValueError) as error:
        raise _Unusable(f"a file that cannot be read ({why(error)})") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise _Unusable("a folder" if stat.S_ISDIR(mode) else "something that is not a file")
        if escapes(path, inside):
            raise _Unusable("a link that leads out of its folder")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise _Unusable(f"a file that cannot be read ({why(error)})") from None
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise _Unusable("a file that is too large", f"at most {limit // 1024} KiB")
    return data


def _decode(file: TextFile, data: bytes) -> None:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        file.add(1, 1, "UTF-16", "UTF-8: save the file with that encoding")
        file.readable = False
        return
    data = data.removeprefix(codecs.BOM_UTF8)
    # Each line is decoded on its own, so that one bad byte hides no other mistake.
    for number, raw in enumerate(re.split(rb"\r\n|\r|\n", data), start=1):
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            byte = raw[error.start]
            column = len(raw[: error.start].decode("utf-8")) + 1
            guess = bytes([byte]).decode("cp1252", "replace")
            hint = f", “{guess}” in Windows-1252" if guess.isprintable() else ""
            file.add(number, column, f"the byte 0x{byte:02x}{hint}", "UTF-8: save the file with that encoding")
            file.spoilt.add(number)
            line = raw.decode("utf-8", "replace")
        file.lines.append(_without_invisible(file, number, line))


def _without_invisible(file: TextFile, number: int, line: str) -> str:
    wrong = [index for index, character in enumerate(line) if is_invisible(character)]
    if not wrong:
        return line
    file.add(number, wrong[0] + 1, f"the invisible character U+{ord(line[wrong[0]]):04X}", "text: delete it")
    file.spoilt.add(number)
    return clean(line)


def clean(text: str) -> str:
    """The text with invisible characters replaced one by one."""
    return "".join("\N{REPLACEMENT CHARACTER}" if is_invisible(character) else character for character in text)


def is_invisible(character: str) -> bool:
    """Whether it is a control or format character, a line separator of Unicode, half a character or none at all.

    A tab is none of them: the formats decide where it may stand.
    """
    if character == "\t" or character in JOINERS:
        return False
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} or ord(character) & 0xFFFE == 0xFFFE
