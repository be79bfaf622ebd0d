"""How many units of a GPU flavour a cluster has, and how many are taken. Pure.

A unit is taken by every server pod that asks for it and has not ended, placed or not, and by every start under way
whose pod is not there yet. Nodes count that are ready, take new pods, carry the flavour's labels, and have no taint
that its servers would not tolerate.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kirzl_lab.catalog.models import Flavour, Size
from kirzl_lab.problems import Phrase

Object = Mapping[str, Any]

QUANTITY = re.compile(r"([0-9.]+(?:[eE][-+]?[0-9]+)?)([a-zA-Z]*)")
SUFFIXES: Mapping[str, float] = {
    "": 1,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    **{letter: 1000**power for power, letter in enumerate("MGTPE", 2)},
    **{f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", 1)},
}

NO_SUCH_GPU = Phrase("no machine of this cluster has such a GPU")
OUT_OF_SERVICE = Phrase("every machine that has such a GPU is out of service at the moment")


@dataclass(frozen=True, slots=True)
class Availability:
    """What can be had at this moment."""

    unavailable: Mapping[str, Phrase] = field(default_factory=dict)
    """Size -> why it cannot be had here at all."""
    full: Mapping[str, int] = field(default_factory=dict)
    """Size -> how many units there are, where all of them are taken."""


@dataclass(frozen=True, slots=True)
class Units:
    """The units of a flavour."""

    total: int
    taken: int

    @property
    def full(self) -> bool:
        """Whether nobody else can have one."""
        return self.taken >= self.total


def availability(
    sizes: Mapping[str, Size],
    flavours: Mapping[str, Flavour],
    nodes: Iterable[Object],
    servers: "Servers",
) -> Availability:
    """What of these sizes can be had on these nodes beside these servers."""
    nodes = list(nodes)
    unavailable: dict[str, Phrase] = {}
    full: dict[str, int] = {}
    for name, size in sizes.items():
        if size.gpu is None:
            continue
        flavour = flavours[size.gpu]
        found = units(flavour, nodes, servers)
        if found.total == 0:
            anywhere = any(_allocatable(node, flavour.resource) for node in nodes)
            unavailable[name] = OUT_OF_SERVICE if anywhere else NO_SUCH_GPU
        elif found.full:
            full[name] = found.total
    return Availability(unavailable, full)


@dataclass(frozen=True, slots=True)
class Servers:
    """Who holds units: pods, starts under way by the name of their pod, and whose unit does not count."""

    pods: Iterable[Object] = ()
    starting: Mapping[str, Flavour] = field(default_factory=dict)
    leaving_out: str = ""
    """Name of the pod of whoever asks: nobody is in their own way."""


def units(flavour: Flavour, nodes: Iterable[Object], servers: Servers) -> Units:
    """The units of a flavour on these nodes, and how many of them these servers hold."""
    mine = {node["metadata"]["name"]: node for node in nodes if _serves(node, flavour)}
    total = sum(_allocatable(node, flavour.resource) for node in mine.values())
    pods = {pod["metadata"]["name"]: pod for pod in servers.pods if not _has_ended(pod)}
    taken = sum(
        _asks_for(pod, flavour.resource)
        for name, pod in pods.items()
        if name != servers.leaving_out and _competes(pod, flavour, mine)
    )
    taken += sum(
        held.resource == flavour.resource and _within(held.node_selector, flavour.node_selector)
        for name, held in servers.starting.items()
        if name not in pods and name != servers.leaving_out
    )
    return Units(total, taken)


def is_too_large(wanted: Mapping[str, float], flavour: Flavour | None, nodes: Iterable[Object]) -> bool:
    """Whether no node has so much of `wanted` (resource -> cores, bytes), were it empty, ready and open to all.

    Where there is no node of that flavour at all, nobody knows how large one would be.
    """
    may = [node for node in nodes if _within(node["metadata"].get("labels") or {}, _selector(flavour))]
    return bool(may) and not any(_has(node, wanted) for node in may)


def _selector(flavour: Flavour | None) -> Mapping[str, str]:
    return flavour.node_selector if flavour else {}


def _has(node: Object, wanted: Mapping[str, float]) -> bool:
    there = (node.get("status") or {}).get("allocatable") or {}
    return all(_quantity(there.get(resource)) >= needed for resource, needed in wanted.items())


def is_lost(name: str | None, nodes: Iterable[Object]) -> bool:
    """Whether no node of that name is there, or none that is ready; a pod without a node has none to lose."""
    return name is not None and not any(node["metadata"]["name"] == name and _is_ready(node) for node in nodes)


def _is_ready(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def _serves(node: Object, flavour: Flavour) -> bool:
    spec = node.get("spec") or {}
    labelled = _within(node["metadata"].get("labels") or {}, flavour.node_selector)
    kept_out = any(
        taint.get("effect") in ("NoSchedule", "NoExecute") and not _tolerates(flavour, taint)
        for taint in spec.get("taints") or []
    )
    return _is_ready(node) and labelled and not spec.get("unschedulable") and not kept_out


def _tolerates(flavour: Flavour, taint: Object) -> bool:
    return any(
        toleration.key == taint.get("key")
        and (toleration.operator == "Exists" or (toleration.value or "") == (taint.get("value") or ""))
        and toleration.effect in (None, taint.get("effect"))
        for toleration in flavour.tolerations
    )


def _allocatable(node: Object, resource: str) -> int:
    return _number(((node.get("status") or {}).get("allocatable") or {}).get(resource))


def _asks_for(pod: Object, resource: str) -> int:
    return sum(
        _number((container.get("resources") or {}).get("limits", {}).get(resource))
        for container in pod["spec"].get("containers") or []
    )


def _competes(pod: Object, flavour: Flavour, nodes: Mapping[str, Object]) -> bool:
    """Whether the pod is, or may come to be, on one of the flavour's nodes."""
    placed = pod["spec"].get("nodeName")
    if placed:
        return placed in nodes
    return _within(pod["spec"].get("nodeSelector") or {}, flavour.node_selector)


def _within(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return wanted.items() <= labels.items()


def _has_ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _number(quantity: object) -> int:
    """Devices are counted in whole numbers."""
    return int(_quantity(quantity))


def _quantity(quantity: object) -> float:
    """A number as Kubernetes writes it: 2, 1930m, 1k, 24565Mi, 1e9."""
    found = QUANTITY.fullmatch(str(quantity or 0))
    if found is None:
        raise ValueError(f"{quantity!r} is no quantity of Kubernetes")
    return float(found[1]) * SUFFIXES[found[2]]
