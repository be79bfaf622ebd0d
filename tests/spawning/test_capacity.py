"""Units of a GPU flavour: how many there are, who holds them, and what follows for sizes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.catalog.models import Flavour, Size, Text, Toleration
from kirzl_lab.spawning import capacity
from kirzl_lab.spawning.capacity import Servers, Units

MIG = "nvidia.com/mig-1g.10gb"
SLICE = Flavour(resource=MIG, share="mig", memory_gib=10, watts=100)
TITLE = Text(de="x", en="x")
SIZES = {
    "cpu": Size(title=TITLE, cpus=1, memory_gib=1),
    "gpu": Size(title=TITLE, cpus=1, memory_gib=1, gpu="slice"),
}


def node(name: str, units: object = 8, *, ready: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": more.pop("labels", {})},
        "spec": more,
        "status": {
            "allocatable": {"cpu": "2", MIG: str(units)} if units is not None else {"cpu": "2"},
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": str(ready)}],
        },
    }


def server(name: str, phase: str = "Running", on: str | None = "a", **spec: Any) -> dict[str, Any]:
    container = {"resources": {"limits": {"cpu": "1", MIG: "1"}}}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [container], **({"nodeName": on} if on else {}), **spec},
        "status": {"phase": phase},
    }


def units(nodes: list[dict[str, Any]], flavour: Flavour = SLICE, **servers: Any) -> Units:
    return capacity.units(flavour, nodes, Servers(**servers))


def test_units_are_those_of_all_nodes_that_serve() -> None:
    nodes = [node("a", 8), node("b", 4), node("down", 8, ready=False), node("cordoned", 8, unschedulable=True)]
    assert units([*nodes, node("without", None)]) == Units(12, 0)
    assert units([node("a", "1k")]).total == 1000
    assert units([]) == Units(0, 0)
    assert units([{"metadata": {"name": "new"}}]) == Units(0, 0)


@pytest.mark.parametrize(
    ("taint", "serves"),
    [
        ({"key": "nvidia.com/gpu", "effect": "NoSchedule"}, True),
        ({"key": "nvidia.com/gpu", "effect": "NoExecute"}, False),
        ({"key": "for", "value": "teaching", "effect": "NoExecute"}, True),
        ({"key": "for", "value": "research", "effect": "NoSchedule"}, False),
        ({"key": "other", "effect": "NoSchedule"}, False),
        ({"key": "other", "effect": "PreferNoSchedule"}, True),
    ],
)
def test_nodes_with_taints_serve_those_who_tolerate_them(taint: dict[str, str], serves: bool) -> None:
    tolerant = SLICE.model_copy(
        update={
            "tolerations": (
                Toleration(key="nvidia.com/gpu", effect="NoSchedule"),
                Toleration(key="for", operator="Equal", value="teaching"),
            )
        }
    )
    assert units([node("a", 2, taints=[taint])], tolerant).total == (2 if serves else 0)


def test_nodes_are_chosen_by_the_flavours_labels() -> None:
    h100 = SLICE.model_copy(update={"node_selector": {"model": "h100"}})
    nodes = [node("a", 8, labels={"model": "h100"}), node("b", 4, labels={"model": "a100"})]
    pods = [server("1", on="a"), server("2", on="b"), server("3", on=None, nodeSelector={"model": "h100"})]
    assert units(nodes, h100, pods=pods) == Units(8, 2)
    assert units(nodes, pods=pods) == Units(12, 3)
    starting = {"4": h100, "5": SLICE}
    assert units(nodes, h100, pods=pods, starting=starting) == Units(8, 3)


def test_what_has_ended_holds_nothing_and_what_waits_does() -> None:
    pods = [server("1"), server("2", "Pending", None), server("3", "Succeeded"), server("4", "Failed")]
    assert units([node("a")], pods=pods) == Units(8, 2)


def test_nobody_is_in_their_own_way() -> None:
    pods, starting = [server(str(n)) for n in range(8)], {"8": SLICE}
    assert units([node("a")], pods=pods).full
    assert not units([node("a")], pods=pods, leaving_out="3").full
    assert units([node("a")], pods=pods[:7], starting=starting).full
    assert not units([node("a")], pods=pods[:7], starting=starting, leaving_out="8").full


GIB = 2**30


@pytest.mark.parametrize(
    ("cpus", "memory", "too_large"),
    [(4, 16 * GIB, False), (4, 16 * GIB + 1, True), (4.01, GIB, True), (3, 17 * GIB, True), (0.1, 1, False)],
)
def test_what_no_node_has_can_never_be_had(cpus: float, memory: float, too_large: bool) -> None:
    nodes = [
        {"metadata": {"name": "a"}, "status": {"allocatable": {"cpu": "4", "memory": "16777216Ki"}}},
        # Neither is it ready, nor does it have enough of both.
        {"metadata": {"name": "b"}, "status": {"allocatable": {"cpu": "3920m", "memory": "16e9"}}},
        {"metadata": {"name": "new"}},
    ]
    assert capacity.is_too_large({"cpu": cpus, "memory": memory}, None, nodes) is too_large


def test_how_large_nodes_are_that_are_yet_to_be_made_is_not_known() -> None:
    h100 = SLICE.model_copy(update={"node_selector": {"model": "h100"}})
    assert not capacity.is_too_large({"cpu": 99}, h100, [node("a")])
    assert capacity.is_too_large({"cpu": 99}, h100, [node("a"), node("b", labels={"model": "h100"})])
    assert not capacity.is_too_large({"cpu": 99}, None, [])


def test_a_node_is_lost_when_it_is_not_ready_or_gone() -> None:
    nodes = [node("a"), node("down", ready=False), {"metadata": {"name": "new"}}]
    assert {name: capacity.is_lost(name, nodes) for name in ("a", "down", "new", "gone", None)} == {
        "a": False,
        "down": True,
        "new": True,
        "gone": True,
        None: False,
    }


@given(
    total=st.integers(0, 12),
    pods=st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["Running", "Pending", "Failed"])), max_size=12
    ),
    starting=st.sets(st.sampled_from("abcdefgh")),
    mine=st.sampled_from(["", *"abcdefgh"]),
)
def test_a_start_and_its_pod_are_counted_once(
    total: int, pods: list[tuple[str, str]], starting: set[str], mine: str
) -> None:
    by_name = dict(pods)
    found = units(
        [node("a", total)],
        pods=[server(name, phase) for name, phase in by_name.items()],
        starting=dict.fromkeys(starting, SLICE),
        leaving_out=mine,
    )
    holders = {name for name, phase in by_name.items() if phase != "Failed"} | starting
    assert found == Units(total, len(holders - {mine}))
    assert found.full == (found.taken >= total)


@pytest.mark.parametrize(
    ("nodes", "unavailable", "full"),
    [
        ([], {"gpu": capacity.NO_SUCH_GPU}, {}),
        ([node("a", None)], {"gpu": capacity.NO_SUCH_GPU}, {}),
        ([node("a", 0)], {"gpu": capacity.NO_SUCH_GPU}, {}),
        ([node("a", 2, ready=False)], {"gpu": capacity.OUT_OF_SERVICE}, {}),
        ([node("a", 2)], {}, {"gpu": 2}),
        ([node("a", 3)], {}, {}),
    ],
)
def test_what_of_the_sizes_can_be_had(nodes: list[dict[str, Any]], unavailable: Any, full: Any) -> None:
    found = capacity.availability(SIZES, {"slice": SLICE}, nodes, Servers([server("1"), server("2")]))
    assert (found.unavailable, found.full) == (unavailable, full)
