"""Values on top of each other, as Helm has them; the catalogue in them is checked as the lab will read it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.cli.cluster.packing import courses_in, pack
from kirzl_lab.cli.cluster.values import Site, check, merged, read, with_nearest
from kirzl_lab.cli.exits import Exit, Stop

ROOT = Path(__file__).parents[3]
ONE_MACHINE = ROOT / "helm" / "kirzl-lab" / "examples" / "one-machine.yaml"

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
values = st.dictionaries(st.sampled_from("abc"), json, max_size=3)


@pytest.mark.parametrize(
    ("below", "above", "together"),
    [
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": {"b": 1, "c": 1}}, {"a": {"b": 2}}, {"a": {"b": 2, "c": 1}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": None}, {}),
        ({"a": {"b": 1, "c": 1}}, {"a": {"b": None}}, {"a": {"c": 1}}),
        ({"a": 1}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({}, {}, {}),
    ],
)
def test_later_values_win(below: dict[str, Any], above: dict[str, Any], together: dict[str, Any]) -> None:
    assert merged(below, above) == together


@given(values, values)
def test_nothing_given_is_changed_by_merging(below: dict[str, Any], above: dict[str, Any]) -> None:
    before = repr((below, above))
    together = merged(below, above)
    assert repr((below, above)) == before
    assert merged(together, above) == together


def test_folders_become_values(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("publicUrl: http://localhost:8000")
    found = Site((own,), ROOT / "hub_config", ROOT / "courses").on_top(archive_there=None)
    assert set(found) == {"lab", "sizes", "institutions", "courses"}
    assert found["lab"] == read(ROOT / "hub_config" / "lab.yaml")
    assert courses_in(found["courses"]["archive"]) == ["dl-201", "ml-101"]


def test_the_catalogue_is_in_one_place(tmp_path: Path) -> None:
    # Helm would merge them: a size that a site took out of its folder would live on in its values.
    own = tmp_path / "own.yaml"
    own.write_text("sizes: {sizes: {left-over: {cpus: 1}}}\ninstitutions: {}\nlab: {contact: x}")
    with pytest.raises(Stop, match=r"own\.yaml has lab and sizes, and so has .*hub_config: take them out") as stop:
        Site((own,), ROOT / "hub_config").on_top(None)
    assert stop.value.code == Exit.USAGE
    assert Site((own,)).on_top(None) == {}


def test_without_courses_the_lab_keeps_those_that_it_has(tmp_path: Path) -> None:
    there = pack(ROOT / "courses")
    assert Site((ONE_MACHINE,)).on_top(there) == {"courses": {"archive": there}}
    assert Site((ONE_MACHINE,)).on_top(None) == {}
    own = tmp_path / "own.yaml"
    own.write_text("courses: {archive: mine}")
    assert Site((ONE_MACHINE, own)).on_top(there) == {}


def test_a_good_catalogue_passes() -> None:
    check(Site((ONE_MACHINE,)), merged(read(ONE_MACHINE), {"courses": {"archive": pack(ROOT / "courses")}}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lab": {"contact": "nobody"}}, "lab.yaml"),
        ({"sizes": {"sizes": {"cpu-small": {"gpu": "no-such"}}}}, "no-such"),
        ({"sizes": {"sizes": {"cpu-small": None}}}, "cpu-small"),
    ],
)
def test_every_mistake_stops_before_anything_is_done(change: dict[str, Any], said: str) -> None:
    wrong = merged(read(ONE_MACHINE), change, {"courses": {"archive": pack(ROOT / "courses")}})
    with pytest.raises(Stop) as stop:
        check(Site((ONE_MACHINE,)), wrong)
    assert stop.value.code == Exit.NO
    assert any(said in line for line in stop.value.lines)
    assert not any("/tmp" in line for line in stop.value.lines)


DEFAULTS = read(ROOT / "helm" / "kirzl-lab" / "values.yaml")


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("- at '/images': additional properties 'pullPolcy', 'x' not allowed", "pullPolicy for pullPolcy?"),
        ("- at '': additional properties 'publicURL' not allowed", "publicUrl for publicURL?"),
        ("  - at '/network/dns': additional properties 'port' not allowed", "ports for port?"),
        ("- at '/hub': additional properties 'replicas' not allowed", None),
        ("- at '/sizes/sizes/a': additional properties 'gpus' not allowed", None),
        ("- at '/service/replicas': minimum: got 0, want 1", None),
    ],
)
def test_a_key_that_the_chart_does_not_know_is_answered_with_the_nearest(line: str, meant: str | None) -> None:
    said = with_nearest(line, DEFAULTS)
    assert said == (line if meant is None else f"{line} (did you mean {meant})")


def test_what_is_no_yaml_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [")
    with pytest.raises(Stop, match="is no YAML"):
        read(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("- a")
    with pytest.raises(Stop, match="holds no keys"):
        read(tmp_path / "b.yaml")
    with pytest.raises(Stop, match="cannot be read"):
        read(tmp_path / "c.yaml")
