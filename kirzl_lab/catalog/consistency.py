"""What must fit together across files. Works on what was written, so that a mistake in one place hides none in another."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from kirzl_lab.catalog.mistakes import one_of_or_meant, shown
from kirzl_lab.catalog.models import EMAIL, SCOPED_CLAIMS, SHARED_CLAIMS, CourseCreators, Operator
from kirzl_lab.catalog.roster_file import RosterFile
from kirzl_lab.catalog.yaml_file import Node, YamlFile


@dataclass(frozen=True, slots=True)
class Asserts:
    """What an institution may assert; None where its file does not say it properly."""

    claims: tuple[str, ...] | None
    domains: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a roster row or an operator asks for, as far as it was written properly."""

    institution: str | None
    claim: str | None
    value: str | None


def sizes_of(sizes: YamlFile) -> list[str] | None:
    """The names of the sizes; None when the file does not tell any."""
    return (list(sizes.root.mapping("sizes")) or None) if sizes.root else None


def institutions_of(institutions: YamlFile) -> dict[str, Asserts] | None:
    """What each institution may assert; None when the file does not tell any."""
    if institutions.root is None:
        return None
    found = {
        name: Asserts(_texts(node, "claims", default=("email",)), _texts(node, "domains"))
        for name, node in institutions.root.mapping("institutions").items()
    }
    return found or None


def check_sizes(sizes: YamlFile) -> None:
    """A size names a flavour that there is."""
    if sizes.root is None:
        return
    flavours = list(sizes.root.mapping("flavours"))
    if not flavours and set(sizes.root.mapping()) - {"sizes", "flavours"}:
        # Most likely they are there under a wrong key, which is told.
        return
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
    """Operators are promised by institutions that may assert what is asked for, each once."""
    seen: dict[Wanted, int] = {}
    for node in lab.root.items("operators") if lab.root else []:
        wanted = Wanted(*(node.text(key) for key in Operator.model_fields))
        for key, found, expected in broken(wanted, institutions):
            place = node.at(key) or node
            lab.add(place.line, place.column, found, expected)
        if wanted in seen:
            lab.add(node.line, node.column, "an operator again", f"each once: line {seen[wanted]} has the same")
        seen.setdefault(wanted, node.line)


def check_course_creators(lab: YamlFile, institutions: dict[str, Asserts]) -> None:
    """Course creators are promised by institutions that may assert what is asked for, each once.

    What many people share is what is meant here, unlike in rosters.
    """
    seen: dict[Wanted, int] = {}
    for node in lab.root.items("course_creators") if lab.root else []:
        wanted = Wanted(*(node.text(key) for key in CourseCreators.model_fields))
        for key, found, expected in broken(wanted, institutions, shared=True):
            place = node.at(key) or node
            lab.add(place.line, place.column, found, expected)
        if wanted in seen:
            lab.add(node.line, node.column, "course creators again", f"each once: line {seen[wanted]} has the same")
        seen.setdefault(wanted, node.line)


def check_roster(roster: RosterFile, institutions: dict[str, Asserts]) -> None:
    """Rows are promised by institutions that may assert what is asked for."""
    for entry in roster.entries:
        wanted = Wanted(*(entry.values.get(key) or None for key in ("institution", "claim", "value")))
        for key, found, expected in broken(wanted, institutions):
            roster.add(entry.line, f"{found} as {key}", expected)


def check_course(course: YamlFile, sizes: Iterable[str]) -> None:
    """A course offers sizes that there are."""
    known = list(sizes)
    for node in course.root.items("sizes") if course.root else []:
        if isinstance(node.value, str) and node.value not in known:
            course.add(node.line, node.column, f"the size “{shown(node.value)}”", one_of_or_meant(node.value, known))


def check_default_size(course: YamlFile) -> None:
    """The default size of a course is one that it offers."""
    if course.root is None:
        return
    offered = [node.value for node in course.root.items("sizes") if isinstance(node.value, str)]
    default, place = course.root.text("default_size"), course.root.at("default_size")
    if offered and default and place and default not in offered:
        wanted = f"{one_of_or_meant(default, offered)}, the sizes of this course"
        course.add(place.line, place.column, f"“{shown(default)}”", wanted)


def broken(wanted: Wanted, institutions: dict[str, Asserts], *, shared: bool = False) -> Iterator[tuple[str, str, str]]:
    """What no institution can keep: the key, what was found, what was expected. At most one, the first.

    With `shared`, claims whose values many people have are as good as others.
    """
    if not shared and wanted.claim is not None and wanted.claim in SHARED_CLAIMS:
        yield "claim", f"“{shown(wanted.claim)}”", "a claim that one person has alone, for example email"
        return
    if wanted.institution is None:
        return
    asserts = institutions.get(wanted.institution)
    if asserts is None:
        yield "institution", f"“{shown(wanted.institution)}”", one_of_or_meant(wanted.institution, institutions)
    elif wanted.claim is not None and asserts.claims is not None and wanted.claim not in asserts.claims:
        expected = one_of_or_meant(wanted.claim, asserts.claims)
        yield "claim", f"“{shown(wanted.claim)}”", f"{expected}, the claims of {wanted.institution}"
    elif wanted.claim is not None and wanted.value is not None and asserts.domains is not None:
        if wanted.claim == "email" and not EMAIL.fullmatch(wanted.value):
            # The model says so already.
            return
        if not within_domains(wanted.claim, wanted.value, asserts.domains):
            expected = f"a value in the domains of {wanted.institution}: {', '.join(asserts.domains)}"
            yield "value", f"“{shown(wanted.value)}”", expected


def _texts(node: Node, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...] | None:
    if node.at(key) is None:
        return default
    values = tuple(child.value for child in node.items(key) if isinstance(child.value, str))
    return values or None


def within_domains(claim: str, value: str, domains: Collection[str]) -> bool:
    """Whether an institution with `domains` may assert `value` for `claim`.

    The scope of a scoped claim is what follows its one `@` (the whole value of `schac_home_organization`); it must be
    one of the domains exactly, in any case of letters. Other claims have no scope.
    """
    if claim not in SCOPED_CLAIMS:
        return True
    local, at, scope = value.rpartition("@")
    if claim != "schac_home_organization" and (not at or not local or "@" in local):
        return False
    return scope.lower() in domains
