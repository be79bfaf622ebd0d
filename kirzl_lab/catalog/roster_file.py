"""Reads `roster.csv` as spreadsheets write it: comma, semicolon or tab, with or without a byte order mark.

Guarantees: whatever the bytes are, the answer is rows or mistakes with their lines, never an exception. A row is a
line: a quotation mark that is never closed spoils its own line only.
"""

import csv
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from kirzl_lab.catalog.explain import expected
from kirzl_lab.catalog.mistakes import Mistake, meant, shown
from kirzl_lab.catalog.models import RosterRow
from kirzl_lab.catalog.text_file import read_text
from kirzl_lab.catalog.validate import refusals_of, strictly

LIMIT = 4 * 1024 * 1024
"""Bytes of a roster: some 50,000 rows."""

COLUMNS = tuple(RosterRow.model_fields)
OPTIONAL = frozenset(name for name, column in RosterRow.model_fields.items() if not column.is_required())
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
ABBREVIATED = re.compile(r"\d+[.,]\d+[eE]\+\d+")
"""How a spreadsheet writes a long number into a CSV file, its last digits lost."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a roster as it was written: its line number and its values by column."""

    line: int
    values: dict[str, str]


@dataclass
class RosterFile:
    """A roster: its entries, those that are good as rows, and the mistakes found so far."""

    path: Path
    entries: list[Entry] = field(default_factory=list)
    rows: list[RosterRow] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    readable: bool = True

    def add(self, line: int, found: str, expected: str) -> None:
        """Note a mistake."""
        self.mistakes.append(Mistake(self.path, line, None, found, expected))


def read_roster(path: Path, inside: Path) -> RosterFile:
    """The roster at `path`, which must lie inside the folder `inside`."""
    wanted = f"roster.csv, with at least its first line {','.join(COLUMNS)}"
    text = read_text(path, inside, LIMIT, wanted)
    roster = RosterFile(path, mistakes=text.mistakes, readable=text.readable)
    if not text.readable:
        return roster
    start = next((index for index, line in enumerate(text.lines) if line.strip()), None)
    if start is None:
        roster.add(1, "an empty file", f"a first line {','.join(COLUMNS)}")
        return roster
    separator = _separator(text.lines[start])
    header = _header(roster, start + 1, text.lines[start], separator)
    if header is not None:
        for number in range(start + 2, len(text.lines) + 1):
            if number not in text.spoilt:
                _line(roster, number, text.lines[number - 1], header, separator)
    _duplicates(roster)
    return roster


def _separator(header: str) -> str:
    """The separator that finds the most column names in the first line."""

    def score(separator: str) -> int:
        return len({part.strip().strip('"').strip().lower() for part in header.split(separator)} & set(COLUMNS))

    return max(SEPARATORS, key=score)


def _split(roster: RosterFile, number: int, line: str, separator: str) -> list[str] | None:
    try:
        fields = next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error as error:
        if "unexpected end" in str(error):
            roster.add(number, "a quotation mark that is never closed", "another one at the end of the value")
        elif "expected after" in str(error):
            wanted = "quotes around the whole value, and two of them for one inside it"
            roster.add(number, "a quotation mark inside a value", wanted)
        else:
            roster.add(number, "a value that is too long", "at most 500 characters")
        return None
    return [value.strip() for value in fields]


def _header(roster: RosterFile, number: int, line: str, separator: str) -> list[str] | None:
    """The names of the columns; None when the first line is no header."""
    names = _split(roster, number, line, separator)
    wanted = f"the columns {', '.join(COLUMNS)} ({' and '.join(sorted(OPTIONAL))} may be left out)"
    if names is None or not set(names) & set(COLUMNS):
        if names is not None:
            roster.add(number, f"the first line “{shown(line)}”", wanted)
        return None
    for index, name in enumerate(names):
        if name not in COLUMNS:
            close = meant(name, [column for column in COLUMNS if column not in names])
            roster.add(number, f"a column “{shown(name)}”", f"{close}" if close else wanted)
            names[index] = close or name
        elif name in names[:index]:
            roster.add(number, f"the column {name} again", "it once")
    for column in COLUMNS:
        if column not in names and column not in OPTIONAL:
            roster.add(number, f"no column {column}", wanted)
    return names


def _line(roster: RosterFile, number: int, line: str, header: list[str], separator: str) -> None:
    fields = _split(roster, number, line, separator)
    if fields is None or not any(fields):
        # Nothing, or the separators that a spreadsheet leaves where a row was cleared.
        return
    if len(fields) != len(header):
        other = next((name for mark, name in SEPARATORS.items() if mark != separator and mark in line), None)
        hint = f" (separated by a {SEPARATORS[separator]}, not a {other})" if other and len(fields) == 1 else ""
        count = f"{len(fields)} column{'s' if len(fields) != 1 else ''}"
        roster.add(number, count, f"{len(header)} as in the first line{hint}")
        return
    values = {name: value for name, value in zip(header, fields, strict=True) if name in COLUMNS}
    roster.entries.append(Entry(number, values))
    try:
        row = strictly(RosterRow, values)
    except ValidationError as error:
        for refusal in refusals_of(error):
            column = str(refusal.loc[0])
            # A column that is not there was told at the first line.
            if refusal.type != "missing":
                value = values[column]
                found = f"“{shown(value)}” as {column}" if value else f"no {column}"
                roster.add(number, found, expected(RosterRow, refusal, value))
        return
    if ABBREVIATED.fullmatch(row.value):
        wanted = "all of its digits: format the column as text in your spreadsheet"
        roster.add(number, f"“{row.value}”, a number that was shortened", wanted)
    roster.rows.append(row)


def _duplicates(roster: RosterFile) -> None:
    seen: dict[tuple[str | None, ...], int] = {}
    for entry in roster.entries:
        values = entry.values
        # As the models compare values.
        value = unicodedata.normalize("NFC", values.get("value", ""))
        key = (
            values.get("institution"),
            values.get("claim"),
            value.lower() if values.get("claim") == "email" else value,
        )
        if not all(key):
            continue
        if key in seen:
            roster.add(entry.line, f"“{shown(value)}” again", f"each person once: line {seen[key]} has the same")
        else:
            seen[key] = entry.line
