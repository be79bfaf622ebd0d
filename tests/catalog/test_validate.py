"""What the models refuse is told in plain English: a table of what people get wrong, one by one."""

import re

import pytest

from kirzl_lab.catalog.explain import TYPES, slot_at
from kirzl_lab.catalog.models import CourseFile, InstitutionsFile, LabFile, RosterRow, SizesFile
from kirzl_lab.catalog.schema import json_schema
from kirzl_lab.catalog.values import MEANING
from tests.catalog.conftest import Site

NAME = MEANING[r"^[a-z](?:-?[a-z0-9])*$"]

WRONG = [
    # file, what is written, what is written instead, line, what is said
    ("course.yaml", "term: 2026/27 winter", "term: 2026", 4, 'found 2026, expected a text, in quotes: "2026"'),
    ("course.yaml", "term: 2026/27 winter", "term: no", 4, None),
    ("course.yaml", "term: 2026/27 winter", "term: true", 4, 'found true, expected a text, in quotes: "True"'),
    ("course.yaml", "term: 2026/27 winter", "term:", 4, "found nothing, expected a text"),
    ("course.yaml", "term: 2026/27 winter", "term: [2026]", 4, "found a list, expected a text"),
    ("course.yaml", "term: 2026/27 winter", "term: ' '", 4, "found “”, expected a text that is not empty"),
    ("course.yaml", "term: 2026/27 winter", "term: " + "x" * 501, 4, f"found “{'x' * 59}…”, expected at most 500 characters"),
    ("course.yaml", "term: 2026/27 winter\n", "", 1, "found no term, expected the key term (the term in which it runs, for example 2026/27 winter)"),
    ("course.yaml", "term: 2026", "tern: 2026", 4, "found the key tern, expected the key term"),
    ("course.yaml", "storage_gib: 5", "storage: 5", 10, "found the key storage, expected one of title, description, term, timezone, starts, ends, image, sizes, default_size, storage_gib, network_reach, idle_hours, max_submission_mib, max_submission_files, late_penalty (did you mean storage_gib?)"),
    ("course.yaml", "storage_gib: 5", "storage_gib: '5'", 10, "found “5”, expected a whole number from 1 to 10000"),
    ("course.yaml", "storage_gib: 5", "storage_gib: 5.5", 10, "found 5.5, expected a whole number from 1 to 10000"),
    ("course.yaml", "storage_gib: 5", "storage_gib: 10001", 10, "found 10001, expected a whole number from 1 to 10000"),
    ("course.yaml", "storage_gib: 5", "storage_gib: 5 GiB", 10, "found “5 GiB”, expected a whole number from 1 to 10000"),
    ("course.yaml", "2026-10-01", "1.10.2026", 6, "found “1.10.2026”, expected a day, for example 2026-10-01"),
    ("course.yaml", "2026-10-01", "2026-02-30", 6, "found “2026-02-30”, expected a day, for example 2026-10-01"),
    ("course.yaml", "2026-10-01", "20261001", 6, "found 20261001, expected a day, for example 2026-10-01"),
    ("course.yaml", "2026-10-01", "2026-10-01T00:00:00Z", 6, "found “2026-10-01T00:00:00Z”, expected a day, for example 2026-10-01"),
    ("course.yaml", "2027-03-31", "2026-03-31", 7, "found “2026-03-31”, expected a day on or after starts, 2026-10-01"),
    ("course.yaml", "Europe/Berlin", "Europe/Berln", 5, "found “Europe/Berln”, expected a time zone of the IANA database, for example Europe/Berlin"),
    ("course.yaml", "Europe/Berlin", "CEST", 5, "found “CEST”, expected a time zone of the IANA database, for example "),
    ("course.yaml", "sizes: [small, large]", "sizes: small", 8, "found “small”, expected a list, for example [a, b]"),
    ("course.yaml", "sizes: [small, large]", "sizes: []", 8, "found a list, expected at least one entry"),
    ("course.yaml", "sizes: [small, large]", "sizes: [small, 5]", 8, 'found 5, expected a text, in quotes: "5"'),
    ("course.yaml", "title:\n  de: Kurs\n  en: Course", "title: Course", 1, "found “Course”, expected a mapping with de, en"),
    ("course.yaml", "  en: Course\n", "", 1, "found no en in title, expected the key en (the text in English)"),
    ("course.yaml", "storage_gib: 5", "image: My Image", 10, "found “My Image”, expected the name of an image, for example notebook"),
    ("course.yaml", "storage_gib: 5", "network_reach: lan", 10, "found “lan”, expected one of none, package-mirrors, internet"),
    ("course.yaml", "storage_gib: 5", "idle_hours: 0", 10, "found 0, expected a number above 0 and at most 168"),
    ("sizes.yaml", "cpus: 1", "cpus: 1\n    guaranteed_cpus: 2", 11, "found 2, expected at most 1, the limit of this size"),
    ("sizes.yaml", "share: whole", "share: whole\n    runtime_class: NVIDIA", 5, "found “NVIDIA”, expected the name of a RuntimeClass, for example nvidia"),
    ("lab.yaml", "contact: help@uni.example", "contact: help@uni.example\npackage_mirrors: ['packages.uni.example/simple']", 3, "found “packages.uni.example/simple”, expected a host in lower case"),
    ("sizes.yaml", "cpus: 1", "cpus: 0", 10, "found 0, expected a number above 0 and at most 256"),
    ("sizes.yaml", "cpus: 1", "cpus: '1'", 10, "found “1”, expected a number above 0 and at most 256"),
    ("sizes.yaml", "cpus: 1", "cpus: .inf", 10, "found “.inf”, expected a number above 0 and at most 256"),
    ("sizes.yaml", "share: whole", "share: hole", 4, "found “hole”, expected one of whole, mig, shared (did you mean whole?)"),
    ("sizes.yaml", "share: whole", "share: 5", 4, "found 5, expected one of whole, mig, shared"),
    ("sizes.yaml", "nvidia.com/gpu", "gpu", 3, "found “gpu”, expected a Kubernetes resource name, for example nvidia.com/gpu"),
    ("sizes.yaml", "  large:", "  Large--1:", 12, f"found the name “Large--1”, expected {NAME}"),
    ("sizes.yaml", "  large:", f"  l{'a' * 24}rge:", 12, "found the name “"),
    ("lab.yaml", "help@uni.example", "me", 2, "found “me”, expected an e-mail address, for example lab-help@uni.example"),
    ("lab.yaml", "contact: help@uni.example", "contact: help@uni.example\nsession_hours: 200", 3, "found 200, expected a whole number from 1 to 168"),
    ("lab.yaml", "    value: operator@uni.example\n", "", 4, "found no value in operators.1, expected the key value ("),
    ("lab.yaml", "operators:", "operator:", 3, "found the key operator, expected one of title, contact, session_hours, operators, package_mirrors, course_creators, grace_minutes (did you mean operators?)"),
    ("institutions.yaml", "demo: true", "demo: yes", 12, "found “yes”, expected true or false"),
    ("institutions.yaml", "[firm.example]", "[firm]", 11, "found “firm”, expected a domain in lower case, for example uni.example"),
    ("institutions.yaml", "[firm.example]", "[firm.example]\n    algorithm: HS256", 12, "found “HS256”, expected one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA (did you mean "),
    ("institutions.yaml", "[firm.example]", "[firm.example]\n    algorithm: none", 12, "found “none”, expected one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"),
    ("institutions.yaml", "[firm.example]", "[firm.example]\n    client_secret: hunter2", 12, "found the key client_secret, expected client_secret_env with the name of an environment variable: no secret goes into this file"),
    ("institutions.yaml", "[firm.example]", "[firm.example]\n    client_secret_env: hunter2", 12, "found something else (not shown here, it may be a secret), expected the name of an environment variable, for example KIRZL_LAB_UNI_SECRET"),
    ("institutions.yaml", "[firm.example]", "[firm.example]\n    claims: [e mail]", 12, "found “e mail”, expected the name of a claim, for example email"),
]  # fmt: skip

JARGON = re.compile(
    r"pydantic|input|valid (string|integer)|type=|\[type|https?://errors|errors\.|schema|dict\b|tuple\b|None\b|Value error|should"
)


@pytest.mark.parametrize(("name", "old", "new", "line", "message"), WRONG)
def test_each_mistake_in_plain_words_at_its_line(
    site: Site, *, name: str, old: str, new: str, line: int, message: str | None
) -> None:
    site.change(name, old, new)
    # A size that cannot be read is missed where it is named; that is another mistake.
    told = [text for text in site.told() if text.startswith(f"{site.path(name).relative_to(site.root)}:")]

    if message is None:
        assert told == []
        return
    (text,) = told
    assert text.startswith(f"{site.path(name).relative_to(site.root)}:{line}: {message}")
    assert not JARGON.search(text), text
    assert "hunter2" not in text


def test_all_mistakes_of_one_file_are_told(site: Site) -> None:
    site.path("course.yaml").write_text(
        "titel: {de: 1, en: B}\nterm: 5\nstarts: x\nends: y\nsizes: small\nstorage_gib: 0\nmore: 1\n", encoding="utf-8"
    )

    lines = [mistake.line for mistake in site.mistakes()]
    assert lines == [1, 1, 2, 3, 4, 5, 6, 7], "the first line lacks title (told as titel) and default_size"


def test_a_file_that_is_a_list_or_a_text(site: Site) -> None:
    site.path("lab.yaml").write_text("# comment\n- title\n", encoding="utf-8")
    site.path("course.yaml").write_text("just words\n", encoding="utf-8")

    assert site.told() == [
        "courses/ml-101/course.yaml:1: found “just words”, expected a mapping with title, description, term, timezone, "
        "starts, ends, image, sizes, default_size, storage_gib, network_reach, idle_hours, max_submission_mib, max_submission_files, late_penalty",
        "hub_config/lab.yaml:2: found a list, expected a mapping with title, contact, session_hours, operators, "
        "package_mirrors, course_creators, grace_minutes",
    ]


def test_every_pattern_of_the_models_has_a_meaning() -> None:
    def patterns(part: object) -> set[str]:
        if isinstance(part, dict):
            own = {part["pattern"]} if isinstance(part.get("pattern"), str) else set()
            keys = set(part.get("patternProperties", {}))
            return own | keys | set().union(*(patterns(value) for value in part.values()), set())
        return set().union(*(patterns(value) for value in part), set()) if isinstance(part, list) else set()

    for model in (LabFile, SizesFile, InstitutionsFile, CourseFile, RosterRow):
        assert patterns(json_schema(model)) <= set(MEANING)


def test_places_that_no_model_has_are_no_error() -> None:
    assert slot_at(LabFile, ("nothing", 3, "here")).type is None
    assert TYPES["bool"] == "true or false"
