"""Files of people, as spreadsheets and registries write them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kirzl_lab.catalog.models import Institution, Role, Text
from kirzl_lab.courses.roster_file import EIGHT_BIT, LARGEST, MOST_ROWS, text_in
from kirzl_lab.courses.roster_upload import MOST_MISTAKES, Defaults, read_upload


def institution(name: str, title: str, *claims: str) -> Institution:
    return Institution(
        title=Text(de=f"Hochschule {title}", en=f"University of {title}"),
        issuer=f"https://login.{name}.example",
        client_id="lab",
        domains=(f"{name}.example",),
        claims=claims,
    )


INSTITUTIONS = {
    "uni": institution("uni", "Musterstadt", "matriculation_number", "email", "eduperson_scoped_affiliation"),
    "uas": institution("uas", "Beispielow", "email"),
}
STUDENT = ("student", "")


NONE = Defaults()


def read(text: str, defaults: Defaults = NONE, encoding: str = "utf-8") -> object:
    """The rows, or the mistakes as (line, sentence)."""
    found = read_upload(text.encode(encoding), INSTITUTIONS, defaults)
    return [(mistake.line, mistake.phrase.text()) for mistake in found.mistakes] or dict(found.rows)


WHOLE = "institution,claim,value,role,section\nuni,email,Student@Uni.example,student,A\nuas,email,assistant@uas.example,assistant,\n"
WHOLE_ROWS = {
    ("uni", "email", "student@uni.example"): ("student", "A"),
    ("uas", "email", "assistant@uas.example"): ("assistant", ""),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_encoding_separator_and_line_end(encoding: str, separator: str, end: str) -> None:
    assert read(WHOLE.replace(",", separator).replace("\n", end), encoding=encoding) == WHOLE_ROWS


@pytest.mark.parametrize("encoding", EIGHT_BIT)
def test_names_survive_every_eight_bit_encoding(encoding: str) -> None:
    text = "Matrikelnummer;E-Mail;Übungsgruppe\n1000001;;Größe\n"
    if encoding in ("cp1252", "cp1250"):
        assert read(text, Defaults("uni"), encoding) == {
            ("uni", "matriculation_number", "1000001"): ("student", "Größe")
        }
    else:  # ambiguous for one short line: what matters is that nothing breaks
        read_upload(text.encode(encoding), INSTITUTIONS, Defaults("uni"))


def test_the_encoding_is_told() -> None:
    assert text_in("Prüfling".encode("cp1252")) == ("Prüfling", "Windows-1252")
    assert text_in("Prüfling".encode("utf-16")) == ("Prüfling", "UTF-16")
    assert text_in("Prüfling".encode()) == ("Prüfling", "UTF-8")


def test_a_registrys_file_in_german() -> None:
    text = "Matrikelnummer;Nachname;Vorname;Gruppe\n1000001;Prüfling;Erste;Dienstag\n1000002;Gasthörer;Zweiter;\n"
    found = read_upload(text.encode("cp1252"), INSTITUTIONS, Defaults("uni"))
    assert dict(found.rows) == {
        ("uni", "matriculation_number", "1000001"): ("student", "Dienstag"),
        ("uni", "matriculation_number", "1000002"): ("student", ""),
    }
    assert (found.left_out, found.encoding, found.separator) == (("Nachname", "Vorname"), "Windows-1252", ";")


def test_institutions_by_title_and_roles_in_german() -> None:
    text = "Einrichtung;E-Mail;Rolle\nhochschule beispielow;assistant@uas.example;Tutorin\nUniversity of Musterstadt;lecturer@uni.example;Dozent\n"
    assert read(text) == {
        ("uas", "email", "assistant@uas.example"): ("assistant", ""),
        ("uni", "email", "lecturer@uni.example"): ("instructor", ""),
    }


def test_the_institutions_first_claim_that_has_a_value_counts() -> None:
    text = "institution,email,matriculation_number\nuni,a@uni.example,1\nuni,b@uni.example,\nuas,c@uas.example,\n"
    assert list(read(text)) == [
        ("uni", "matriculation_number", "1"),
        ("uni", "email", "b@uni.example"),
        ("uas", "email", "c@uas.example"),
    ]


def test_quotes_blank_lines_and_cleared_rows() -> None:
    text = '\n\n"institution","email"\n\n"uni","a@uni.example"\n,\n"uni"," ""b""@uni.example "\n'
    assert read(text) == {("uni", "email", "a@uni.example"): STUDENT, ("uni", "email", '"b"@uni.example'): STUDENT}


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("nowhere,email,a@uni.example,student,", "“nowhere” is no institution of this lab"),
        (",email,a@uni.example,student,", "the institution is missing"),
        ("uni,email,a@uni.example,boss,", "“boss” is no role: student, assistant or instructor"),
        ("uni,email,a.uni.example,student,", "“a.uni.example” is no e-mail address"),
        ("uni,email,a@uas.example,student,", "“a@uas.example” is outside the domains of uni: uni.example"),
        ("uas,matriculation_number,1,student,", "uas does not tell “matriculation_number” of its people, but email"),
        (
            "uni,eduperson_scoped_affiliation,student@uni.example,student,",
            "many people share a value of “eduperson_scoped_affiliation”: take one that a person has alone",
        ),
        ("uni,,a@uni.example,student,", "the claim is missing"),
        ("uni,email,,student,", "the value is missing"),
        ("uni,,,student,", "the line says nothing by which the person can be known"),
        ("uni,matriculation_number,\"1,23E+06\",student,", "“1,23E+06” is a number that the spreadsheet has shortened: format the column as text"),
        ("uni,email,a@uni.example,student,A,more", "there are 6 values, and the first line has 5 columns"),
        (f"uni,matriculation_number,{'1' * 501},student,", "the value of value is too long or has characters that cannot be seen"),
        (f"uni,matriculation_number,1,student,{'x' * 61}", "the value of section is too long or has characters that cannot be seen"),
        ("uni,email,STUDENT@uni.example,student,", "“student@uni.example” stands on line 2 already"),
    ],
)  # fmt: skip
def test_each_mistake_with_its_line_and_no_rows(row: str, sentence: str) -> None:
    assert read(f"institution,claim,value,role,section\nuni,email,student@uni.example,student,\n\n{row}\n") == [
        (4, sentence)
    ]


def test_every_mistake_is_told_at_once() -> None:
    rows = "".join(f"uni,email,x{number},student\n" for number in range(MOST_MISTAKES + 50))
    found = read("institution,claim,value,role\n" + rows)
    assert isinstance(found, list)
    assert [line for line, _ in found] == list(range(2, MOST_MISTAKES + 2))


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("", 1, "the file is empty"),
        ("\n \n", 1, "the file is empty"),
        ("Name;Vorname\nx;y\n", 1, "the first line must name the columns: institution, claim, value, role, section"),
        ("institution;role\nuni;student\n", 1, "there is no column for the e-mail address or number, and none for claim and value"),
        ("email\na@uni.example\n", 1, "there is no column institution: add it, or choose the institution of all rows"),
        ('institution,email\nuni,a@uni.example\nuni,"b@uni.example\nuni,c@uni.example\n', 3, "a quotation mark is not closed, or stands inside a value that has none around it"),
        ("institution,email,value,value\nuni,a@uni.example,1,2\n", 1, "the column “value” is there twice"),
        ("institution,email\nuni," + "x" * 1001, 2, "a cell has more than 1000 characters"),
        ("institution,email\nuni," + "x" * 200_000, 2, "a cell has more than 1000 characters"),
    ],
)  # fmt: skip
def test_files_that_are_no_roster(text: str, line: int, sentence: str) -> None:
    assert read(text) == [(line, sentence)]


def test_limits_on_bytes_and_rows() -> None:
    assert read("x" * (LARGEST + 1)) == [(0, "the file is larger than 1024 KiB")]
    head = "institution,matriculation_number\n"
    most = head + "".join(f"uni,{number}\n" for number in range(MOST_ROWS))
    assert len(read_upload(most.encode(), INSTITUTIONS).rows) == MOST_ROWS
    assert read(most + "uni,x\n") == [(MOST_ROWS + 2, "the file has more than 5000 rows")]


CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)


@given(st.lists(st.lists(CELLS, max_size=7), max_size=8), st.sampled_from([",", ";", "\t", "|"]))
def test_whatever_the_cells_are_rows_are_good_or_there_are_none(rows: list[list[str]], separator: str) -> None:
    text = separator.join(("institution", "claim", "value", "role", "section"))
    text += "".join("\n" + separator.join(cells) for cells in rows)
    found = read_upload(text.encode(), INSTITUTIONS, Defaults("uni"))
    assert not (found.rows and found.mistakes)
    for institution_name, claim, value in found.rows:
        assert claim in INSTITUTIONS[institution_name].claims
        assert value == value.strip()
        assert value.isprintable()


@given(st.binary(max_size=400))
@example(b";")
@example(b"\t\n,")
def test_no_bytes_break_it(data: bytes) -> None:
    found = read_upload(data, INSTITUTIONS, Defaults("uni"))
    assert not (found.rows and found.mistakes)
    for data_with_header in (b"email;value;claim\n" + data, "email;Rolle\n".encode("utf-16") + data):
        again = read_upload(data_with_header, INSTITUTIONS, Defaults("uni"))
        assert all("\x00" not in value for _, _, value in again.rows)


NUMBERS = st.lists(st.integers(0, 99_999_999).map(str), min_size=1, max_size=30, unique=True)


@given(NUMBERS, st.sampled_from(list(Role)[:3]), st.sampled_from(["utf-8-sig", "utf-16", "cp1252"]))
def test_what_is_written_is_what_is_read(numbers: list[str], role: Role, encoding: str) -> None:
    text = "Matrikelnummer;Rolle;Sektion\r\n" + "".join(f"{number};{role};Grüppe\r\n" for number in numbers)
    assert read(text, Defaults("uni"), encoding) == {
        ("uni", "matriculation_number", number): (role.value, "Grüppe") for number in numbers
    }
