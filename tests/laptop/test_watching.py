"""A running lab as its operators see it: its metrics are there, and its logs tell neither secrets nor names."""

import json
import sqlite3
from contextlib import closing

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kirzl_lab import logs
from kirzl_lab.cli import metrics_reference as reference
from tests.support.people import Person
from tests.support.running_lab import RunningLab
from tests.support.waiting import wait_until
from tests.support.watched import CLAIMS, IN_A_TOKEN, PEOPLE, Watched, known_of_people, told

pytestmark = [pytest.mark.laptop, pytest.mark.node]

ENDPOINTS = {"/hub/metrics": reference.hub_families, "/services/lab/metrics": reference.service_families}


def token_of(lab: RunningLab) -> str:
    """What Prometheus is given."""
    return (lab.data / "secrets" / "metrics_token").read_text()


def read(lab: RunningLab, path: str) -> dict[str, float]:
    """The samples at an endpoint, as Prometheus reads them, by name and labels."""
    answer = httpx.get(lab.url + path, headers={"Authorization": f"Bearer {token_of(lab)}"}).raise_for_status()
    return {
        f"{sample.name}{json.dumps(sample.labels, sort_keys=True)}": sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


@pytest.mark.parametrize("path", ENDPOINTS)
def test_every_documented_metric_is_there(demo_lab: RunningLab, path: str) -> None:
    answer = httpx.get(demo_lab.url + path, headers={"Authorization": f"Bearer {token_of(demo_lab)}"})
    assert answer.status_code == 200
    found = {(family.name, family.type) for family in text_string_to_metric_families(answer.text)}
    documented = {(family.name, family.type) for family in ENDPOINTS[path]()}
    assert documented <= found
    ours = {name for name, _ in found if name.startswith("kirzl_lab_")}
    here = {family.name for family in ENDPOINTS[path]()}
    assert ours == here, "a metric that the reference does not know"


@pytest.mark.parametrize("path", ENDPOINTS)
def test_metrics_are_not_for_everybody(demo_lab: RunningLab, path: str) -> None:
    person = Person(demo_lab.url)
    person.login("uni", "operator")
    assert httpx.get(demo_lab.url + path).status_code in (403, 404)
    assert httpx.get(demo_lab.url + path, headers={"Authorization": "Bearer made-up"}).status_code in (401, 403)
    assert person.http.get(demo_lab.url + path).status_code in (403, 404)
    person.close()


def test_what_happens_is_counted(demo_lab: RunningLab) -> None:
    before, size = read(demo_lab, "/hub/metrics"), '"size": "cpu-small"'
    ready = f'kirzl_lab_server_starts_total{{"outcome": "ready", "reason": "none", {size}}}'
    running = f'kirzl_lab_running_servers{{"kind": "course", {size}}}'
    ends = f'kirzl_lab_server_ends_total{{"reason": "asked", {size}}}'
    logins = 'kirzl_lab_logins_total{"institution": "uni", "outcome": "ok"}'
    stray = 'kirzl_lab_logins_total{"institution": "uni", "outcome": "stray"}'
    refused = 'kirzl_lab_refusals_total{"problem": "size-not-allowed"}'
    waited = f"kirzl_lab_server_start_seconds_count{{{size}}}"
    person = Person(demo_lab.url)
    person.login("uni", "lecturer")
    person.http.get(f"{demo_lab.url}/hub/callback/uni", params={"state": "made-up", "code": "made-up"})
    person.start("ml-101", "gpu-full")
    person.start("ml-101", "cpu-small")
    wait_until(lambda: read(demo_lab, "/hub/metrics")[ready] > before[ready], "a start that is counted")
    during = read(demo_lab, "/hub/metrics")
    assert during[running] == before[running] + 1
    person.stop("ml-101")
    wait_until(lambda: read(demo_lab, "/hub/metrics")[ends] > before[ends], "an end that is counted")
    after = read(demo_lab, "/hub/metrics")
    person.close()
    assert after[running] == before[running]
    for name in (ready, ends, logins, stray, refused, waited):
        assert after[name] == before[name] + 1, name


def test_a_request_can_be_followed_from_the_service_to_the_hub(demo_lab: RunningLab) -> None:
    for path in ("/hub/login", "/hub/api/", "/services/lab/health", "/hub/nowhere", "/services/lab/nowhere"):
        answer = httpx.get(demo_lab.url + path, headers={logs.HEADER: "request-of-this-test"})
        assert answer.headers[logs.HEADER] == "request-of-this-test", path


# -- what logs may not tell --------------------------------------------------------------------------------------


def a_server(person: Watched) -> None:
    """Start one, open it, stop it, come back to it."""
    person.start("ml-101", "cpu-small")
    model = wait_until(
        lambda: (found := person.server("ml-101") or {}).get("ready") and found, f"a server of {person.hub_name}", 90
    )
    address = f"{person.lab_url}{model['url']}"
    person.use(address)
    person.stop("ml-101")
    wait_until(lambda: not (person.server("ml-101") or {}).get("ready"), "its end")
    person.http.get(f"{address}lab", params={"token": IN_A_TOKEN})


def test_no_log_tells_a_secret_or_a_name(demo_lab: RunningLab) -> None:
    operator, student = Watched(demo_lab.url), Watched(demo_lab.url)
    operator.operate()
    student.login("uni", "student4")
    a_server(student)
    for person in (operator, student):
        person.http.get(f"{demo_lab.url}/hub/logout")
        person.close()
    secrets = operator.secrets | student.secrets
    wanted = {"parameter code", "parameter state", "parameter nonce", "parameter code_challenge", "parameter token"}
    cookies = {"cookie _xsrf", "cookie jupyterhub-session-id", "cookie kirzl-lab-session"}
    assert wanted | cookies | {"API token"} <= set(secrets.values())
    secrets |= {file.read_text().strip(): f"file {file.name}" for file in (demo_lab.data / "secrets").glob("*_*")}
    with closing(sqlite3.connect(demo_lab.data / "lab.sqlite")) as database:
        people = known_of_people(database.execute(PEOPLE), (text for (text,) in database.execute(CLAIMS)))
    assert {"display name", "email"} <= set(people.values())
    files = [file for file in (demo_lab.data / "logs").rglob("*") if file.is_file()]
    assert {"hub.log", "service.log", "proxy.log", "prepare.log"} <= {file.name for file in files}
    assert any(student.hub_name in file.name for file in files)
    assert told(secrets | people, ((file.name, file.read_text(errors="replace")) for file in files)) == []
