"""The text and the table in a file of people, as spreadsheets and registries write it. Pure.

Guarantees: whatever the bytes are, the answer is a table or one reason why there is none, never an exception. Accepts
UTF-8 and UTF-16 with or without a byte order mark and the 8-bit encodings of Western and Central Europe; comma,
semicolon, tab and bar as separators.
"""

import codecs
import csv
import io
from collections.abc import Callable
from dataclasses import dataclass

from charset_normalizer import from_bytes

from kirzl_lab.catalog.text_file import clean
from kirzl_lab.problems import Phrase

LARGEST = 1024 * 1024
"""Bytes of a file."""
MOST_ROWS = 5000
LONGEST_CELL = 1000
SEPARATORS = ",;\t|"
EIGHT_BIT = ["cp1252", "cp1250", "mac_roman", "cp850"]
"""What files without a mark that are no UTF-8 may be in: Excel on Windows, Western and Central Europe, and the Mac."""
BARE_UTF_16 = 0.2
"""Share of NUL bytes above which a file without a mark is UTF-16: every second one in European languages."""


@dataclass(frozen=True, slots=True)
class Line:
    """A record of the file: the line on which it ends, counted from 1, and its cells."""

    number: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """What the file holds."""

    header: Line
    lines: tuple[Line, ...]
    encoding: str
    separator: str


class Unreadable(Exception):  # noqa: N818 - it carries a sentence for people, not an error of the program
    """No table can be read; `phrase` says why and what to do."""

    def __init__(self, line: int, phrase: Phrase) -> None:
        super().__init__(phrase.text())
        self.line, self.phrase = line, phrase


def table_in(data: bytes, score: Callable[[list[str]], int]) -> Table:
    """The table in a file; `score` tells how many cells of a header mean something. Raises `Unreadable`."""
    if len(data) > LARGEST:
        raise Unreadable(0, Phrase("the file is larger than %(limit)s KiB", {"limit": LARGEST // 1024}))
    text, encoding = text_in(data)
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    first = next((line for line in text.split("\n") if line.strip()), None)
    if first is None:
        raise Unreadable(1, Phrase("the file is empty"))
    separator = max(SEPARATORS, key=lambda mark: (score(_cells(first, mark)), first.count(mark)))
    lines = _lines(text, separator)
    if not lines:  # separators alone
        raise Unreadable(1, Phrase("the file is empty"))
    if len(lines) > MOST_ROWS + 1:
        raise Unreadable(
            lines[MOST_ROWS + 1].number, Phrase("the file has more than %(limit)s rows", {"limit": MOST_ROWS})
        )
    return Table(lines[0], tuple(lines[1:]), encoding, separator)


def text_in(data: bytes) -> tuple[str, str]:
    """The text of a file and the name of its encoding. Whatever cannot be decoded becomes a replacement character."""
    if data.startswith(codecs.BOM_UTF8):
        return data.decode("utf-8-sig", "replace"), "UTF-8"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace"), "UTF-16"
    zeros = data[:4096].count(0)
    if zeros > BARE_UTF_16 * len(data[:4096]):
        # ASCII letters have their zero byte first in big-endian text, and last in little-endian text.
        big = data[:4096:2].count(0) > zeros / 2
        return data.decode("utf-16-be" if big else "utf-16-le", "replace"), "UTF-16"
    try:
        return data.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        best = from_bytes(data, cp_isolation=EIGHT_BIT).best()
        name = best.encoding if best is not None else "cp1252"
        # What European files hold nearly always is Windows-1252; others must fit clearly better.
        western = _letters(data.decode("cp1252", "replace"))
        if name != "cp1252" and _letters(data.decode(name, "replace")) <= western:
            name = "cp1252"
        return data.decode(name, "replace"), {"cp1252": "Windows-1252", "cp1250": "Windows-1250"}.get(name, name)


def _letters(text: str) -> int:
    """How many characters beyond ASCII are letters, as nearly all of them are in names."""
    return sum(character.isalpha() for character in text if not character.isascii())


def _cells(line: str, separator: str) -> list[str]:
    return [part.strip().strip('"').strip() for part in line.split(separator)]


def _lines(text: str, separator: str) -> list[Line]:
    """The records that hold something. A quotation mark that is never closed is told at the line where it begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    found: list[Line] = []
    begins = 1
    try:
        for cells in reader:
            tidy = tuple(" ".join(cell.split()) for cell in cells)
            if any(tidy):
                if any(len(cell) > LONGEST_CELL for cell in tidy):
                    raise Unreadable(
                        begins, Phrase("a cell has more than %(limit)s characters", {"limit": LONGEST_CELL})
                    )
                found.append(Line(begins, tuple(clean(cell) for cell in tidy)))
            if len(found) > MOST_ROWS + 1:
                break
            begins = reader.line_num + 1
    except csv.Error as error:
        if "field larger" in str(error):
            raise Unreadable(
                begins, Phrase("a cell has more than %(limit)s characters", {"limit": LONGEST_CELL})
            ) from None
        raise Unreadable(
            begins, Phrase("a quotation mark is not closed, or stands inside a value that has none around it")
        ) from None
    return found
