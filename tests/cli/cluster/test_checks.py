"""What install says about a cluster, from what the API server answers: a table of clusters and findings."""

from dataclasses import replace
from typing import Any

import pytest

from kirzl_lab.cli.cluster.checks import findings, secrets_of
from kirzl_lab.cli.cluster.facts import RESTRICTED, Facts
from kirzl_lab.cli.cluster.rights import Resource, Right
from kirzl_lab.cli.cluster.values import merged
from kirzl_lab.cli.doctor import Finding

FLAVOUR = {"resource": "nvidia.com/gpu", "share": "whole", "memory_gib": 80, "watts": 700}
VALUES: dict[str, Any] = {
    "publicUrl": "https://lab.uni.example",
    "storage": {"homeClass": None, "sharedClass": "shared", "labClass": None},
    "sizes": {"sizes": {"cpu": {"cpus": 1}}},
    "institutions": {"institutions": {"uni": {"client_secret_env": "KIRZL_LAB_UNI_SECRET"}}},
}


def named(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **more.pop("metadata", {})}, **more}


def storage_class(name: str, provisioner: str, *, default: bool = False) -> dict[str, Any]:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return named(name, metadata={"annotations": annotations}, provisioner=provisioner)


def node(resource: str = "", units: int | str = 0, **labels: str) -> dict[str, Any]:
    return named("n", metadata={"labels": labels}, status={"allocatable": {resource: str(units)} if resource else {}})


def volume(storage: str, mode: str, phase: str = "Bound") -> dict[str, Any]:
    return named("v", spec={"storageClassName": storage, "accessModes": [mode]}, status={"phase": phase})


FINE = Facts(
    version="v1.33.1+k3s1",
    helm="v4.0.1",
    namespace=None,
    served={("v1", "Service"): Resource("services", namespaced=True)},
    storage_classes=[storage_class("block", "rbd.csi.ceph.com", default=True), storage_class("shared", "rook-ceph.cephfs.csi.ceph.com")],
    volumes=[],
    daemon_sets=[named("calico-node")],
    nodes=[node()],
    addresses={"lab.uni.example": True, "somebody.lab.uni.example": True},
)  # fmt: skip
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hub"}}


def look(
    facts: Facts, *changes: dict[str, Any], objects: tuple[dict[str, Any], ...] = (SERVICE,)
) -> dict[str, Finding]:
    found = findings(facts, merged(VALUES, *changes), objects)
    assert len({finding.what for finding in found}) == len(found)
    return {finding.what: finding for finding in found}


def test_a_fine_cluster_has_nothing_missing() -> None:
    found = look(FINE)
    assert all(finding.ok for finding in found.values()), [each for each in found.values() if not each.ok]
    assert found["namespace"].found.startswith("is made")
    assert found["DNS *.lab.uni.example"].ok


@pytest.mark.parametrize(
    ("change", "what", "said", "needed"),
    [
        ({"version": "v1.29.9"}, "Kubernetes", "v1.29.9", True),
        ({"version": "unknown"}, "Kubernetes", "unknown", True),
        ({"helm": "v3.9.0"}, "Helm", "v3.9.0", True),
        ({"served": {}}, "Service", "the cluster knows no Service of v1", True),
        ({"refused": (Right("apps", "deployments", "create"),)}, "permissions", "you may not: create deployments.apps", True),
        ({"storage_classes": []}, "storage for homes", "the cluster has no default class", True),
        ({"storage_classes": [storage_class("block", "x", default=True)]}, "storage for shared volumes", "there is no class shared", True),
        ({"storage_classes": [storage_class("shared", "ebs.csi.aws.com")]}, "storage for shared volumes", "cannot ReadWriteMany", True),
        ({"storage_classes": [storage_class("shared", "uni.example/files")]}, "storage for shared volumes", "could not tell", False),
        ({"storage_classes": None}, "storage for homes", "could not tell", False),
        ({"daemon_sets": [named("kindnet")]}, "network policies", "could not tell", False),
        ({"daemon_sets": None}, "network policies", "could not tell", False),
        ({"addresses": {"lab.uni.example": False}}, "DNS lab.uni.example", "not known here", False),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(change: dict[str, Any], what: str, said: str, needed: bool) -> None:
    finding = look(replace(FINE, **change))[what]
    assert not finding.ok
    assert finding.needed is needed
    assert said in finding.found
    assert finding.advice or not needed


def test_the_advice_names_what_there_is() -> None:
    finding = look(replace(FINE, storage_classes=[storage_class("a", "x"), storage_class("b", "x")]))[
        "storage for homes"
    ]
    assert finding.advice == "name one in storage.homeClass; there are: a, b"


@pytest.mark.parametrize(
    ("there", "ok"),
    [
        (volume("shared", "ReadWriteMany"), True),
        (volume("shared", "ReadWriteMany", "Released"), False),
        (volume("shared", "ReadWriteOnce"), False),
        (volume("block", "ReadWriteMany"), False),
    ],
)
def test_a_volume_that_many_nodes_write_proves_that_its_class_can(there: dict[str, Any], ok: bool) -> None:
    facts = replace(FINE, storage_classes=[storage_class("shared", "uni.example/files", default=True)], volumes=[there])
    assert look(facts)["storage for shared volumes"].ok is ok


@pytest.mark.parametrize(
    ("labels", "said"),
    [(RESTRICTED, "is enforced"), ({}, "enforces nothing"), ({"pod-security.kubernetes.io/enforce": "privileged"}, "enforces privileged")],
)  # fmt: skip
def test_the_namespace_that_is_there_is_looked_at(labels: dict[str, str], said: str) -> None:
    finding = look(replace(FINE, namespace=named("kirzl-lab", metadata={"labels": labels})))["namespace"]
    assert finding.ok
    assert said in finding.found


def test_an_agent_is_known_by_its_api_group_too() -> None:
    finding = look(replace(FINE, daemon_sets=[], groups=frozenset({"cilium.io"})))["network policies"]
    assert finding.ok
    assert "Cilium" in finding.found


@pytest.mark.parametrize(
    ("nodes", "selector", "units"),
    [
        ([node("nvidia.com/gpu", 4), node("nvidia.com/gpu", 2), node()], {}, 6),
        ([node("nvidia.com/gpu", "1k")], {}, 1000),
        ([node("nvidia.com/gpu", 4, model="a"), node("nvidia.com/gpu", 2, model="b")], {"model": "b"}, 2),
        ([node("nvidia.com/mig-1g.10gb", 7)], {}, 0),
        ([], {}, 0),
    ],
)
def test_units_of_flavours_are_counted_where_servers_would_run(
    nodes: list[dict[str, Any]], selector: dict[str, str], units: int
) -> None:
    sizes = {"flavours": {"h100": {**FLAVOUR, "node_selector": selector}}, "sizes": {"gpu-full": {"gpu": "h100"}}}
    finding = look(replace(FINE, nodes=nodes), {"sizes": sizes})["GPU flavour h100"]
    assert finding.found == f"{units} x nvidia.com/gpu"
    assert finding.ok is bool(units)
    assert not finding.needed
    assert ("gpu-full" in finding.advice) is not finding.ok


def test_a_flavour_that_no_size_has_is_not_looked_for() -> None:
    assert "GPU flavour h100" not in look(FINE, {"sizes": {"flavours": {"h100": FLAVOUR}}})


def test_nodes_that_nobody_may_see_are_no_answer() -> None:
    sizes = {"flavours": {"h100": FLAVOUR}, "sizes": {"gpu-full": {"gpu": "h100"}}}
    assert "could not tell" in look(replace(FINE, nodes=None), {"sizes": sizes})["GPU flavour h100"].found


@pytest.mark.parametrize(
    ("values", "change", "what", "ok"),
    [
        ({"ingress": {"enabled": True, "className": "nginx"}}, {"ingress_classes": [named("nginx")]}, "ingress", True),
        ({"ingress": {"enabled": True, "className": "nginx"}}, {"ingress_classes": [named("other")]}, "ingress", False),
        ({"ingress": {"enabled": True, "className": ""}}, {"ingress_classes": [named("nginx")]}, "ingress", False),
        ({"ingress": {"enabled": True}}, {"ingress_classes": None}, "ingress", False),
        ({"gateway": {"enabled": True, "className": "envoy"}}, {"gateway_classes": [named("envoy")]}, "gateway", True),
        ({"gateway": {"enabled": True, "className": "envoy"}}, {"gateway_classes": []}, "gateway", False),
    ],
)
def test_the_way_in_is_looked_for_where_it_is_asked_for(
    values: dict[str, Any], change: dict[str, Any], what: str, ok: bool
) -> None:
    assert what not in look(replace(FINE, **change))
    assert look(replace(FINE, **change), values)[what].ok is ok


def test_secrets_of_the_site_must_be_there_with_their_keys() -> None:
    values = {"institutionSecrets": "clients", "database": {"existingSecret": "db"}, "existingSecret": "own"}
    wanted = secrets_of(merged(VALUES, values))
    assert wanted["clients"] == ("KIRZL_LAB_UNI_SECRET",)
    assert wanted["db"] == ("KIRZL_LAB_DATABASE_URL",)
    assert "KIRZL_LAB_DATABASE_PASSWORD" not in wanted["own"]
    there = {"clients": frozenset(), "db": None, "own": frozenset(wanted["own"])}
    found = look(replace(FINE, secrets=there), values)
    assert found["Secret clients"].found == "lacks KIRZL_LAB_UNI_SECRET"
    assert found["Secret db"].found == "is not there"
    assert found["Secret own"].ok


def test_a_database_of_the_charts_own_needs_a_password() -> None:
    assert "KIRZL_LAB_DATABASE_PASSWORD" in secrets_of(merged(VALUES, {"existingSecret": "own"}))["own"]


def test_findings_are_lines_for_people() -> None:
    line = Finding("storage", ok=False, found="none", advice="name [one]").line()
    assert line == "[red]✗[/] [bold]storage[/]: none\n    name \\[one]"
