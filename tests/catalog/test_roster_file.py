"""Rosters as spreadsheets and people write them: each mistake at its line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.catalog.roster_file import LIMIT, RosterFile, read_roster

HEADER = "institution,claim,value,role,section"


def read(folder: Path, text: str | bytes) -> RosterFile:
    path = folder / "roster.csv"
    path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    return read_roster(path, folder)


def told(roster: RosterFile) -> list[str]:
    return [f"{mistake.line} found {mistake.found}, expected {mistake.expected}" for mistake in roster.mistakes]


COLUMNS = "the columns institution, claim, value, role, section (section may be left out)"

WRONG = {
    "no header": ("uni,email,a@uni.example,student,\n", [f"1 found the first line “uni,email,a@uni.example,student,”, expected {COLUMNS}"]),
    "Excel's hint": (f"sep=;\n{HEADER}\n", [f"1 found the first line “sep=;”, expected {COLUMNS}"]),
    "empty": ("", [f"1 found an empty file, expected a first line {HEADER}"]),
    "blank lines": ("\n\n", [f"1 found an empty file, expected a first line {HEADER}"]),
    "column misspelt": ("institution,claim,value,rolle\nuni,id,1,pupil\n", ["1 found a column “rolle”, expected role", "2 found “pupil” as role, expected one of student, assistant, instructor"]),
    "column unknown": (f"{HEADER},name\nuni,id,1,student,,Student\n", [f"1 found a column “name”, expected {COLUMNS}"]),
    "column missing": ("institution,claim,value\nuni,id,1\n", [f"1 found no column role, expected {COLUMNS}"]),
    "column twice": ("institution,claim,value,role,role\n", ["1 found the column role again, expected it once"]),
    "role": (f"{HEADER}\nuni,id,1,pupil,\n", ["2 found “pupil” as role, expected one of student, assistant, instructor"]),
    "role close": (f"{HEADER}\nuni,id,1,Student,\n", ["2 found “Student” as role, expected one of student, assistant, instructor (did you mean student?)"]),
    "role of another kind": (f"{HEADER}\nuni,id,1,operator,\n", ["2 found “operator” as role, expected one of student, assistant, instructor"]),
    "value empty": (f"{HEADER}\nuni,id,,student,\n", ["2 found no value, expected a text that is not empty"]),
    "institution empty": (f"{HEADER}\n,id,1,student,\n", ["2 found no institution, expected a name of at most 24 characters: a to z, 0 to 9 and single hyphens, a letter first, no hyphen at the end"]),
    "too few": (f"{HEADER}\n\nuni,id,1\n", ["3 found 3 columns, expected 5 as in the first line"]),
    "too many": (f"{HEADER}\nuni,id,1,student,a,b\n", ["2 found 6 columns, expected 5 as in the first line"]),
    "other separator": (f"{HEADER}\nuni;id;1;student;\n", ["2 found 1 column, expected 5 as in the first line (separated by a comma, not a semicolon)"]),
    "quote left open": (f'{HEADER}\nuni,id,"1,student,\nuni,id,2,pupil,\n', ["2 found a quotation mark that is never closed, expected another one at the end of the value", "3 found “pupil” as role, expected one of student, assistant, instructor"]),
    "quote inside": (f'{HEADER}\nuni,id,"1"2,student,\n', ["2 found a quotation mark inside a value, expected quotes around the whole value, and two of them for one inside it"]),
    "same person": (f"{HEADER}\nuni,id,1,student,\nuni,id,1,assistant,\nuni,id,1,student,\n", ["3 found “1” again, expected each person once: line 2 has the same", "4 found “1” again, expected each person once: line 2 has the same"]),
    "same address": (f"{HEADER}\nuni,email,a@uni.example,student,\nuni,email,A@UNI.example,student,\n", ["3 found “A@UNI.example” again, expected each person once: line 2 has the same"]),
    "same after normal form": (f"{HEADER}\nuni,id,\u00fc,student,\nuni,id,u\u0308,student,\n", ["3 found “\u00fc” again, expected each person once: line 2 has the same"]),
    "not an address": (f"{HEADER}\nuni,email,student1,student,\n", ["2 found “student1” as value, expected an e-mail address"]),
    "look-alike address": (f"{HEADER}\nuni,email,\u0430da@uni.example,student,\n", ["2 found “\u0430da@uni.example” as value, expected an e-mail address"]),
    "shortened number": (f"{HEADER}\nuni,id,\"1,00E+06\",student,\n", ["2 found “1,00E+06”, a number that was shortened, expected all of its digits: format the column as text in your spreadsheet"]),
    "NUL": (f"{HEADER}\nuni,id,1\x00,student,\nuni,id,2,student,\n", ["2 found the invisible character U+0000, expected text: delete it"]),
    "joiner": (f"{HEADER}\nuni,id,1\u200d,student,\n", ["2 found “1\ufffd” as value, expected text without invisible characters"]),
    "Windows-1252": (f"{HEADER}\nuni,id,Prüfling,student,\nuni,id,2,pupil,\n".encode("cp1252"), ["2 found the byte 0xfc, “ü” in Windows-1252, expected UTF-8: save the file with that encoding", "3 found “pupil” as role, expected one of student, assistant, instructor"]),
    "UTF-16": (f"{HEADER}\n".encode("utf-16"), ["1 found UTF-16, expected UTF-8: save the file with that encoding"]),
    "value too long": (f"{HEADER}\nuni,id,{'1' * 501},student,\n", [f"2 found “{'1' * 59}…” as value, expected at most 500 characters"]),
    "line too long": (f"{HEADER}\nuni,id,{'1' * 200_000},student,\n", ["2 found a value that is too long, expected at most 500 characters"]),
    "section too long": (f"{HEADER}\nuni,id,1,student,{'a' * 61}\n", [f"2 found “{'a' * 59}…” as section, expected at most 60 characters"]),
    "institution's name": (f"{HEADER}\nUni Leipzig,id,1,student,\n", ["2 found “Uni Leipzig” as institution, expected a name of at most 24 characters: a to z, 0 to 9 and single hyphens, a letter first, no hyphen at the end"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_each_mistake_at_its_line(tmp_path: Path, name: str) -> None:
    text, expected = WRONG[name]

    assert told(read(tmp_path, text)) == expected


def test_a_huge_roster_is_not_read(tmp_path: Path) -> None:
    assert told(read(tmp_path, b"," * (LIMIT + 1))) == ["0 found a file that is too large, expected at most 4096 KiB"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_what_spreadsheets_write(tmp_path: Path, separator: str, end: str, mark: str) -> None:
    lines = [
        ["role", "value", " institution", '"claim"', "section"],
        ["student", '"Student\'s, ""One"""', "uni", "name", " Mon "],
        [],
        ["", "", "", "", ""],
        ["assistant", "ü;" if separator != ";" else '"ü;"', "uni", "name", ""],
    ]
    roster = read(tmp_path, mark + end.join(separator.join(line) for line in lines) + end)

    assert told(roster) == []
    assert [(row.institution, row.claim, row.value, row.role, row.section) for row in roster.rows] == [
        ("uni", "name", 'Student\'s, "One"', "student", "Mon"),
        ("uni", "name", "ü;", "assistant", ""),
    ]
    assert [entry.line for entry in roster.entries] == [2, 5]


def test_section_may_be_left_out(tmp_path: Path) -> None:
    roster = read(tmp_path, "institution,claim,value,role\nuni,id,1,student")

    assert told(roster) == []
    assert roster.rows[0].section == ""


MISTAKEN = ["uni{s}id{s}{n}{s}pupil{s}", "uni{s}id{s}{n}{s}student", "uni{s}id{s}{s}student{s}", 'uni{s}"id{s}{n}{s}student{s}',
            "Uni{s}id{s}{n}{s}student{s}", "uni{s}email{s}{n}{s}student{s}", "uni{s}id{s}{n}\x00{s}student{s}"]  # fmt: skip
good_or_not = st.lists(
    st.one_of(st.none(), st.sampled_from(["", "{s}{s}{s}{s}"]), st.sampled_from(MISTAKEN)), max_size=40
)


@given(
    lines=good_or_not,
    separator=st.sampled_from([",", ";", "\t"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    mark=st.booleans(),
    before=st.integers(0, 3),
)
def test_mistakes_are_told_at_exactly_the_lines_that_have_them(
    tmp_path_factory: pytest.TempPathFactory,
    *,
    lines: list[str | None],
    separator: str,
    end: str,
    mark: bool,
    before: int,
) -> None:
    written = [""] * before + [HEADER.replace(",", separator)]
    wrong, good = [], []
    for number, line in enumerate(lines):
        template = "uni{s}id{s}{n}{s}student{s}" if line is None else line
        written.append(template.format(s=separator, n=number))
        if line is None:
            good.append(str(number))
        elif line in MISTAKEN:
            wrong.append(len(written))

    roster = read(tmp_path_factory.getbasetemp(), ("\ufeff" if mark else "") + end.join(written))

    assert sorted({mistake.line for mistake in roster.mistakes}) == wrong
    assert [row.value for row in roster.rows] == good
