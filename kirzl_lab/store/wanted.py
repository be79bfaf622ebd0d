"""What the catalogue wants the lab to remember. Pure.

Guarantees: what comes out can be stored on both databases, and holds no contradiction.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kirzl_lab.catalog.models import Catalogue, Kind, Operator, Role, RosterRow
from kirzl_lab.problems import CatalogueRefused
from kirzl_lab.store.difference import InstitutionFacts, Place, Promise, SpaceFacts
from kirzl_lab.store.tables import storable


@dataclass(frozen=True, slots=True)
class Wanted:
    """The catalogue in the words of the comparison."""

    institutions: dict[str, InstitutionFacts]
    spaces: dict[str, SpaceFacts]
    rosters: dict[str | None, dict[Promise, Place]]
    """By space; None has the operators."""


def wanted_by(catalogue: Catalogue, issuers: Mapping[str, str]) -> Wanted:
    """What the lab should remember. Raises `CatalogueRefused` for what no single file shows to be wrong."""
    wanted = Wanted(
        institutions={
            name: InstitutionFacts(
                name=name,
                issuer=issuers.get(name),
                demo=institution.demo,
                title_de=institution.title.de,
                title_en=institution.title.en,
            )
            for name, institution in catalogue.institutions.items()
        },
        spaces={
            name: SpaceFacts(
                name=name,
                kind=Kind.COURSE.value,
                title_de=course.file.title.de,
                title_en=course.file.title.en,
                spec=course.file.model_dump(mode="json"),
                managed_by=f"{name}/course.yaml",
            )
            for name, course in catalogue.courses.items()
        },
        rosters={
            name: _promises(f"the roster of {name}", ((r, r.role, r.section) for r in course.roster))
            for name, course in catalogue.courses.items()
        },
    )
    wanted.rosters[None] = _promises("operators", ((o, Role.OPERATOR, "") for o in catalogue.lab.operators))
    _refuse_contradictions(wanted)
    return wanted


def _promises(where: str, rows: Iterable[tuple[RosterRow | Operator, Role, str]]) -> dict[Promise, Place]:
    promises: dict[Promise, Place] = {}
    for row, role, section in rows:
        promise = (row.institution, row.claim, row.value.lower() if row.claim == "email" else row.value)
        place = (role.value, section)
        if promises.setdefault(promise, place) != place:
            raise CatalogueRefused(reason=f"{where} promises two different roles or sections to {' '.join(promise)}")
    return promises


def _refuse_contradictions(wanted: Wanted) -> None:
    owners: dict[str, str] = {}
    for name, facts in wanted.institutions.items():
        if facts.issuer is None and not facts.demo:
            raise CatalogueRefused(reason=f"the institution {name} has no issuer")
        if facts.issuer is not None and owners.setdefault(facts.issuer, name) != name:
            raise CatalogueRefused(
                reason=f"the institutions {owners[facts.issuer]} and {name} have one issuer, {facts.issuer}"
            )
        _refuse_unstorable(f"the institution {name}", (facts.issuer or "", facts.title_de, facts.title_en))
    for name, space in wanted.spaces.items():
        _refuse_unstorable(f"the course {name}", texts_of(space.spec))
    for space_name, roster in wanted.rosters.items():
        where = f"the roster of {space_name}" if space_name else "operators"
        for promise, (_, section) in roster.items():
            if promise[0] not in wanted.institutions:
                raise CatalogueRefused(reason=f"{where} names the institution {promise[0]}, which does not exist")
            _refuse_unstorable(where, (*promise, section))


def texts_of(value: object) -> Iterator[str]:
    """Every text in a value of JSON, names of fields left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts_of(part)


def _refuse_unstorable(where: str, texts: Iterable[str]) -> None:
    for value in texts:
        if not storable(value):
            raise CatalogueRefused(reason=f"{where} holds a text with a NUL character or half a character: {value!r}")
