"""What operators see of a lab in a cluster: metrics, logs that can be followed by request and tell no secret."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kirzl_lab import logs
from kirzl_lab.cli import metrics_reference as reference
from tests.cluster.lab.lab import ClusterLab
from tests.cluster.lab.stand_in import StandIn, stand_in
from tests.cluster.lab.test_network import load
from tests.cluster.space import Space, eventually
from tests.support.waiting import wait_until
from tests.support.watched import CLAIMS, PEOPLE, Watched, known_of_people, told
from tools import chart
from tools.onenode import api

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

FAMILIES = {"hub": reference.hub_families, "service": reference.service_families}
IN_JSON = ("hub", "service")
PARTS = (*IN_JSON, "proxy", "prepare", "postgres")


def log_of(lab: ClusterLab, selector: str, container: str = "", since: str = "0s") -> str:
    """What pods wrote, in all of their containers or in one."""
    which = f"--container={container}" if container else "--all-containers"
    return lab.space.kubectl(
        *("logs", f"--selector={selector}", which, "--tail=-1", "--max-log-requests=50", f"--since={since}")
    )


def part_called(name: str) -> str:
    """The selector of a part of the lab."""
    return f"app.kubernetes.io/component={name}"


@pytest.mark.parametrize("part", FAMILIES)
def test_every_documented_metric_is_there(cluster_lab: ClusterLab, part: str) -> None:
    found = {(family.name, family.type) for family in text_string_to_metric_families(cluster_lab.metrics(part))}
    assert {(family.name, family.type) for family in FAMILIES[part]()} <= found


@pytest.fixture
def student(cluster_lab: ClusterLab) -> Iterator[Watched]:
    somebody = Watched(cluster_lab.url)
    somebody.login("uni", "student4")
    cluster_lab.close_all(somebody)  # of an earlier test that was cut off
    yield somebody
    cluster_lab.close_all(somebody)
    somebody.close()


def lines_of(lab: ClusterLab, request_id: str) -> list[dict[str, Any]]:
    """What the hub wrote of a request."""
    written = log_of(lab, part_called("hub"), "hub", since="10m")
    return [json.loads(line) for line in written.splitlines() if request_id in line]


def test_a_start_is_followed_by_its_request(cluster_lab: ClusterLab, student: Watched) -> None:
    mark = f"request-{token_hex(8)}"
    student.http.headers[logs.HEADER] = mark
    student.start("ml-101", "cpu-small")
    del student.http.headers[logs.HEADER]
    wait_until(lambda: (student.server("ml-101") or {}).get("ready"), "a server", 90)

    def told_of_the_end() -> list[dict[str, Any]] | None:
        lines = lines_of(cluster_lab, mark)
        return lines if any("seconds to start" in line["message"] for line in lines) else None

    lines = wait_until(told_of_the_end, "the line that ends a start")
    assert {line["request_id"] for line in lines} == {mark}
    # The answer came before the server was there: what the hub did afterwards is found under the click, too.
    assert any("POST /hub/start" in line["message"] for line in lines)
    assert student.hub_name in {line.get("hub_name") for line in lines}


def test_no_log_tells_a_secret_or_a_name(cluster_lab: ClusterLab, student: Watched) -> None:
    operator = Watched(cluster_lab.url)
    operator.operate()
    student.start("ml-101", "cpu-small")
    model = wait_until(
        lambda: (found := student.server("ml-101") or {}).get("ready") and found, f"a server of {student.hub_name}", 90
    )
    student.use(model["full_url"])
    server = log_of(cluster_lab, f"hub.jupyter.org/username={student.hub_name}")
    operator.http.get(f"{cluster_lab.url}/hub/logout")
    operator.close()
    secrets = operator.secrets | student.secrets
    assert {"parameter code", "parameter state", "parameter nonce", "cookie kirzl-lab-session"} <= set(secrets.values())
    for own in ("lab-secrets", "lab-receipts", "lab-metrics"):
        secret = api.get(f"--namespace={cluster_lab.space.name}", "secret", own)["data"]
        secrets |= {value: f"secret {name}" for name, value in secret.items()}
    rows = [row.split("|", 1) for row in cluster_lab.sql(PEOPLE).splitlines()]
    people = known_of_people(((what, value) for what, value in rows), cluster_lab.sql(CLAIMS).splitlines())
    assert {"display name", "email"} <= set(people.values())
    written = {part: log_of(cluster_lab, part_called(part)) for part in PARTS} | {"server": server}
    assert all(written.values())
    assert told(secrets | people, written.items()) == []


@pytest.mark.parametrize("part", IN_JSON)
def test_every_line_is_a_json_object(cluster_lab: ClusterLab, part: str) -> None:
    lines = log_of(cluster_lab, part_called(part), part).splitlines()
    assert lines
    for line in lines:
        assert {"time", "level", "logger", "where", "message"} <= set(json.loads(line))


@pytest.fixture
def watching(cluster_lab: ClusterLab) -> Iterator[StandIn]:
    """A pod that stands for Prometheus, in a namespace of its own."""
    space = Space(f"test-{token_hex(4)}")
    api.kubectl("create", "namespace", space.name)
    yield stand_in(space, load("egress"), "prometheus", {"app": "prometheus"})
    api.kubectl("delete", "namespace", space.name, "--wait=false")
    cluster_lab.space.kubectl("delete", "networkpolicy", "metrics", "--ignore-not-found")


def test_prometheus_reaches_what_it_reads_and_nothing_else(
    cluster_lab: ClusterLab, watching: StandIn, tmp_path: Path
) -> None:
    ports = {"hub": 8081, "service": 8080, "postgres": 5432, "proxy": 8001}
    parts = {name: f"{cluster_lab.part(name)['status']['podIP']}:{port}" for name, port in ports.items()}
    eventually(lambda: watching.space.get("pod", "prometheus")["status"]["phase"] == "Running", "a pod to try from")
    assert watching.reached(parts) == set()
    selector = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": watching.space.name}}}
    values = tmp_path / "values.json"
    values.write_text(json.dumps({"monitoring": {"prometheus": {"from": [selector]}}}))
    one_machine = chart.CHART / "examples" / "one-machine.yaml"
    policy = chart.render(one_machine, f"--values={values}", "--show-only=templates/monitoring.yaml")
    cluster_lab.space.kubectl("apply", "--filename=-", given=policy)
    eventually(lambda: watching.reached(parts) == {"hub", "service"}, "the way to the metrics")


# -- what operators are told to type -----------------------------------------------------------------------------

HOW_TO = chart.REPOSITORY / "docs" / "how-to" / "cluster" / "watching.md"
RUNBOOKS = sorted((chart.REPOSITORY / "docs" / "runbooks").glob("*.md"))
NOT_HERE = ("previous terminated container", "Metrics API not available")
"""What a lab that never fell, and a cluster without a metrics server, answer to a command that is right."""


def commands(page: Path) -> list[str]:
    """The commands of a page that look at things: in a runbook, those before what to do."""
    looks = page.read_text(encoding="utf-8").partition("**What to do.**")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", looks, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture(scope="module")
def shell(cluster_lab: ClusterLab, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Runs commands as an operator of this lab would; what they complain of."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "kubectl"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(api.kubectl_command([]))} "$@"\n')
    program.chmod(0o755)

    def run(script: str) -> str:
        issuer = f"{cluster_lab.url.replace('://', '://institutions.')}/uni"
        script = script.replace("https://lab.example", cluster_lab.url).replace("https://login.uni.example", issuer)
        environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
        return "" if any(answer in done.stderr for answer in NOT_HERE) else done.stderr

    return run


@pytest.mark.parametrize("page", [HOW_TO, *RUNBOOKS], ids=lambda page: page.stem)
def test_commands_that_look_work(shell: Callable[[str], str], page: Path) -> None:
    found = commands(page)
    assert found
    setting = [command for command in found if command.startswith("TOKEN=")]
    for command in found:
        complaints = [
            line
            for line in shell("\n".join([*setting, command])).splitlines()
            # kubectl says which container it took, and that there is nothing to list.
            if not line.startswith(("Defaulted container", "No resources found"))
        ]
        assert complaints == [], command


def test_metrics_are_read_by_hand_as_the_how_to_says(shell: Callable[[str], str], tmp_path: Path) -> None:
    token, *questions = [line for line in commands(HOW_TO) if line.startswith(("TOKEN=", "curl"))]
    for number, question in enumerate(questions):
        file = tmp_path / str(number)
        assert shell(f"{token}\n{question} > {file}") == ""
        assert "kirzl_lab_refusals_total" in file.read_text()
