"""The chart as it renders: examples as agreed, mistakes told in words, every pod within its bounds. Needs helm."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from kirzl_lab.catalog.loader import load
from kirzl_lab.spawning.site import ClusterSite
from tools import chart

pytestmark = pytest.mark.cluster
ONE_MACHINE = chart.CHART / "examples" / "one-machine.yaml"
UNIVERSITY = chart.CHART / "examples" / "university.yaml"
PARTNERS = chart.CHART / "examples" / "partners.yaml"
EXAMPLES = pytest.mark.parametrize("example", chart.EXAMPLES, ids=lambda path: path.stem)
Objects = dict[tuple[str, str], Mapping[str, Any]]
Change = Callable[[dict[str, Any]], None]


def documents(text: str) -> Objects:
    """The objects of a render by kind and name."""
    found = [thing for thing in YAML(typ="safe").load_all(text) if thing]
    named = {(thing["kind"], thing["metadata"]["name"]): thing for thing in found}
    assert len(named) == len(found), "two objects have one name"
    return named


def templates(objects: Objects) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every pod template: the name of its object, and the template."""
    for (kind, name), thing in objects.items():
        if kind in {"Deployment", "StatefulSet", "Job"}:
            yield f"{kind}/{name}", thing["spec"]["template"]


def changed(tmp_path: Path, example: Path, change: Change) -> Path:
    """A file of values like the example but for what `change` does to them."""
    values = YAML(typ="safe").load(example.read_text(encoding="utf-8"))
    change(values)
    file = tmp_path / "values.json"
    file.write_text(json.dumps(values), encoding="utf-8")
    return file


def test_the_chart_has_the_version_of_the_lab() -> None:
    about = YAML(typ="safe").load((chart.CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((chart.REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert about["version"] == about["appVersion"] == project["version"]


@EXAMPLES
def test_examples_are_without_fault(example: Path) -> None:
    said = chart.run_helm("lint", "--strict", chart.CHART, f"--values={example}")
    assert "0 chart(s) failed" in said


@EXAMPLES
def test_examples_render_as_agreed(example: Path) -> None:
    agreed = (chart.GOLDEN / example.name).read_text(encoding="utf-8")
    assert chart.golden(example) == agreed, "if that was meant: python -m tools.chart"


@EXAMPLES
def test_the_lab_can_read_what_it_is_given(example: Path, tmp_path: Path) -> None:
    objects = documents(chart.render(example))
    for name, text in objects["ConfigMap", "catalogue"]["data"].items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "courses").mkdir()
    catalogue = load(tmp_path, tmp_path / "courses")
    values = YAML(typ="safe").load(example.read_text(encoding="utf-8"))
    assert set(catalogue.sizes) == set(values["sizes"]["sizes"])
    assert set(catalogue.institutions) == set(values["institutions"]["institutions"])
    site = ClusterSite.model_validate_json(objects["ConfigMap", "cluster"]["data"]["cluster.json"])
    assert site.namespace == "kirzl-lab"
    assert {"notebook", "notebook-gpu"} <= set(site.images)
    assert (site.egress_proxy is not None) == bool(catalogue.lab.package_mirrors)


def test_the_one_machine_has_what_a_laptop_has(tmp_path: Path) -> None:
    # What `kirzl-lab up --demo` and `make cluster` show is one and the same lab.
    objects = documents(chart.render(ONE_MACHINE))
    for name, text in objects["ConfigMap", "catalogue"]["data"].items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "courses").mkdir()
    assert load(tmp_path, tmp_path / "courses") == load(chart.REPOSITORY / "hub_config", tmp_path / "courses")


@EXAMPLES
def test_every_pod_keeps_within_its_bounds(example: Path) -> None:
    objects = documents(chart.render(example))
    found = list(templates(objects))
    assert len(found) >= 4
    for where, template in found:
        pod = template["spec"]
        claims = objects[*where.split("/", 1)]["spec"].get("volumeClaimTemplates", [])
        assert pod["automountServiceAccountToken"] is False, where
        assert pod["enableServiceLinks"] is False, where
        assert pod["securityContext"]["runAsNonRoot"] is True, where
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), where
        assert not any("hostPath" in volume for volume in pod["volumes"]), where
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            here = f"{where} {container['name']}"
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False, here
            assert rights["readOnlyRootFilesystem"] is True, here
            assert rights["capabilities"] == {"drop": ["ALL"]}, here
            assert {"requests", "limits"} == set(container["resources"]), here
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, here
            assert "memory" in container["resources"]["limits"], here
            assert container["imagePullPolicy"] in {"Never", "IfNotPresent"}, here
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            volumes = {volume["name"] for volume in pod["volumes"]} | {claim["metadata"]["name"] for claim in claims}
            assert mounted <= volumes, here


@EXAMPLES
def test_every_lasting_pod_is_asked_whether_it_is_well(example: Path) -> None:
    for where, template in templates(documents(chart.render(example))):
        for container in template["spec"]["containers"] if not where.startswith("Job/") else []:
            asked = {"livenessProbe"} if where == "Deployment/controller" else {"readinessProbe", "livenessProbe"}
            assert asked <= set(container), where  # nobody sends the controller anything


@EXAMPLES
def test_only_hub_and_controller_have_a_way_to_the_api_server(example: Path) -> None:
    def token(template: Mapping[str, Any]) -> bool:
        return "serviceAccountToken" in json.dumps(template["spec"]["volumes"])

    with_token = [where for where, template in templates(documents(chart.render(example))) if token(template)]
    assert sorted(with_token) == ["Deployment/controller", "Deployment/hub"]


@EXAMPLES
def test_services_and_budgets_find_their_pods(example: Path) -> None:
    objects = documents(chart.render(example))
    pods = [template["metadata"]["labels"] for _, template in templates(objects)]
    for (kind, name), thing in objects.items():
        if kind not in {"Service", "PodDisruptionBudget"}:
            continue
        selector = thing["spec"]["selector"]
        wanted = selector["matchLabels"] if kind == "PodDisruptionBudget" else selector
        assert sum(wanted.items() <= labels.items() for labels in pods) == 1, f"{kind}/{name}"


@EXAMPLES
def test_no_budget_blocks_a_drain(example: Path) -> None:
    for (kind, name), thing in documents(chart.render(example)).items():
        if kind == "PodDisruptionBudget":
            assert thing["spec"]["maxUnavailable"] >= 1, name
            assert "minAvailable" not in thing["spec"], name


def test_an_upgrade_prepares_with_copies_of_its_own() -> None:
    hooks = {
        name
        for name, thing in documents(chart.render(ONE_MACHINE, "--is-upgrade")).items()
        if "helm.sh/hook" in thing["metadata"].get("annotations", {})
    }
    install = documents(chart.render(ONE_MACHINE))
    kept = {name for name in documents(chart.render(ONE_MACHINE, "--is-upgrade")) if name not in hooks}
    assert kept == {name for name in install if name[0] != "Job"}, "an upgrade takes away what an install brings"
    jobs = [name for kind, name in hooks if kind == "Job"]
    assert len(jobs) == 1
    assert hooks - {("Job", jobs[0])} == {
        *(("ConfigMap", name) for name in ("courses-next", "catalogue-next", "cluster-next")),
        ("NetworkPolicy", "prepare-next"),
    }
    assert not any("helm.sh/hook" in thing["metadata"].get("annotations", {}) for thing in install.values())


@EXAMPLES
def test_an_upgrade_may_prepare_where_the_database_is_from_now_on(tmp_path: Path, example: Path) -> None:
    def moved(values: dict[str, Any]) -> None:
        values["database"] = {"url": "postgresql+psycopg://lab@db.uni.example:6432/lab"}
        values.setdefault("network", {})["database"] = {"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}], "ports": [6432]}

    objects = documents(chart.render(changed(tmp_path, example, moved), "--is-upgrade"))
    opened, later = (objects["NetworkPolicy", name]["spec"] for name in ("prepare-next", "prepare"))
    assert opened["egress"] == later["egress"]
    assert {"ports": [{"port": 6432, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}]} in opened[
        "egress"
    ]
    assert opened["podSelector"] == later["podSelector"]
    hook = objects["NetworkPolicy", "prepare-next"]["metadata"]["annotations"]
    job = next(thing for (kind, _), thing in objects.items() if kind == "Job")["metadata"]["annotations"]
    assert int(hook["helm.sh/hook-weight"]) < int(job["helm.sh/hook-weight"])


def test_prepare_is_another_job_when_it_has_something_else_to_do(tmp_path: Path) -> None:
    def job(change: Change) -> str:
        rendered = documents(chart.render(changed(tmp_path, ONE_MACHINE, change)))
        return next(name for kind, name in rendered if kind == "Job")

    as_it_was = job(lambda values: None)
    assert job(lambda values: None) == as_it_was
    assert job(lambda values: values["lab"].update(grace_minutes=11)) != as_it_was
    assert job(lambda values: values.update(courses={"archive": "YWJj"})) != as_it_was
    assert job(lambda values: values["proxy"].update(resources={})) == as_it_was


@pytest.mark.parametrize(
    ("change", "restarted"),
    [
        (lambda values: values["proxy"].update(resources={"limits": {"memory": "600Mi"}}), {"proxy"}),
        (lambda values: values["service"].update(resources={"limits": {"memory": "2Gi"}}), {"service"}),
        (lambda values: values["hub"].update(resources={"limits": {"memory": "2Gi"}}), {"hub"}),
        (lambda values: values["images"].update(references={"proxy": "a/proxy:2"}), {"proxy"}),
        (lambda values: values["images"].update(references={"notebook": "a/notebook:2"}), {"hub", "controller"}),
        (lambda values: values["storage"].update(homeClass="fast"), {"hub", "controller"}),
        (lambda values: values.update(servers={"nodeSelector": {"pool": "people"}}), {"hub", "controller"}),
        (lambda values: values["lab"].update(session_hours=8), {"hub", "service"}),
        (lambda values: values.update(courses={"archive": "YWJj"}), set()),
    ],
)
def test_a_change_restarts_only_whom_it_concerns(tmp_path: Path, change: Change, restarted: set[str]) -> None:
    def pods(values: Path) -> dict[str, Any]:
        rendered = templates(documents(chart.render(values)))
        return {template["metadata"]["labels"]["app.kubernetes.io/component"]: template for _, template in rendered}

    before, after = pods(ONE_MACHINE), pods(changed(tmp_path, ONE_MACHINE, change))
    assert {name for name in after if after[name] != before[name]} - {"prepare"} == restarted


def test_secrets_of_the_site_are_used_in_place_of_made_ones() -> None:
    objects = documents(chart.render(UNIVERSITY))
    assert not [name for kind, name in objects if kind == "Secret"]
    used = set(re.findall(r'"secretKeyRef": {[^}]*"name": "([^"]+)"', json.dumps(list(objects.values()))))
    assert used == {"kirzl-lab-secrets", "kirzl-lab-database"}
    assert ("StatefulSet", "postgres") not in objects


def test_made_secrets_are_long_and_differ() -> None:
    renders = [documents(chart.render(ONE_MACHINE)) for _ in range(2)]
    made = [objects["Secret", name] for objects in renders for name in ("lab-secrets", "lab-receipts", "lab-metrics")]
    values = [value for secret in made for value in secret["data"].values()]
    assert len(set(values)) == len(values) == 14
    assert all(len(value) == 88 for value in values)
    assert all(secret["immutable"] is True for secret in made)


def test_a_made_secret_never_gets_another_key() -> None:
    # It is immutable: an upgrade that brought one more would be refused. A later key gets a Secret of its own.
    made = documents(chart.render(ONE_MACHINE))["Secret", "lab-secrets"]
    assert set(made["data"]) == {
        "JUPYTERHUB_CRYPT_KEY",
        "CONFIGPROXY_AUTH_TOKEN",
        "KIRZL_LAB_SERVICE_TOKEN",
        "KIRZL_LAB_COOKIE_SECRET",
        "KIRZL_LAB_DATABASE_PASSWORD",
    }


def test_people_s_servers_run_where_the_values_say(tmp_path: Path) -> None:
    servers = {
        "nodeSelector": {"pool": "people"},
        "tolerations": [{"key": "pool", "operator": "Equal", "value": "people", "effect": "NoSchedule"}],
        "priorityClassName": "people",
    }
    objects = documents(chart.render(changed(tmp_path, ONE_MACHINE, lambda values: values.update(servers=servers))))
    site = ClusterSite.model_validate_json(objects["ConfigMap", "cluster"]["data"]["cluster.json"])
    assert site.server_node_selector == {"pool": "people"}
    assert [each.model_dump() for each in site.server_tolerations] == servers["tolerations"]
    assert site.server_priority_class == "people"
    assert all("nodeSelector" not in template["spec"] for _, template in templates(objects))


def test_bodies_that_people_send_get_through_an_ingress_as_it_comes(tmp_path: Path) -> None:
    plain = {"enabled": True, "className": "nginx"}
    objects = documents(chart.render(changed(tmp_path, UNIVERSITY, lambda values: values.update(ingress=plain))))
    annotations = objects["Ingress", "lab"]["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == "64m"
    assert annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"] == "3600"


def test_the_front_door_has_the_public_port(tmp_path: Path) -> None:
    def port(example: Path, **more: Any) -> int:
        objects = documents(chart.render(changed(tmp_path, example, lambda values: values.update(more))))
        return int(objects["Service", "proxy"]["spec"]["ports"][0]["port"])

    assert port(ONE_MACHINE) == 8000
    assert port(ONE_MACHINE, publicUrl="http://lab.localhost") == 80
    assert port(ONE_MACHINE, publicPort=9000) == 9000
    assert port(UNIVERSITY) == 80
    assert port(UNIVERSITY, publicUrl="https://lab.uni.example:8443") == 80


def test_both_ways_in_lead_the_lab_and_all_servers_to_the_proxy() -> None:
    ingress = documents(chart.render(UNIVERSITY))["Ingress", "lab"]["spec"]
    assert [rule["host"] for rule in ingress["rules"]] == ["lab.uni.example", "*.lab.uni.example"]
    assert ingress["tls"] == [
        {"hosts": ["lab.uni.example", "*.lab.uni.example"], "secretName": "lab-wildcard-certificate"}
    ]
    objects = documents(chart.render(PARTNERS))
    assert objects["HTTPRoute", "lab"]["spec"]["hostnames"] == ["lab.region.example", "*.lab.region.example"]
    listeners = objects["Gateway", "lab"]["spec"]["listeners"]
    assert {listener["hostname"] for listener in listeners} == {"lab.region.example", "*.lab.region.example"}
    assert all(listener["protocol"] == "HTTPS" for listener in listeners)


REFUSED: list[tuple[Path, Change, str]] = [
    (ONE_MACHINE, lambda v: v.pop("publicUrl"), "publicUrl is not set: say under which address browsers reach the lab"),
    (ONE_MACHINE, lambda v: v.update(publicUrl="lab.uni.example"), "it must begin with https:// and a host"),
    (ONE_MACHINE, lambda v: v.update(publicUrl="http://lab.localhost/x"), "give scheme, host and port only"),
    (UNIVERSITY, lambda v: v.update(publicUrl="http://lab.uni.example"), "logins travel in the clear over http"),
    (UNIVERSITY, lambda v: v.update(publicUrl="https://192.0.2.7"), "it must be a name and no number"),
    (ONE_MACHINE, lambda v: v.pop("lab"), "lab is not set: it is the content of hub_config/lab.yaml"),
    (ONE_MACHINE, lambda v: v.pop("sizes"), "sizes is not set: it is the content of hub_config/sizes.yaml"),
    (ONE_MACHINE, lambda v: v.pop("institutions"), "institutions is not set"),
    (ONE_MACHINE, lambda v: v["images"].pop("registry"), "images.registry is not set: say where the lab's images are"),
    (UNIVERSITY, lambda v: v.update(demo={"enabled": True}), "the demo institutions have known passwords"),
    (UNIVERSITY, lambda v: v.pop("institutionSecrets"), "uni has its client secret in KIRZL_LAB_UNI_SECRET, but"),
    (UNIVERSITY, lambda v: v["database"].update(url="postgresql+psycopg://x"), "either url or existingSecret"),
    (ONE_MACHINE, lambda v: v.update(database={"url": "postgres://x"}), "must begin with postgresql+psycopg://"),
    (UNIVERSITY, lambda v: v.update(gateway={"enabled": True}), "name the Gateway that you run"),
    (PARTNERS, lambda v: v["gateway"].update(parentRefs=[{"name": "x"}]), "gateway: give either parentRefs or className"),
    (PARTNERS, lambda v: v["gateway"].pop("tlsSecret"), "a Secret with the certificate for lab.region.example and *."),
    (ONE_MACHINE, lambda v: v.update(publicURL="x"), "additional properties 'publicURL' not allowed"),
    (ONE_MACHINE, lambda v: v["hub"].update(replicas=2), "at '/hub': additional properties 'replicas' not allowed"),
    (ONE_MACHINE, lambda v: v["images"].update(pullPolicy="Sometimes"), "must be one of 'IfNotPresent', 'Never', 'Alw"),
    (ONE_MACHINE, lambda v: v["service"].update(replicas=0), "at '/service/replicas': minimum: got 0, want 1"),
    (ONE_MACHINE, lambda v: v["lab"].pop("contact"), "at '/lab': missing property 'contact'"),
    (ONE_MACHINE, lambda v: v["sizes"]["sizes"]["cpu-small"].update(gpus=1), "additional properties 'gpus' not allowed"),
    (ONE_MACHINE, lambda v: v.update(courses={"archive": "!"}), "at '/courses/archive'"),
    (ONE_MACHINE, lambda v: v["postgres"].update(storage=5), "at '/postgres/storage': got number, want string"),
]  # fmt: skip


@pytest.mark.parametrize(("example", "change", "words"), REFUSED, ids=[words[:40] for _, _, words in REFUSED])
def test_what_cannot_be_is_refused_in_words(tmp_path: Path, example: Path, change: Change, words: str) -> None:
    with pytest.raises(chart.RefusedError, match=re.escape(words)):
        chart.render(changed(tmp_path, example, change))
