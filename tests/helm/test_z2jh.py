"""helm/z2jh: the lab inside Zero to JupyterHub's chart, as both charts render it. Needs helm, and that chart."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from kirzl_lab.spawning.pod import COMPONENT, SERVER_COMPONENT
from kirzl_lab.spawning.site import ClusterSite
from tests.helm.test_chart import Objects, documents
from tests.support.z2jh import JUPYTERHUB, LAB, their_chart
from tools import chart

pytestmark = pytest.mark.cluster
SERVER = {COMPONENT: SERVER_COMPONENT, "component": SERVER_COMPONENT, "kirzl-lab/network": "none"}


@pytest.fixture(scope="module")
def their(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return their_chart(tmp_path_factory.mktemp("z2jh"))


@pytest.fixture(scope="module")
def theirs(their: Path) -> Objects:
    """What their chart makes of our values; helm checks them against their schema."""
    options = ("--namespace=kirzl-lab", "--kube-version=1.37.2", f"--values={JUPYTERHUB}")
    return documents(chart.run_helm("template", "jupyterhub", their, *options))


@pytest.fixture(scope="module")
def ours() -> Objects:
    """What the lab's chart makes beside them."""
    return documents(chart.render(LAB))


def test_values_are_without_fault(their: Path) -> None:
    assert "0 chart(s) failed" in chart.run_helm("lint", "--strict", their, f"--values={JUPYTERHUB}")
    assert "0 chart(s) failed" in chart.run_helm("lint", "--strict", chart.CHART, f"--values={LAB}")


def test_their_schema_would_say_if_they_were_not(their: Path) -> None:
    with pytest.raises(chart.RefusedError, match="hub"):
        chart.run_helm("template", "x", their, f"--values={JUPYTERHUB}", "--set=hub.extraConfigs.a=b")


@pytest.mark.parametrize("way_in", ["ingress", "gateway"])
def test_the_way_in_is_the_other_charts(way_in: str) -> None:
    with pytest.raises(chart.RefusedError, match="set up in the values of Zero to JupyterHub"):
        chart.run_helm("template", "lab", chart.CHART, f"--values={LAB}", f"--set={way_in}.enabled=true")


def test_no_object_is_in_both_charts(theirs: Objects, ours: Objects) -> None:
    assert not set(theirs) & set(ours)


def test_nothing_is_left_of_the_parts_that_are_off(theirs: Objects) -> None:
    kinds = {(kind, name) for kind, name in theirs if kind in {"Deployment", "DaemonSet", "StatefulSet", "Job"}}
    assert kinds == {("Deployment", "hub"), ("Deployment", "proxy")}
    assert {name for kind, name in theirs if kind == "NetworkPolicy"} == {"hub", "proxy"}


def test_everything_the_hub_is_given_is_there(theirs: Objects, ours: Objects) -> None:
    pod = theirs["Deployment", "hub"]["spec"]["template"]["spec"]
    (hub,) = pod["containers"]
    told = {entry["name"]: entry for entry in hub["env"]}
    for entry in told.values():
        if entry["name"].startswith("KIRZL_LAB_") and "valueFrom" in entry:
            wanted = entry["valueFrom"]["secretKeyRef"]
            assert wanted["key"] in ours["Secret", wanted["name"]]["data"], entry
    # Kubernetes puts $(NAME) in place only of variables that come before.
    names = list(told)
    for name, entry in told.items():
        for used in re.findall(r"\$\((\w+)\)", entry.get("value", "")):
            assert names.index(used) < names.index(name)
    mounted = {mount["name"]: mount["mountPath"] for mount in hub["volumeMounts"]}
    maps = {volume["name"]: volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
    for variable, volume, files in (
        ("KIRZL_LAB_HUB_CONFIG", "lab-catalogue", {"lab.yaml", "sizes.yaml", "institutions.yaml"}),
        ("KIRZL_LAB_CLUSTER", "lab-cluster", {"cluster.json"}),
    ):
        assert set(ours["ConfigMap", maps[volume]]["data"]) == files
        assert told[variable]["value"].startswith(mounted[volume])
    assert mounted["pvc"] == told["KIRZL_LAB_DATA"]["value"]
    assert mounted["lab-courses"] == told["KIRZL_LAB_COURSES"]["value"]


def test_both_charts_mean_the_same_places(theirs: Objects, ours: Objects) -> None:
    site = ClusterSite.model_validate_json(ours["ConfigMap", "cluster"]["data"]["cluster.json"])
    ports = {f"http://{name}:{port['port']}" for name, port in _service_ports({**theirs, **ours})}
    assert {site.hub_url, site.proxy_api_url, site.service_url} <= ports
    account = theirs["Deployment", "hub"]["spec"]["template"]["spec"]["serviceAccountName"]
    bound = ours["ClusterRoleBinding", "kirzl-lab-hub-nodes"]["subjects"]
    assert bound == [{"kind": "ServiceAccount", "name": account, "namespace": "kirzl-lab"}]
    values = YAML(typ="safe").load(JUPYTERHUB.read_text(encoding="utf-8"))["hub"]
    lab = YAML(typ="safe").load(LAB.read_text(encoding="utf-8"))
    assert lab["publicUrl"] == values["config"]["JupyterHub"]["subdomain_host"]
    assert lab["publicUrl"] == values["extraEnv"]["KIRZL_LAB_PUBLIC_URL"]
    assert values["image"]["name"] == f"{lab['images']['registry']}/hub"
    assert "--host-routing" in theirs["Deployment", "proxy"]["spec"]["template"]["spec"]["containers"][0]["args"]


def test_their_hub_may_do_what_our_spawner_does(theirs: Objects) -> None:
    mine = documents(chart.render(chart.EXAMPLES[0]))["Role", "hub"]["rules"]
    granted = {
        (resource, verb)
        for rule in theirs["Role", "hub"]["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert {(rule["resources"][0], verb) for rule in mine for verb in rule["verbs"]} <= granted


def test_policies_open_the_ways_between_both_charts_pods(theirs: Objects, ours: Objects) -> None:
    objects = {**theirs, **ours}
    pods = {name: _pod_labels(objects, name) for name in ("hub", "proxy", "service", "postgres")} | {"server": SERVER}
    for way in (
        *(("proxy", "hub", 8081), ("service", "hub", 8081), ("server", "hub", 8081)),
        *(("hub", "server", 8888), ("proxy", "server", 8888), ("server", "service", 8080)),
        *(("proxy", "service", 8080), ("hub", "service", 8080), ("hub", "proxy", 8001)),
        *(("hub", "postgres", 5432), ("service", "postgres", 5432)),
    ):
        opens, to, port = way
        assert _opens(objects, "egress", pods[opens], pods[to], port), f"no way out: {way}"
        assert _opens(objects, "ingress", pods[to], pods[opens], port), f"no way in: {way}"
    for way in (("server", "postgres", 5432), ("server", "server", 8888), ("server", "proxy", 8001)):
        opens, to, port = way
        assert not _opens(objects, "egress", pods[opens], pods[to], port), f"a way out: {way}"


def test_their_configuration_makes_the_lab(theirs: Objects, ours: Objects, tmp_path: Path) -> None:
    """Their jupyterhub_config.py itself, with the files and variables that the pod has; only its folders are moved."""
    moved = tmp_path / "jupyterhub"
    (hub,) = theirs["Deployment", "hub"]["spec"]["template"]["spec"]["containers"]
    config = dict(theirs["ConfigMap", "hub"]["data"])
    for file in ("jupyterhub_config.py", "z2jh.py"):
        _write(moved / file, config.pop(file).replace("/usr/local/etc/jupyterhub", str(moved)))
    for folder, content in {"config": config, "secret": _decoded(theirs["Secret", "hub"])}.items():
        for name, text in content.items():
            _write(moved / folder / name, text.replace("/srv/jupyterhub", str(tmp_path)))
    told = {entry["name"]: entry.get("value", "x" * 64) for entry in hub["env"]}
    for variable, name in (("KIRZL_LAB_HUB_CONFIG", "catalogue"), ("KIRZL_LAB_CLUSTER", "cluster")):
        for file, text in ours["ConfigMap", name]["data"].items():
            _write(tmp_path / name / file, text)
        told[variable] = str(tmp_path / name)
    told["KIRZL_LAB_CLUSTER"] += "/cluster.json"
    told["KIRZL_LAB_COURSES"] = str(tmp_path / "courses")
    Path(told["KIRZL_LAB_COURSES"]).mkdir()
    services = {"HUB_SERVICE_PORT": "8081", "PROXY_API_SERVICE_PORT": "8001", "POD_NAMESPACE": "kirzl-lab"}

    arguments = [word.replace("/usr/local/etc/jupyterhub", str(moved)) for word in hub["args"]]
    assert arguments[0] == "python"
    done = subprocess.run(
        [sys.executable, *arguments[1:], "--show-config-json"],
        env={**told, **services, "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    shown = json.loads(done.stdout[done.stdout.index("\n{") :])
    hub_shown = shown["JupyterHub"]
    assert "HubAuthenticator" in str(hub_shown["authenticator_class"])
    assert hub_shown["spawner_class"] == "kirzl_lab.hub.cluster_spawner.ClusterHubSpawner"
    assert hub_shown["db_url"] == f"sqlite:///{tmp_path}/jupyterhub.sqlite"
    assert hub_shown["subdomain_host"] == hub_shown["public_url"] == "https://lab.uni.example"
    assert [service["name"] for service in hub_shown["services"]] == ["lab", "metrics"]
    assert hub_shown["hub_connect_url"] == "http://hub:8081"
    assert shown["ConfigurableHTTPProxy"]["api_url"] == "http://proxy-api:8001"
    assert shown["CryptKeeper"]["keys"], "what people's logins are kept with"


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _decoded(secret: Mapping[str, Any]) -> dict[str, str]:
    return {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}


def _service_ports(objects: Objects) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for (kind, name), thing in objects.items():
        if kind == "Service":
            yield from ((name, port) for port in thing["spec"]["ports"])


def _pod_labels(objects: Objects, name: str) -> Mapping[str, str]:
    kind = next(kind for kind in ("Deployment", "StatefulSet") if (kind, name) in objects)
    labels: Mapping[str, str] = objects[kind, name]["spec"]["template"]["metadata"]["labels"]
    return labels


def _opens(objects: Objects, direction: str, here: Mapping[str, str], there: Mapping[str, str], port: int) -> bool:
    """Whether some policy lets a connection through, by labels of pods and not by ranges of addresses."""
    key = "to" if direction == "egress" else "from"
    for (kind, _), thing in objects.items():
        if kind != "NetworkPolicy" or not _selects(thing["spec"]["podSelector"], here):
            continue
        for rule in thing["spec"].get(direction) or []:
            ports = {each.get("port") for each in rule.get("ports", [])}
            if rule.get("ports") and not ports & {port, {8081: "http", 8000: "http", 8001: "api"}.get(port)}:
                continue
            if any("podSelector" in peer and _selects(peer["podSelector"], there) for peer in rule.get(key) or []):
                return True
    return False


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return dict(selector.get("matchLabels") or {}).items() <= dict(labels).items()
