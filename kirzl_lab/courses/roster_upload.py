"""From an uploaded file of people to roster rows, or to every mistake in it with its line. Pure.

Guarantees: the answer is rows or mistakes, never an exception; every row can be kept by the institution that it names,
and bound to one person alone; no two rows are for the same promise. Headers, roles and institutions may be written in
English or German; a column that is called like a claim (`email`, `Matrikelnummer`) gives claim and value at once.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from kirzl_lab.catalog.consistency import within_domains
from kirzl_lab.catalog.models import EMAIL, SHARED_CLAIMS, Institution, Role, RosterRow
from kirzl_lab.catalog.roster_file import ABBREVIATED
from kirzl_lab.courses.roster_file import Line, Table, Unreadable, table_in
from kirzl_lab.problems import Phrase
from kirzl_lab.store.difference import Place, Promise

COLUMNS = {
    "institution": ("institution", "einrichtung", "hochschule", "organisation"),
    "claim": ("claim", "merkmal", "attribut"),
    "value": ("value", "wert"),
    "role": ("role", "rolle"),
    "section": ("section", "group", "gruppe", "sektion", "übungsgruppe"),
}
"""Column -> what its header may be called, in small letters."""

CLAIMS = {
    "email": "email",
    "e-mail": "email",
    "mail": "email",
    "e-mail-adresse": "email",
    "e-mail address": "email",
    "matriculation number": "matriculation_number",
    "student number": "matriculation_number",
    "matrikelnummer": "matriculation_number",
    "matrikel-nr.": "matriculation_number",
    "matrikel": "matriculation_number",
    "matrnr": "matriculation_number",
}
"""What columns of a registry's file are called -> the claim whose values they hold."""

ROLES = {
    "student": Role.STUDENT,
    "studentin": Role.STUDENT,
    "student/in": Role.STUDENT,
    "studierende": Role.STUDENT,
    "studierender": Role.STUDENT,
    "studierende/r": Role.STUDENT,
    "teilnahme": Role.STUDENT,
    "teilnehmer": Role.STUDENT,
    "assistant": Role.ASSISTANT,
    "assistent": Role.ASSISTANT,
    "assistentin": Role.ASSISTANT,
    "assistenz": Role.ASSISTANT,
    "tutor": Role.ASSISTANT,
    "tutorin": Role.ASSISTANT,
    "instructor": Role.INSTRUCTOR,
    "lecturer": Role.INSTRUCTOR,
    "dozent": Role.INSTRUCTOR,
    "dozentin": Role.INSTRUCTOR,
    "lehre": Role.INSTRUCTOR,
    "lehrende": Role.INSTRUCTOR,
    "lehrender": Role.INSTRUCTOR,
    "lehrperson": Role.INSTRUCTOR,
}

MOST_MISTAKES = 200
LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong on one line of the file; line 0 is the file as a whole."""

    line: int
    phrase: Phrase


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What a file says. With a mistake, no row of it is to be used."""

    rows: Mapping[Promise, Place]
    mistakes: tuple[Mistake, ...] = ()
    left_out: tuple[str, ...] = ()
    """Headers of columns that mean nothing here, a name for example."""
    encoding: str = ""
    separator: str = ""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What counts for rows of a file without such a column."""

    institution: str = ""
    role: Role = Role.STUDENT


def read_upload(data: bytes, institutions: Mapping[str, Institution], defaults: Defaults = Defaults()) -> Uploaded:
    """The rows of a file, or its mistakes, the first 200 of them."""
    known = _Known.of(institutions)
    try:
        table = table_in(data, lambda cells: len(_columns(cells, known)))
    except Unreadable as error:
        return Uploaded({}, (Mistake(error.line, error.phrase),))
    columns = _columns(table.header.cells, known)
    left_out = tuple(cell for index, cell in enumerate(table.header.cells) if cell and index not in columns)
    rows: Mapping[Promise, Place] = {}
    found = list(_wrong_header(table, columns, defaults))
    if not found:
        rows, found = _rows(table, columns, known, defaults)
    return Uploaded(
        rows={} if found else rows,
        mistakes=tuple(found[:MOST_MISTAKES]),
        left_out=left_out,
        encoding=table.encoding,
        separator=table.separator,
    )


@dataclass(frozen=True, slots=True)
class _Known:
    institutions: Mapping[str, Institution]
    names: Mapping[str, str]
    """Name or title in small letters -> name."""
    claims: frozenset[str]

    @classmethod
    def of(cls, institutions: Mapping[str, Institution]) -> "_Known":
        titles = [(title.lower(), name) for name, one in institutions.items() for title in (one.title.de, one.title.en)]
        names = dict(titles) | {name: name for name in institutions}
        claims = {claim for one in institutions.values() for claim in one.claims}
        return cls(institutions, names, frozenset(claims))


def _columns(cells: Sequence[str], known: _Known) -> dict[int, str]:
    """Index -> `institution`, `claim`, `value`, `role`, `section`, or `=` and a claim; the first of each counts."""
    found: dict[int, str] = {}
    for index, cell in enumerate(cells):
        word = cell.lower()
        column = next((name for name, words in COLUMNS.items() if word in words), None)
        claim = CLAIMS.get(word) or (cell if cell in known.claims else None)
        meaning = column or (f"={claim}" if claim in known.claims and claim not in SHARED_CLAIMS else None)
        if meaning and meaning not in found.values():
            found[index] = meaning
    return found


def _wrong_header(table: Table, columns: Mapping[int, str], defaults: Defaults) -> Iterator[Mistake]:
    line, meanings = table.header.number, set(columns.values())
    if not meanings:
        yield Mistake(line, Phrase("the first line must name the columns: institution, claim, value, role, section"))
        return
    claims = {meaning for meaning in meanings if meaning.startswith("=")}
    if not claims and not {"claim", "value"} <= meanings:
        yield Mistake(line, Phrase("there is no column for the e-mail address or number, and none for claim and value"))
    if "institution" not in meanings and not defaults.institution:
        yield Mistake(line, Phrase("there is no column institution: add it, or choose the institution of all rows"))
    for index, cell in enumerate(table.header.cells):
        if index not in columns and any(cell.lower() in words for words in COLUMNS.values()):
            yield Mistake(line, Phrase("the column “%(column)s” is there twice", {"column": _shown(cell)}))


def _rows(
    table: Table, columns: Mapping[int, str], known: _Known, defaults: Defaults
) -> tuple[dict[Promise, Place], list[Mistake]]:
    rows: dict[Promise, Place] = {}
    lines: dict[Promise, int] = {}
    mistakes: list[Mistake] = []
    for line in table.lines:
        found = _row(line, len(table.header.cells), columns, known, defaults)
        if isinstance(found, Phrase):
            mistakes.append(Mistake(line.number, found))
            continue
        promise, place = found
        if promise in lines:
            same = {"value": _shown(promise[2]), "line": lines[promise]}
            mistakes.append(Mistake(line.number, Phrase("“%(value)s” stands on line %(line)s already", same)))
            continue
        rows[promise], lines[promise] = place, line.number
    return rows, mistakes


def _row(
    line: Line, width: int, columns: Mapping[int, str], known: _Known, defaults: Defaults
) -> tuple[Promise, Place] | Phrase:
    cells = list(line.cells)
    while len(cells) > width and not cells[-1]:
        cells.pop()
    if len(cells) > width:
        counts = {"found": len(cells), "expected": width}
        return Phrase("there are %(found)s values, and the first line has %(expected)s columns", counts)
    cells += [""] * (width - len(cells))
    values = {meaning: cells[index] for index, meaning in columns.items()}
    institution = _institution(values.get("institution", ""), known, defaults)
    if isinstance(institution, Phrase):
        return institution
    role = _role(values.get("role", ""), defaults)
    if isinstance(role, Phrase):
        return role
    promise = _promise(values, institution, known)
    if isinstance(promise, Phrase):
        return promise
    return checked((institution, *promise), role, values.get("section", ""), known.institutions)


def _institution(written: str, known: _Known, defaults: Defaults) -> str | Phrase:
    if not written:
        return defaults.institution or Phrase("the institution is missing")
    name = known.names.get(written.lower())
    if name is None:
        return Phrase("“%(institution)s” is no institution of this lab", {"institution": _shown(written)})
    return name


def _role(written: str, defaults: Defaults) -> Role | Phrase:
    if not written:
        return defaults.role
    role = ROLES.get(written.lower())
    if role is None:
        return Phrase("“%(role)s” is no role: student, assistant or instructor", {"role": _shown(written)})
    return role


def _promise(values: Mapping[str, str], institution: str, known: _Known) -> tuple[str, str] | Phrase:
    """Claim and value: as they are written, or the first of the institution's claims that has a column with a value."""
    if values.get("value") or values.get("claim"):
        claim = values.get("claim", "")
        claim = claim if claim in known.claims else CLAIMS.get(claim.lower(), claim)
        return (claim, values.get("value", "")) if claim else Phrase("the claim is missing")
    columns = {meaning[1:]: value for meaning, value in values.items() if meaning.startswith("=") and value}
    if not columns:
        return Phrase("the line says nothing by which the person can be known")
    one = known.institutions.get(institution)
    claims: Iterable[str] = one.claims if one else ()
    claim = next((claim for claim in claims if claim in columns), next(iter(columns)))
    return claim, columns[claim]


def checked(
    promise: Promise, role: Role, section: str, institutions: Mapping[str, Institution]
) -> tuple[Promise, Place] | Phrase:
    """The row with its values as they are compared, or what is wrong with it. Also for rows that are typed in."""
    institution, claim, value = promise
    one = institutions.get(institution)
    if one is None:
        return Phrase("“%(institution)s” is no institution of this lab", {"institution": _shown(institution)})
    wrong = _wrong_claim(institution, claim, one) or _wrong_value(institution, claim, value, one)
    if wrong is not None:
        return wrong
    if not section.isprintable() or "\ufffd" in section:
        return Phrase("there are characters that cannot be read: save the file as UTF-8")
    try:
        row = RosterRow(institution=institution, claim=claim, value=value, role=role, section=section)
    except ValidationError as error:
        column = str(error.errors()[0]["loc"][0])
        return Phrase("the value of %(column)s is too long or has characters that cannot be seen", {"column": column})
    return (row.institution, row.claim, row.value), (row.role.value, row.section)


def _wrong_claim(institution: str, claim: str, one: Institution) -> Phrase | None:
    if claim in SHARED_CLAIMS:
        return Phrase("many people share a value of “%(claim)s”: take one that a person has alone", {"claim": claim})
    if claim not in one.claims:
        fields = {"institution": institution, "claim": _shown(claim), "claims": ", ".join(personal_claims(one))}
        return Phrase("%(institution)s does not tell “%(claim)s” of its people, but %(claims)s", fields)
    return None


def _wrong_value(institution: str, claim: str, value: str, one: Institution) -> Phrase | None:
    shown = {"value": _shown(value), "institution": institution, "domains": ", ".join(one.domains)}
    normal = unicodedata.normalize("NFC", value)
    wrongs = (
        (not value, Phrase("the value is missing")),
        (
            ABBREVIATED.fullmatch(value) is not None,
            Phrase("“%(value)s” is a number that the spreadsheet has shortened: format the column as text", shown),
        ),
        ("\ufffd" in value, Phrase("there are characters that cannot be read: save the file as UTF-8")),
        (claim == "email" and not EMAIL.fullmatch(normal), Phrase("“%(value)s” is no e-mail address", shown)),
        (
            not within_domains(claim, normal, one.domains),
            Phrase("“%(value)s” is outside the domains of %(institution)s: %(domains)s", shown),
        ),
    )
    return next((phrase for wrong, phrase in wrongs if wrong), None)


def personal_claims(institution: Institution) -> list[str]:
    """The claims of the institution that rows may name: those whose values one person has alone."""
    return [claim for claim in institution.claims if claim not in SHARED_CLAIMS]


def _shown(value: str) -> str:
    return value if len(value) <= LONGEST_SHOWN else value[: LONGEST_SHOWN - 1] + "…"
