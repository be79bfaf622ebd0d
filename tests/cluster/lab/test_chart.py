"""The chart against a real API server: everything it renders is taken, within Pod Security `restricted`; what the hub may
do; and a lab in a namespace of its own that is installed, refuses a mistake, and comes back after an uninstall."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from images import build, plan
from tests.cluster.space import Space
from tools import chart
from tools.onenode import api, paths
from tools.onenode import images as node

pytestmark = pytest.mark.cluster
EXAMPLES = pytest.mark.parametrize("example", chart.EXAMPLES, ids=lambda path: path.stem)
WITHOUT_A_DEFINITION = {"Gateway", "HTTPRoute", "ServiceMonitor", "PrometheusRule"}
"""Kinds of a cluster's add-ons, which this one has not: the golden renders alone speak for them."""
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def rendered(example: Path, space: Space, *options: str) -> list[Mapping[str, Any]]:
    """The objects that the chart makes of the example in that namespace."""
    text = chart.render(example, *options, namespace=space.name)
    return [thing for thing in YAML(typ="safe").load_all(text) if thing]


def dry_run(space: Space, *things: Mapping[str, Any]) -> str:
    """What the API server says to these objects, without making them; raises when it refuses one."""
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": [_here(thing) for thing in things]})
    return space.kubectl("create", "--dry-run=server", "--validate=strict", "--filename=-", given=given)


@EXAMPLES
@pytest.mark.parametrize("options", [(), ("--is-upgrade",)], ids=["install", "upgrade"])
def test_the_api_server_takes_everything(space: Space, example: Path, options: tuple[str, ...]) -> None:
    things = [thing for thing in rendered(example, space, *options) if thing["kind"] not in WITHOUT_A_DEFINITION]
    assert dry_run(space, *things).count("created (server dry run)") == len(things)


@EXAMPLES
def test_every_pod_is_within_restricted(make_space: Callable[..., Space], example: Path) -> None:
    space = make_space(**RESTRICTED)
    things = rendered(example, space)
    space.apply(*(thing for thing in things if thing["kind"] == "ServiceAccount"))
    pods = [_pod(thing) for thing in things if thing["kind"] in {"Deployment", "StatefulSet", "Job"}]
    assert len(pods) >= 4
    assert dry_run(space, *pods).count("created (server dry run)") == len(pods)


def test_the_namespace_would_refuse_a_pod_with_more_rights(make_space: Callable[..., Space]) -> None:
    container = {"name": "root", "image": "any", "securityContext": {"privileged": True}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"}, "spec": {"containers": [container]}}
    with pytest.raises(api.KubectlError, match="violates PodSecurity"):
        dry_run(make_space(**RESTRICTED), pod)


MAY = {("pods", verb) for verb in ("create", "get", "list", "watch", "delete")} | {
    ("persistentvolumeclaims", "create"),
    ("persistentvolumeclaims", "get"),
    ("events", "list"),
    ("nodes", "list"),
}
"""All that the hub may do: what kirzl_lab/spawning calls."""

CONTROLLER_MAY = {("jobs.batch", verb) for verb in ("create", "list", "delete")} | {
    ("pods", "list"),
    ("leases.coordination.k8s.io", "create"),
}
"""The same for the controller; Jobs and pods in the namespace of graders, which is the same here. And its own lease."""

RESOURCES = (
    *("pods", "pods/exec", "pods/log", "pods/ephemeralcontainers", "persistentvolumeclaims", "persistentvolumes"),
    *("events", "secrets", "configmaps", "serviceaccounts", "serviceaccounts/token", "services", "namespaces"),
    *("nodes", "nodes/proxy", "deployments.apps", "jobs.batch", "statefulsets.apps"),
    *("roles.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io"),
    *("networkpolicies.networking.k8s.io", "workloads.kueue.x-k8s.io", "leases.coordination.k8s.io"),
)
VERBS = ("create", "get", "list", "watch", "update", "patch", "delete", "deletecollection")


def test_the_hub_may_do_what_it_does_and_no_more(space: Space) -> None:
    kinds = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
    things = [thing for thing in rendered(chart.EXAMPLES[0], space) if thing["kind"] in kinds]
    try:
        space.apply(*(_here(thing) for thing in things))
        hub = f"system:serviceaccount:{space.name}:hub"
        assert _allowed(hub, space.name) == MAY
        assert _allowed(hub, "default") == {("nodes", "list")}
        controller = f"system:serviceaccount:{space.name}:controller"
        assert _allowed(controller, space.name) == CONTROLLER_MAY
        assert _allowed(controller, "default") == set()
        assert _allowed(f"system:serviceaccount:{space.name}:default", space.name) == set()
    finally:
        for thing in things:
            if thing["kind"].startswith("Cluster"):  # the rest goes with its namespace
                space.kubectl("delete", thing["kind"], thing["metadata"]["name"])


IMAGES = ("hub", "proxy", "postgres", "demo-institutions")
OPERATOR_OF_NOBODY = '[{"institution": "nobody", "claim": "email", "value": "somebody@uni.example"}]'


@pytest.mark.slow
def test_a_lab_is_installed_refuses_a_mistake_and_comes_back(make_space: Callable[..., Space]) -> None:
    space = make_space(**RESTRICTED)
    built = [build.described(plan.BY_NAME[name], plan.Choices()) for name in IMAGES]
    for image in built:
        if image.reference not in node.present():
            node.load(image.archive)
    example = next(path for path in chart.EXAMPLES if path.stem == "one-machine")
    common = ["lab", chart.CHART, f"--values={example}", "--wait", "--timeout=5m", *_helm(space)]
    common += [f"--set=images.references.{image.name}={image.reference}" for image in built]
    try:
        chart.run_helm("install", *common)
        pods, secrets = _pods(space), space.get("secret", "lab-secrets")["data"]
        with pytest.raises(
            chart.RefusedError, match=r"lab\.yaml:\d+: found “nobody”, expected one of startups, uas, uni"
        ):
            chart.run_helm("upgrade", *common, f"--set-json=lab.operators={OPERATOR_OF_NOBODY}")
        assert _pods(space) == pods
        chart.run_helm("uninstall", "lab", "--wait", *_helm(space))
        assert not space.kubectl("get", "deployments,statefulsets,services", "--output=name")
        chart.run_helm("install", *common)
        assert space.get("secret", "lab-secrets")["data"] == secrets
    finally:
        chart.run_helm("uninstall", "lab", "--ignore-not-found", *_helm(space))


def _here(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object without the namespace of graders, which is not there before it is made."""
    metadata = {key: value for key, value in thing["metadata"].items() if key != "namespace"}
    return {**thing, "metadata": metadata}


def _helm(space: Space) -> list[str]:
    return [f"--namespace={space.name}", f"--kubeconfig={paths.KUBECONFIG}"]


def _pods(space: Space) -> set[str]:
    """The pods that stay, with the number of their restarts."""
    found = json.loads(space.kubectl("get", "pods", "--selector=app.kubernetes.io/component!=prepare", "--output=json"))
    return {
        f"{pod['metadata']['name']} {sum(one['restartCount'] for one in pod['status']['containerStatuses'])}"
        for pod in found["items"]
    }


def _pod(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    """A pod as the object's controller would make it."""
    template = thing["spec"]["template"]["spec"]
    # The class of a site's pods, which is not in this cluster, says nothing about rights.
    spec = {key: value for key, value in template.items() if key != "priorityClassName"}
    for claim in thing["spec"].get("volumeClaimTemplates", []):
        name = claim["metadata"]["name"]
        spec["volumes"] = [*spec["volumes"], {"name": name, "persistentVolumeClaim": {"claimName": name}}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": thing["metadata"]["name"]}, "spec": spec}


def _allowed(who: str, namespace: str) -> set[tuple[str, str]]:
    """What of RESOURCES and VERBS somebody may: the question behind `kubectl auth can-i`, for all of them at once."""
    questions = []
    for resource in RESOURCES:
        name, _, group = resource.partition(".")
        name, _, part = name.partition("/")
        asked = {"namespace": namespace, "resource": name, "group": group, "subresource": part}
        questions += [{"user": who, "resourceAttributes": {**asked, "verb": verb}} for verb in VERBS]
    reviews = [
        {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": question}
        for question in questions
    ]
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    answers = api.kubectl("create", '--output=jsonpath={.status.allowed}{"\\n"}', "--filename=-", given=given).split()
    pairs = [(resource, verb) for resource in RESOURCES for verb in VERBS]
    return {pair for pair, answer in zip(pairs, answers, strict=True) if answer == "true"}
