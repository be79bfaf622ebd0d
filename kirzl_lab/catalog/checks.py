"""What must fit together across files. Works on what was written, so that a mistake in one place hides none in another."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kirzl_lab.catalog.mistakes import one_of_or_meant, shown
from kirzl_lab.catalog.models import Operator, within_domains
from kirzl_lab.catalog.roster_file import RosterFile
from kirzl_lab.catalog.yaml_file import Node, YamlFile


@dataclass(frozen=True, slots=True)
class Asserts:
    """What an institution may assert; None where its file does not say it properly."""

    claims: tuple[str, ...] | None
    domains: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Promise:
    """A claim with a value of an institution, as a roster row or an operator names it."""

    institution: str | None
    claim: str | None
    value: str | None


def sizes_of(sizes: YamlFile) -> list[str] | None:
    """The names of the sizes; None when the file could not be read."""
    return list(sizes.root.mapping("sizes")) if sizes.root else None


def institutions_of(institutions: YamlFile) -> dict[str, Asserts] | None:
    """What each institution may assert; None when the file could not be read."""
    if institutions.root is None:
        return None
    return {
        name: Asserts(_texts(node, "claims", default=("email",)), _texts(node, "domains"))
        for name, node in institutions.root.mapping("institutions").items()
    }


def check_sizes(sizes: YamlFile) -> None:
    """A size names a flavour that there is."""
    if sizes.root is None:
        return
    flavours = list(sizes.root.mapping("flavours"))
    for node in sizes.root.mapping("sizes").values():
        gpu, place = node.text("gpu"), node.at("gpu")
        if gpu and place and gpu not in flavours:
            wanted = one_of_or_meant(gpu, flavours) if flavours else "a flavour, of which this file has none"
            sizes.add(place.line, place.column, f"“{shown(gpu)}”", wanted)


def check_institutions(institutions: YamlFile) -> None:
    """No two institutions have one issuer: a person of the one would be a person of the other."""
    if institutions.root is None:
        return
    seen: dict[str, str] = {}
    for name, node in institutions.root.mapping("institutions").items():
        issuer, place = node.text("issuer"), node.at("issuer")
        if issuer and place:
            first = seen.setdefault(issuer.rstrip("/").lower(), name)
            if first != name:
                institutions.add(place.line, place.column, f"the issuer of {first} again", "an issuer of its own")


def check_operators(lab: YamlFile, institutions: dict[str, Asserts]) -> None:
    """Operators are promised by institutions that may assert what is asked for."""
    seen: dict[Promise, int] = {}
    for node in lab.root.items("operators") if lab.root else []:
        promise = Promise(*(node.text(key) for key in Operator.model_fields))
        for key, found, expected in broken(promise, institutions):
            place = node.at(key) or node
            lab.add(place.line, place.column, found, expected)
        if promise in seen:
            lab.add(node.line, node.column, "an operator again", f"each once: line {seen[promise]} has the same")
        seen.setdefault(promise, node.line)


def check_roster(roster: RosterFile, institutions: dict[str, Asserts]) -> None:
    """Rows are promised by institutions that may assert what is asked for."""
    for entry in roster.entries:
        promise = Promise(*(entry.values.get(key) or None for key in ("institution", "claim", "value")))
        for key, found, expected in broken(promise, institutions):
            roster.add(entry.line, f"{found} as {key}", expected)


def check_course(course: YamlFile, sizes: Iterable[str]) -> None:
    """A course offers sizes that there are."""
    known = list(sizes)
    for node in course.root.items("sizes") if course.root else []:
        if isinstance(node.value, str) and node.value not in known:
            course.add(node.line, node.column, f"the size “{shown(node.value)}”", one_of_or_meant(node.value, known))


def broken(promise: Promise, institutions: dict[str, Asserts]) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a promise: the key, what was found, what was expected."""
    if promise.institution is None:
        return
    asserts = institutions.get(promise.institution)
    if asserts is None:
        yield "institution", f"“{shown(promise.institution)}”", one_of_or_meant(promise.institution, institutions)
        return
    if promise.claim is None:
        return
    if asserts.claims is not None and promise.claim not in asserts.claims:
        wanted = one_of_or_meant(promise.claim, asserts.claims) if asserts.claims else "no claim at all"
        yield "claim", f"“{shown(promise.claim)}”", f"{wanted}: the claims of {promise.institution}"
        return
    if promise.value is None or asserts.domains is None:
        return
    if not within_domains(promise.claim, promise.value, asserts.domains):
        wanted = f"a value in the domains of {promise.institution}: {', '.join(asserts.domains)}"
        yield "value", f"“{shown(promise.value)}”", wanted


def _texts(node: Node, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...] | None:
    if node.at(key) is None:
        return default
    values = tuple(child.value for child in node.items(key) if isinstance(child.value, str))
    return values or None
