"""The rights that an install asks for are those that its chart needs, no more."""

from typing import Any

from kirzl_lab.cli.cluster.rights import MAKING, OWN, Resource, Right, needed

SERVED = {
    ("v1", "ConfigMap"): Resource("configmaps", namespaced=True),
    ("apps/v1", "Deployment"): Resource("deployments", namespaced=True),
    ("rbac.authorization.k8s.io/v1", "Role"): Resource("roles", namespaced=True),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): Resource("clusterroles", namespaced=False),
}


def thing(version: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, **more}


def test_making_things_takes_the_rights_to_make_them() -> None:
    found = needed([thing("apps/v1", "Deployment"), thing("v1", "ConfigMap")], SERVED, namespace_is_fine=True)
    asked = {Right("apps", "deployments", verb) for verb in MAKING} | {Right("", "configmaps", verb) for verb in MAKING}
    assert found == OWN | asked


def test_a_namespace_that_is_not_there_must_be_made() -> None:
    found = needed([], SERVED, namespace_is_fine=False)
    assert found - OWN == {Right("", "namespaces", verb, cluster=True) for verb in ("create", "patch")}


def test_who_grants_a_right_must_have_it() -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["watch"]}]
    nodes = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]
    group = "rbac.authorization.k8s.io/v1"
    found = needed([thing(group, "Role", rules=rules), thing(group, "ClusterRole", rules=nodes)], SERVED, namespace_is_fine=True)  # fmt: skip
    assert Right("", "pods", "watch") in found
    assert Right("", "nodes", "list", cluster=True) in found
    assert Right("rbac.authorization.k8s.io", "clusterroles", "create", cluster=True) in found


def test_kinds_that_the_cluster_does_not_know_ask_for_nothing() -> None:
    assert needed([thing("monitoring.coreos.com/v1", "ServiceMonitor")], SERVED, namespace_is_fine=True) == OWN


def test_helm_watches_the_job_before_an_upgrade() -> None:
    assert {Right("batch", "jobs", "list"), Right("batch", "jobs", "watch")} <= OWN


def test_a_right_is_asked_for_where_it_is_needed() -> None:
    asked = Right("", "pods/exec", "create").review("lab")["spec"]["resourceAttributes"]
    assert asked == {"group": "", "resource": "pods", "subresource": "exec", "verb": "create", "namespace": "lab"}
    everywhere = Right("", "nodes", "list", cluster=True)
    assert "namespace" not in everywhere.review("lab")["spec"]["resourceAttributes"]
    assert str(everywhere) == "list nodes (in the whole cluster)"
    assert str(Right("apps", "deployments", "get")) == "get deployments.apps"
