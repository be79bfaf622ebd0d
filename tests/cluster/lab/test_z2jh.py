"""The lab on a Zero to JupyterHub site: that chart's hub and proxy, ours for the rest, and a student who works.

It has a front door of its own, so that the demo lab beside it stays where it is.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from images import node
from kirzl_lab.cli.cluster.packing import pack
from kirzl_lab.cli.ports import free_port
from tests.cluster.lab.lab import ClusterLab, restarts
from tests.cluster.space import Space
from tests.support.people import Person
from tests.support.waiting import wait_until
from tests.support.z2jh import JUPYTERHUB, LAB, their_chart
from tools import chart, one_machine
from tools.onenode import api
from tools.onenode.paths import KUBECONFIG

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PORT = free_port()
HOST = "z2jh.localhost"
URL = f"http://{HOST}:{PORT}"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
IMAGES = ("hub", "proxy", "postgres", "demo-institutions", "notebook", "egress")
PROXY = {"app.kubernetes.io/name": "jupyterhub", "app.kubernetes.io/component": "proxy"}
Values = Mapping[str, Any]


@pytest.fixture(scope="module")
def references(cluster: str) -> Mapping[str, str]:
    """The lab's images by name, as the node has them."""
    built = one_machine.built_images(print)
    there = one_machine.images.present()
    for name in IMAGES:
        if built[name].reference not in there:
            node.load(built[name])
    return {name: image.reference for name, image in built.items()}


@pytest.fixture
def site(make_space: Callable[..., Space], references: Mapping[str, str], tmp_path: Path) -> Iterator[ClusterLab]:
    """Both charts in one namespace, as helm/z2jh/README.md has it, and a port of this machine that leads there."""
    space = make_space(**RESTRICTED)
    door = front_door(space)
    releases = {
        "lab": (chart.CHART, LAB, of_the_lab(references)),
        "jupyterhub": (their_chart(tmp_path), JUPYTERHUB, of_jupyterhub(references, door)),
    }
    helm = (f"--namespace={space.name}", f"--kubeconfig={KUBECONFIG}")
    try:
        for release, (folder, values, more) in releases.items():
            file = tmp_path / f"{release}.json"
            file.write_text(json.dumps(more), encoding="utf-8")
            options = (f"--values={values}", f"--values={file}", "--wait", "--timeout=5m")
            chart.run_helm("install", release, folder, *helm, *options)
        with forwarded(space):
            yield ClusterLab(URL, space)
    finally:
        for release in reversed(releases):
            chart.run_helm("uninstall", release, *helm, "--ignore-not-found")


def front_door(space: Space) -> str:
    """Makes a Service before their proxy whose port is the public one; its address in the cluster."""
    spec = {"selector": PROXY, "ports": [{"port": PORT, "targetPort": 8000}]}
    space.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front-door"}, "spec": spec})
    return str(space.get("service", "front-door")["spec"]["clusterIP"])


def of_the_lab(references: Mapping[str, str]) -> Values:
    """What a site changes in lab.yaml; here: the catalogue of the demo lab."""
    demo = YAML(typ="safe").load(one_machine.VALUES.read_text(encoding="utf-8"))
    demo["institutions"]["institutions"]["uni"]["issuer"] = None  # which lab.yaml has
    return {
        "publicUrl": URL,
        "demo": {"enabled": True},
        "images": {"references": dict(references), "pullPolicy": "Never"},
        "storage": {"sharedClass": "shared"},
        "courses": {"archive": pack(one_machine.COURSES)},
        **{name: demo[name] for name in ("lab", "sizes", "institutions", "service", "postgres")},
    }


def of_jupyterhub(references: Mapping[str, str], door: str) -> Values:
    """What a site changes in jupyterhub.yaml."""
    images = {name: dict(zip(("name", "tag"), references[name].rsplit(":", 1), strict=True)) for name in IMAGES}
    return {
        "hub": {
            "image": {**images["hub"], "pullPolicy": "Never"},
            "config": {"JupyterHub": {"subdomain_host": URL}},
            "extraEnv": {
                "KIRZL_LAB_PUBLIC_URL": URL,
                "KIRZL_LAB_DEMO_URL": f"http://institutions.{HOST}:{PORT}",
                "KIRZL_LAB_UAS_SECRET": "demo-secret-uas",
            },
            # A site's institutions are in its DNS.
            "extraPodSpec": {"hostAliases": [{"ip": door, "hostnames": [f"institutions.{HOST}"]}]},
        },
        "proxy": {
            "service": {"type": "ClusterIP"},
            "chp": {
                "image": {**images["proxy"], "pullPolicy": "Never"},
                "containerSecurityContext": {"runAsUser": 1000, "runAsGroup": 1000},
                "networkPolicy": {
                    "egress": [
                        *chart_egress(),
                        {
                            "to": [
                                {"podSelector": {"matchLabels": {"app.kubernetes.io/component": "demo-institutions"}}}
                            ]
                        },
                    ]
                },
            },
        },
    }


def chart_egress() -> list[Values]:
    """What jupyterhub.yaml opens for the proxy; Helm replaces lists."""
    values = YAML(typ="safe").load(JUPYTERHUB.read_text(encoding="utf-8"))
    rules: list[Values] = values["proxy"]["chp"]["networkPolicy"]["egress"]
    return rules


class forwarded:  # noqa: N801 - used as a function
    """`kubectl port-forward` to the front door while the block runs."""

    def __init__(self, space: Space) -> None:
        arguments = [f"--namespace={space.name}", "port-forward", "service/front-door", f"{PORT}:{PORT}"]
        self._command = api.kubectl_command(arguments)

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert "Forwarding" in self._process.stdout.readline()

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)


def test_a_student_works_on_a_zero_to_jupyterhub_site(site: ClusterLab) -> None:
    student = Person(URL)
    login = student.http.get(f"{URL}/hub/login").raise_for_status()
    assert "Demo University" in login.text or "Demo-Universität" in login.text
    student.login("uni", "student1")
    assert student.hub_name
    server = site.open(student, "ml-101", "cpu-small")
    assert server.run("print(6 * 7)") == "42\n"
    assert str(server.url).startswith(f"http://{student.hub_name}.{HOST}:{PORT}/")
    pod = site.server_pod(student.hub_name)
    assert pod["metadata"]["labels"]["kirzl-lab/space"] == "ml-101"
    # The lab service, to which their proxy leads, is on the hub's own host.
    operator = Person(URL)
    operator.login("uni", "operator")
    page = operator.visit("/services/lab/people")
    assert page.url.host == HOST and page.status_code == 200, f"{page.status_code} at {page.url}"
    assert student.hub_name in page.text
    operator.close()

    # Their hub restarts: the server stays, the login too.
    site.space.kubectl("rollout", "restart", "deployment/hub")
    site.space.kubectl("rollout", "status", "deployment/hub", "--timeout=120s")
    wait_until(lambda: student.http.get(f"{URL}/hub/home").status_code == 200, "My spaces")
    assert "/login" not in student.http.get(f"{URL}/hub/home").url.path
    again = site.server_pod(student.hub_name)
    assert again["metadata"]["uid"] == pod["metadata"]["uid"] and restarts(again) == 0
    assert server.run("print('still here')") == "still here\n"
    site.close(student, "ml-101")
    student.close()
