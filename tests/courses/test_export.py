"""A gradebook as a file: what people can write is never a formula."""

import csv
import io
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from kirzl_lab.courses.export import FORMULA_STARTS, csv_lines, write_xlsx
from kirzl_lab.courses.gradebook_table import Table, table
from kirzl_lab.courses.gradebook_view import GradedAssignment, Grades, Grading
from kirzl_lab.courses.handed_in import Student

AT = datetime(2026, 10, 12, tzinfo=UTC)
HEADING = ["student", "name", "section", "enrolled", "total (of 10)", "ps1 (of 10)", "ps1 late penalty", "ps1 state"]
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)


def gradebook(*names: str, section: str = "") -> Table:
    """A student for each name; the first has a grade."""
    students = [Student(f"s{number}", name, section, enrolled=True) for number, name in enumerate(names)]
    grades = Grades({"ps1": GradedAssignment(10.0, AT)}, {("s0", "ps1"): Grading(7.5, 1.0, False, AT)})
    return table(grades, students, {("s1", "ps1"): AT}, {"ps1": AT})


def as_csv(made: Table) -> list[list[str]]:
    return list(csv.reader(io.StringIO(b"".join(csv_lines(made)).decode("utf-8-sig"), newline="")))


def as_xlsx(made: Table) -> list[list[object]]:
    file = io.BytesIO()
    write_xlsx(made, file)
    sheet = load_workbook(file)["Gradebook"]
    assert "f" not in {cell.data_type for row in sheet.iter_rows() for cell in row}, "a formula"
    return [list(row) for row in sheet.iter_rows(values_only=True)]


def test_what_is_in_it() -> None:
    made = gradebook("Student Prüfling", "Student of the evening", "Gasthörer")
    assert as_csv(made) == [
        HEADING,
        ["s0", "Student Prüfling", "", "yes", "6.5", "6.5", "1.0", "graded"],
        ["s1", "Student of the evening", "", "yes", "0.0", "", "", "submitted"],
        ["s2", "Gasthörer", "", "yes", "0.0", "", "", "missing"],
    ]
    assert as_xlsx(made) == [
        HEADING,
        ["s0", "Student Prüfling", None, "yes", 6.5, 6.5, 1, "graded"],
        ["s1", "Student of the evening", None, "yes", 0, None, None, "submitted"],
        ["s2", "Gasthörer", None, "yes", 0, None, None, "missing"],
    ]


def test_csv_comes_in_pieces() -> None:
    assert len(list(csv_lines(gradebook(*["Gasthörer"] * 450)))) == 4, "the mark, and 200 rows at a time"


@given(NAMES, NAMES)
def test_no_name_becomes_a_formula(name: str, section: str) -> None:
    made = gradebook(name, section=section)
    (_, line) = as_csv(made)
    for text, written in ((name, line[1]), (section, line[2])):
        assert not written.startswith(FORMULA_STARTS)
        assert written.removeprefix("'") == text or written == text
    (_, row) = as_xlsx(made)
    if not ILLEGAL_CHARACTERS_RE.search(name) and "\r" not in name and "_x" not in name:
        assert (row[1] or "") == name


def test_formulas_are_texts() -> None:
    for name in ('=HYPERLINK("http://evil.example")', "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1"):
        assert as_csv(gradebook(name))[1][1] == f"'{name}"
        assert str(as_xlsx(gradebook(name))[1][1]).strip() == name.strip()
