"""Alerts, dashboard, runbooks and metrics know each other: nothing names what is not there."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
from jupyterhub.metrics import EVENT_LOOP_INTERVAL_SECONDS
from prometheus_client import REGISTRY
from ruamel.yaml import YAML

from kirzl_lab.cli import metrics_reference as reference
from kirzl_lab.hub import metrics
from tools import chart, dashboard

ROOT = Path(__file__).parents[2]
ALERTS = chart.CHART / "monitoring" / "alerts.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"

OURS = [*reference.hub_families(), *reference.service_families()]
OF_JUPYTERHUB = reference.families([EVENT_LOOP_INTERVAL_SECONDS])
OF_THE_PROCESS = [family for family in REGISTRY.collect() if family.name == "process_resident_memory_bytes"]
OF_PROMETHEUS = {"up"}
OF_THE_KUBELET = {"kubelet_volume_stats_available_bytes", "kubelet_volume_stats_capacity_bytes"}
KNOWN = (
    {name for family in (*OURS, *OF_JUPYTERHUB, *OF_THE_PROCESS) for name in reference.sample_names(family)}
    | OF_PROMETHEUS
    | OF_THE_KUBELET
)
LABELS = {name: set(labels) for name, labels in reference.VALUES.items()}
OF_THE_SCRAPE = {"namespace", "job", "le"}


def rules() -> list[dict[str, Any]]:
    loaded = YAML(typ="safe").load(ALERTS.read_text(encoding="utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    written: dict[str, Any] = json.loads(dashboard.FILE.read_text(encoding="utf-8"))
    return list(written["panels"])


def expressions() -> Iterator[Any]:
    for rule in rules():
        yield pytest.param(rule["expr"], id=rule["alert"])
    for panel in panels():
        for target in panel.get("targets", ()):
            yield pytest.param(target["expr"], id=f"{panel['title']}: {target['legendFormat']}")


def selectors(expression: str) -> list[promql.VectorSelector]:
    """What an expression asks Prometheus for. Raises ValueError for what is no PromQL."""
    # Grafana fills these in before Prometheus sees them.
    for variable in ("$__rate_interval", "$__interval"):
        expression = expression.replace(variable, "5m")
    found: list[promql.VectorSelector] = []

    def note(node: object) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(node)

    promql.walk(promql.parse(expression), note, None)
    return found


def test_a_mistake_in_an_expression_would_be_seen() -> None:
    with pytest.raises(ValueError, match=r".+"):
        selectors("sum(increase(kirzl_lab_logins_total[5m])")
    (selector,) = selectors('sum by (x) (increase(kirzl_lab_typo_total{a="b"}[$__interval])) > 0')
    assert selector.name == "kirzl_lab_typo_total"
    assert selector.name not in KNOWN


@pytest.mark.parametrize("expression", list(expressions()))
def test_what_is_asked_for_exists(expression: str) -> None:
    found = selectors(expression)
    assert found
    for selector in found:
        assert selector.name in KNOWN
        family = re.sub(r"_(total|bucket|sum|count)$", "", selector.name)
        labels = {matcher.name for matcher in selector.matchers.matchers}
        assert "namespace" in labels, f"{selector.name} of every lab that this Prometheus knows"
        if selector.name.startswith("kirzl_lab_"):
            assert labels <= LABELS.get(family, set()) | OF_THE_SCRAPE


@pytest.mark.parametrize("expression", list(expressions()))
def test_values_of_labels_that_are_asked_for_exist(expression: str) -> None:
    """`outcome="faild"` would be an alert that never comes."""
    values = {
        ("kirzl_lab_server_starts", "outcome"): set(metrics.Start),
        ("kirzl_lab_server_starts", "reason"): set(metrics.FAILURES),
        ("kirzl_lab_server_ends", "reason"): set(metrics.End),
        ("kirzl_lab_logins", "outcome"): set(metrics.Login),
    }
    for selector in selectors(expression):
        family = re.sub(r"_(total|bucket|sum|count)$", "", selector.name)
        for matcher in selector.matchers.matchers:
            if (family, matcher.name) in values:
                assert set(matcher.value.split("|")) <= values[(family, matcher.name)]


def test_the_bound_of_a_block_is_one_that_jupyterhub_counts() -> None:
    (family,) = OF_JUPYTERHUB
    assert "1.0" in {sample.labels.get("le") for sample in family.samples}


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule["alert"]) for rule in rules()])
def test_an_alert_says_what_it_is_and_where_its_runbook_is(rule: Mapping[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["labels"]["namespace"] == "LAB_NAMESPACE"  # sums have lost it, and a Prometheus may watch two labs
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["description"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"LAB_RUNBOOKS/{rule['alert']}.md"


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    alerts = [rule["alert"] for rule in rules()]
    assert sorted(alerts) == sorted(page.stem for page in RUNBOOKS.glob("*.md"))


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_a_runbook_answers_three_questions(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.stem}\n")
    order = [text.find(question) for question in ("**What it means.**", "**How to look.**", "**What to do.**")]
    assert -1 not in order
    assert order == sorted(order)
    for link in re.findall(r"\]\((\w+\.md)\)", text):
        assert (RUNBOOKS / link).exists()


def test_reasons_of_failed_starts_have_a_line_in_their_runbook() -> None:
    text = (RUNBOOKS / "LabStartsFail.md").read_text(encoding="utf-8")
    told = set(
        re.findall(r"`([a-z-]+)`", "".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `")))
    )
    left_out = {"gpu", "quota", "room", "memory"}  # by the alert's own expression
    assert told == metrics.FAILURES - left_out


def test_the_dashboard_is_what_its_table_says() -> None:
    assert dashboard.FILE.read_text(encoding="utf-8") == dashboard.text(), "run `python -m tools.dashboard`"


def test_panels_fill_their_rows_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    height = max(y for _, y in taken) + 1
    assert taken == {(x, y) for x in range(24) for y in range(height)}
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_the_reference_is_what_the_code_says() -> None:
    written = (ROOT / reference.PAGE).read_text(encoding="utf-8")
    assert written == reference.markdown(), "run `python -m kirzl_lab.cli.metrics_reference` and commit the page"


def test_every_label_is_explained() -> None:
    for family in OURS:
        shown = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert shown <= set(reference.VALUES.get(family.name, {})), family.name
        assert family.documentation.endswith(".")
        assert re.fullmatch(r"kirzl_lab_[a-z_]+", family.name)
        assert family.type != "histogram" or family.name.endswith("_seconds")


# -- what the chart makes of it; needs helm ----------------------------------------------------------------------

EVERYTHING = {
    "monitoring": {
        "prometheus": {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "watching"}}}]},
        "serviceMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}},
        "rules": {"enabled": True, "runbooks": "https://docs.example/runbooks/"},
        "dashboard": {"enabled": True},
    }
}
ONE_MACHINE = chart.CHART / "examples" / "one-machine.yaml"


def rendered(*options: str | Path, namespace: str = "elsewhere") -> dict[tuple[str, str], dict[str, Any]]:
    """The objects of the chart by kind and name."""
    text = chart.render(ONE_MACHINE, *options, namespace=namespace)
    return {(one["kind"], one["metadata"]["name"]): one for one in YAML(typ="safe").load_all(text) if one}


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    values = tmp_path_factory.mktemp("values") / "monitoring.json"
    values.write_text(json.dumps(EVERYTHING))
    return rendered(f"--values={values}")


@pytest.mark.cluster
def test_nothing_of_it_is_made_unasked() -> None:
    kinds = {kind for kind, _ in rendered()}
    assert not kinds & {"ServiceMonitor", "PrometheusRule"}
    assert ("ConfigMap", "dashboard") not in rendered()
    assert ("NetworkPolicy", "metrics") not in rendered()


@pytest.mark.cluster
@pytest.mark.parametrize("component", ["hub", "service"])
def test_prometheus_finds_ports_that_are_there(objects: dict[tuple[str, str], dict[str, Any]], component: str) -> None:
    monitor, service = objects["ServiceMonitor", component], objects["Service", component]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["endpoints"]
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    assert endpoint["port"] in ports
    assert endpoint["interval"] == "15s"
    token = endpoint["authorization"]["credentials"]
    assert token["key"] in objects["Secret", token["name"]]["data"]
    policy = objects["NetworkPolicy", "metrics"]["spec"]
    assert ports[endpoint["port"]] in {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    assert component in policy["podSelector"]["matchExpressions"][0]["values"]


@pytest.mark.cluster
def test_both_processes_are_told_the_token(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    for name in ("hub", "service"):
        (container,) = objects["Deployment", name]["spec"]["template"]["spec"]["containers"]
        assert "KIRZL_LAB_METRICS_TOKEN" in {variable["name"] for variable in container["env"]}


@pytest.mark.cluster
def test_rules_are_about_this_lab_and_name_the_site_s_runbooks(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    made = objects["PrometheusRule", "kirzl-lab"]["spec"]["groups"]
    assert [rule["alert"] for group in made for rule in group["rules"]] == [rule["alert"] for rule in rules()]
    for rule in (rule for group in made for rule in group["rules"]):
        assert 'namespace="elsewhere"' in rule["expr"]
        assert rule["labels"]["namespace"] == "elsewhere"
        assert rule["annotations"]["runbook_url"] == f"https://docs.example/runbooks/{rule['alert']}.md"
    assert "LAB_" not in json.dumps(made)


@pytest.mark.cluster
def test_the_dashboard_arrives_as_it_was_written(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    config = objects["ConfigMap", "dashboard"]
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["kirzl-lab.json"]) == dashboard.dashboard()


@pytest.mark.cluster
def test_runbooks_speak_of_objects_that_are_there(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    kinds = {"deploy": "Deployment", "statefulset": "StatefulSet"}
    claims = {name for kind, name in objects if kind == "PersistentVolumeClaim"} | {
        f"{claim['metadata']['name']}-{name}-0"
        for (kind, name), thing in objects.items()
        if kind == "StatefulSet"
        for claim in thing["spec"]["volumeClaimTemplates"]
    }
    components = {thing["metadata"]["labels"].get("app.kubernetes.io/component") for thing in objects.values()}
    for page in RUNBOOKS.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for kind, name in re.findall(r"\b(deploy|statefulset)/([a-z-]+)", text):
            assert (kinds[kind], name) in objects, page.stem
        for names in re.findall(r"(?:get|patch) pvc ((?:[a-z-]+\d* ?)+)", text):
            assert {name for name in names.split() if not name.startswith("-")} <= claims, page.stem
        for component in re.findall(r"app.kubernetes.io/component=([a-z-]+)", text):
            assert component in {*components, "singleuser-server"}, page.stem
    watched = re.findall(r'persistentvolumeclaim=~"([^"]+)"', ALERTS.read_text(encoding="utf-8"))
    assert {name for names in watched for name in names.split("|")} <= claims
