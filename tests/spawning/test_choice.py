"""The choice: a table of who may open what, and properties of names."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.catalog.models import Flavour, NetworkReach, Role, Size, Text, is_space_name
from kirzl_lab.problems import (
    BadOptions,
    BadServerName,
    NameBound,
    NameTaken,
    NotAMember,
    Phrase,
    Problem,
    PurposeRefused,
    SizeFull,
    SizeNotAllowed,
    SizeUnavailable,
    SpaceNotOpen,
    UnknownSpace,
)
from kirzl_lab.spawning.choice import (
    PURPOSES,
    Binding,
    Facts,
    Request,
    SpaceFacts,
    decide,
    is_open,
    is_server_name,
    parse_options,
    server_name_for,
)

SMALL = Size(title=Text(de="Klein", en="Small"), cpus=1, memory_gib=2)
SLICE = Size(title=Text(de="Scheibe", en="Slice"), cpus=2, memory_gib=8, gpu="slice")
SPACE = SpaceFacts(
    name="ml-101",
    title=Text(de="Maschinelles Lernen", en="Machine learning"),
    description=None,
    kind="course",
    term="2026/27",
    sizes=("cpu-small", "gpu-slice", "gone"),
    default_size="cpu-small",
    starts=date(2026, 10, 1),
    ends=date(2027, 3, 31),
    materials=None,
    image="notebook",
    storage_gib=5,
    network_reach=NetworkReach.NONE,
    idle_hours=2,
    timezone="Europe/Berlin",
)
FLAVOUR = Flavour(resource="nvidia.com/mig-1g.10gb", share="mig", memory_gib=10, watts=100)
FACTS = Facts(
    hub_name="p2345678",
    institution="uni",
    space=SPACE,
    role=Role.STUDENT,
    bindings=(),
    sizes={"cpu-small": SMALL, "gpu-slice": SLICE, "cpu-large": SMALL},
    flavours={"slice": FLAVOUR},
    unavailable={"gpu-slice": Phrase("no GPU")},
    today=date(2026, 11, 1),
)
WORK = Request(space="ml-101", purpose="work", size="cpu-small")

names = st.from_regex(r"[a-z](-?[a-z0-9]){0,23}", fullmatch=True).filter(is_space_name)


def test_a_student_gets_the_size_they_asked_for() -> None:
    choice = decide(FACTS, "ml-101", WORK)
    assert (choice.hub_name, choice.server_name, choice.space, choice.purpose) == (
        "p2345678",
        "ml-101",
        "ml-101",
        "work",
    )
    assert (choice.size_name, choice.size, choice.role) == ("cpu-small", SMALL, Role.STUDENT)
    assert not choice.staff


REFUSALS: list[tuple[str, dict[str, Any], str, dict[str, str], type[Problem], int]] = [
    ("unknown space", {"space": None}, "ml-101", {}, UnknownSpace, 404),
    ("not a member", {"role": None}, "ml-101", {}, NotAMember, 403),
    ("student previews", {}, "ml-101", {"purpose": "preview"}, PurposeRefused, 403),
    ("before it starts", {"today": date(2026, 9, 30)}, "ml-101", {}, SpaceNotOpen, 403),
    ("after it ends", {"today": date(2027, 4, 1)}, "ml-101", {}, SpaceNotOpen, 403),
    ("a size of another space", {}, "ml-101", {"size": "cpu-large"}, SizeNotAllowed, 403),
    ("a size that the site no longer has", {}, "ml-101", {"size": "gone"}, SizeNotAllowed, 403),
    ("no GPU here", {}, "ml-101", {"size": "gpu-slice"}, SizeUnavailable, 409),
    ("the default server", {}, "", {}, BadServerName, 400),
    ("a name with a slash", {}, "a/b", {}, BadServerName, 400),
    ("31 characters", {}, "a" * 31, {}, BadServerName, 400),
    ("a second name", {"bindings": [Binding("first", "ml-101", "work")]}, "second", {}, NameTaken, 409),
    ("a name of another space", {"bindings": [Binding("mine", "dl-201", "work")]}, "mine", {}, NameBound, 409),
    ("a name of the preview", {"bindings": [Binding("mine", "ml-101", "preview")]}, "mine", {}, NameBound, 409),
]


@pytest.mark.parametrize(
    ("case", "facts", "server", "request_", "problem", "status"), REFUSALS, ids=[r[0] for r in REFUSALS]
)
def test_refusals(
    case: str, facts: dict[str, Any], server: str, request_: dict[str, Any], problem: type[Problem], status: int
) -> None:
    with pytest.raises(problem) as refused:
        decide(replace(FACTS, **facts), server, replace(WORK, **request_))
    assert refused.value.status == status
    assert refused.value.text().endswith(".")


def test_a_second_name_is_told_the_first() -> None:
    with pytest.raises(NameTaken, match="first"):
        decide(replace(FACTS, bindings=[Binding("first", "ml-101", "work")]), "second", WORK)


@pytest.mark.parametrize("role", [Role.INSTRUCTOR, Role.ASSISTANT])
def test_staff_may_preview_and_come_before_and_after(role: Role) -> None:
    for today in (date(2020, 1, 1), date(2040, 1, 1)):
        facts = replace(FACTS, role=role, today=today)
        assert decide(facts, "ml-101", WORK).staff
        assert not decide(facts, "view", replace(WORK, purpose="preview")).staff


def test_both_ends_of_a_term_count() -> None:
    assert is_open(SPACE, date(2026, 10, 1))
    assert is_open(SPACE, date(2027, 3, 31))
    assert is_open(replace(SPACE, starts=None, ends=None), date(1, 1, 1))


BAD_OPTIONS: list[object] = [
    None,
    {},
    [],
    "ml-101",
    7,
    {"space": "ml-101", "purpose": "work"},
    {"space": "ml-101", "size": "cpu-small"},
    {"purpose": "work", "size": "cpu-small"},
    {"space": "ml-101", "purpose": "work", "size": "cpu-small", "image": "evil"},
    {"space": "ml-101", "purpose": "work", "size": "cpu-small", "profile": "x"},
    {"space": "../../etc", "purpose": "work", "size": "cpu-small"},
    {"space": "ml-101\n", "purpose": "work", "size": "cpu-small"},
    {"space": "ml\x00", "purpose": "work", "size": "cpu-small"},
    {"space": ["ml-101"], "purpose": "work", "size": "cpu-small"},
    {"space": "ml-101", "purpose": ["work"], "size": "cpu-small"},
    {"space": "ml-101", "purpose": "WORK", "size": "cpu-small"},
    {"space": "ml-101", "purpose": "work", "size": {"a": 1}},
    {"space": "m" * 1_000_000, "purpose": "work", "size": "cpu-small"},
    {"space": "ml-101", "purpose": "work", "size": "cpu-small", "k" * 1_000_000: 1},
]


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=range(len(BAD_OPTIONS)))
def test_malformed_options_are_one_plain_sentence(options: object) -> None:
    with pytest.raises(BadOptions) as refused:
        parse_options(options)
    assert refused.value.status == 400
    assert len(refused.value.text()) < 300


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
nearly = st.fixed_dictionaries(
    {"space": json | names, "purpose": json | st.sampled_from(PURPOSES), "size": json | names}
)


@given(json | nearly)
def test_any_options_are_a_request_or_a_refusal(options: object) -> None:
    try:
        request = parse_options(options)
    except BadOptions:
        return
    assert isinstance(options, Mapping)
    assert {"space": request.space, "purpose": request.purpose, "size": request.size} == dict(options)
    assert is_space_name(request.space)
    assert is_space_name(request.size)


@given(names, st.sampled_from(PURPOSES), st.lists(st.tuples(names, names, st.sampled_from(PURPOSES)), max_size=8))
def test_the_page_always_finds_a_name_that_the_rules_allow(space: str, purpose: Any, others: list[Any]) -> None:
    taken: dict[str, Binding] = {}
    for name, other, other_purpose in others:
        meanings = {(binding.space, binding.purpose) for binding in taken.values()}
        if (other, other_purpose) not in meanings:
            taken.setdefault(name, Binding(name, other, other_purpose))
    bindings = list(taken.values())
    name = server_name_for(space, purpose, bindings)
    assert is_server_name(name)
    facts = replace(FACTS, space=replace(SPACE, name=space), role=Role.INSTRUCTOR, bindings=bindings)
    assert decide(facts, name, Request(space=space, purpose=purpose, size="cpu-small")).server_name == name


@given(names)
def test_space_names_are_server_names(name: str) -> None:
    assert is_server_name(name)
    assert len(name) <= 24
    assert "--" not in name


@given(st.text(max_size=40))
def test_server_names_are_what_jupyterhub_takes(name: str) -> None:
    from jupyterhub.slugs import is_valid_safe_slug

    if is_server_name(name):
        assert is_valid_safe_slug(name)


def test_a_size_whose_gpus_are_all_in_use_is_refused_with_what_else_there_is() -> None:
    facts = replace(FACTS, unavailable={}, full={"gpu-slice": 8})
    request = replace(WORK, size="gpu-slice")
    with pytest.raises(SizeFull) as refused:
        decide(facts, "ml-101", request)
    problem = refused.value
    assert problem.status == 409
    assert problem.text() == (
        "Every GPU of the size “gpu-slice” is in use (8 of 8): take cpu-small now, or try again later."
    )
    assert {key: problem.fields[key] for key in ("space", "purpose", "cpu_sizes")} == {
        "space": "ml-101",
        "purpose": "work",
        "cpu_sizes": ("cpu-small",),
    }
    assert decide(facts, "ml-101", WORK).size_name == "cpu-small"


def test_a_space_without_cpu_sizes_offers_none() -> None:
    facts = replace(FACTS, space=replace(SPACE, sizes=("gpu-slice",)), unavailable={}, full={"gpu-slice": 8})
    with pytest.raises(SizeFull, match=r"\(8 of 8\): try again later\.$"):
        decide(facts, "ml-101", replace(WORK, size="gpu-slice"))


def test_a_name_that_is_taken_is_told_before_a_size_that_is_full() -> None:
    facts = replace(FACTS, bindings=(Binding("other", "ml-101", "work"),), unavailable={}, full={"gpu-slice": 8})
    with pytest.raises(NameTaken):
        decide(facts, "ml-101", replace(WORK, size="gpu-slice"))


def test_a_choice_knows_the_sizes_without_a_gpu_that_can_be_had() -> None:
    assert decide(FACTS, "ml-101", WORK).cpu_sizes == ("cpu-small",)
