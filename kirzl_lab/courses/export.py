"""A gradebook as a file: CSV, or a workbook for spreadsheet programs. A row for each student, in the order of the table.

Columns: the hub name, name, section, whether they are a student of the course now, their total, and for each assignment
its score (what counts; empty without a grade), late penalty and state. Headings and states are English, whatever the
language of the page: programs read these files.

What people can write (names, sections) never becomes a formula: OWASP, "CSV Injection".
"""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO, Any

from openpyxl import Workbook
from openpyxl.cell import Cell, WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from kirzl_lab.courses.gradebook_table import Row, Table

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
ROWS_AT_ONCE = 200
Value = str | float | None


def csv_lines(table: Table) -> Iterator[bytes]:
    """The gradebook as CSV (RFC 4180) in UTF-8, in pieces. Begins with a byte order mark, without which Excel guesses.

    A text that a spreadsheet program would take for a formula gets an apostrophe in front.
    """
    yield b"\xef\xbb\xbf"
    lines = _lines(table)
    while part := list(islice(lines, ROWS_AT_ONCE)):
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerows([harmless(value) for value in line] for line in part)
        yield buffer.getvalue().encode()


def write_xlsx(table: Table, file: IO[bytes]) -> None:
    """Write the gradebook as a workbook with one sheet. Every text is stored as a text, whatever it begins with."""
    book = Workbook(write_only=True)
    sheet: Any = book.create_sheet("Gradebook")  # its stubs lack what write-only sheets have
    sheet.freeze_panes = "C2"
    lines = _lines(table)
    heading = next(lines)
    for number, title in enumerate(heading, 1):
        sheet.column_dimensions[get_column_letter(number)].width = min(max(len(str(title)) + 2, 10), 40)
    sheet.column_dimensions["B"].width = 28
    bold = Font(bold=True)
    sheet.append([_text_cell(sheet, str(title), bold) for title in heading])
    for line in lines:
        sheet.append([_text_cell(sheet, value) if _dangerous(value) else value for value in line])
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(heading))}{len(table.rows) + 1}"
    book.save(file)


def _lines(table: Table) -> Iterator[Sequence[Value]]:
    heading = ["student", "name", "section", "enrolled", f"total (of {table.max_total:g})"]
    for column in table.columns:
        heading += [f"{column.name} (of {column.max_score:g})", f"{column.name} late penalty", f"{column.name} state"]
    yield heading
    for row in table.rows:
        yield _line(row)


def _line(row: Row) -> list[Value]:
    student = row.student
    line: list[Value] = [
        student.hub_name,
        student.name,
        student.section,
        "yes" if student.enrolled else "no",
        row.total,
    ]
    for cell in row.cells:
        line += [cell.score, cell.grading.penalty if cell.grading else None, cell.state.value]
    return line


def _dangerous(value: Value) -> bool:
    """Whether the value is a text that a spreadsheet program, or openpyxl, would not take for what it is."""
    return isinstance(value, str) and (value.startswith(FORMULA_STARTS) or bool(ILLEGAL_CHARACTERS_RE.search(value)))


def harmless(value: Value) -> Value:
    """What a spreadsheet program takes for a text, in a CSV file."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def _text_cell(sheet: Any, value: Value, font: Font | None = None) -> Cell:
    # XML has no place for control characters.
    cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("\ufffd", str(value)))
    cell.data_type = "s"  # openpyxl had made it a formula of a text that begins with =
    if font:
        cell.font = font
    return cell
