"""What the lab service counts, and how a request is followed through it to the hub."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from kirzl_lab import logs
from kirzl_lab.problems import HubAway
from kirzl_lab.service import metrics
from kirzl_lab.service.hub import Hub
from tests.service.conftest import METRICS_TOKEN, PAGE, PLACE, Service, log_in
from tests.service.fake_hub import API, OWN_TOKEN, FakeHub
from tests.service.sample import OPERATOR, STUDENT

METRICS = "/services/lab/metrics"


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


# -- the endpoint ------------------------------------------------------------------------------------------------


async def test_prometheus_reads_metrics(service: Service) -> None:
    async with service.client(Authorization=f"Bearer {METRICS_TOKEN}") as client:
        answer = await client.get(METRICS)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"kirzl_lab_service_requests", "kirzl_lab_database_seconds", "process_resident_memory_bytes"} <= names


async def test_a_browser_is_not_sent_to_log_in_for_metrics(service: Service) -> None:
    """It would come back, be refused and be sent again."""
    async with service.browser(OPERATOR) as client:
        assert (await client.get(METRICS)).status_code == 404


async def test_where_no_token_is_set_there_are_no_metrics(service: Service) -> None:
    service.state.place = replace(PLACE, metrics_token="")
    for header in ("Bearer ", "Bearer x", f"Bearer {METRICS_TOKEN}"):
        async with service.client(Authorization=header) as client:
            assert (await client.get(METRICS)).status_code == 404


# -- what is counted ---------------------------------------------------------------------------------------------

REQUESTS = {
    "a person's page, whoever it is": ("GET", f"/people/{STUDENT}", "/people/{hub_name}", "2xx"),
    "somebody who is not there": ("GET", "/people/nobody@uni.example", "/people/{hub_name}", "4xx"),
    "an address without a route": ("GET", "/nobody@uni.example", metrics.UNMATCHED, "4xx"),
    "a method without a meaning": ("POST", "/audit", "/audit", "4xx"),
}


@pytest.mark.parametrize(("method", "path", "route", "status"), REQUESTS.values(), ids=REQUESTS)
async def test_requests_are_counted_by_the_template_of_their_route(
    service: Service, method: str, path: str, route: str, status: str
) -> None:
    labels = {"route": route, "method": method, "status": status}
    before = sample("kirzl_lab_service_requests_total", **labels)
    timed = sample("kirzl_lab_service_request_seconds_count", route=route)
    async with service.with_token(OPERATOR) as client:
        await client.request(method, f"/services/lab{path}")
    assert sample("kirzl_lab_service_requests_total", **labels) == before + 1
    assert sample("kirzl_lab_service_request_seconds_count", route=route) == timed + 1


async def test_an_odd_method_is_no_label(service: Service) -> None:
    async with service.with_token(OPERATOR) as client:
        await client.request("ODD", "/services/lab/audit")
    (family,) = metrics.REQUESTS.collect()
    assert {one.labels["method"] for one in family.samples} <= {*metrics.METHODS, "other"}


async def test_refusals_are_counted(service: Service) -> None:
    before = sample("kirzl_lab_refusals_total", problem="operators-only")
    async with service.with_token(STUDENT) as client:
        await client.get("/services/lab/api/people")
    assert sample("kirzl_lab_refusals_total", problem="operators-only") == before + 1


async def test_a_browser_on_its_way_to_the_login_is_not_refused(service: Service) -> None:
    before = sample("kirzl_lab_refusals_total", problem="not-logged-in")
    async with service.client(**PAGE) as client:
        assert (await client.get("/services/lab/audit")).status_code == 302
    assert sample("kirzl_lab_refusals_total", problem="not-logged-in") == before


@pytest.mark.parametrize(("trouble", "outcome"), [("", "ok"), ("away", "hub-away"), ("refused", "refused")])
async def test_logins_are_counted(service: Service, trouble: str, outcome: str) -> None:
    before = sample("kirzl_lab_service_logins_total", outcome=outcome)
    async with service.client(**PAGE) as client:
        service.hub.away = trouble == "away"
        if trouble == "refused":
            await client.get("/services/lab/oauth_callback", params={"state": "made-up", "code": "x"})
        else:
            await log_in(client, service.hub, "session-token", STUDENT)
    assert sample("kirzl_lab_service_logins_total", outcome=outcome) == before + 1


@pytest.mark.parametrize("trouble", ["away", "broken"])
async def test_questions_without_an_answer_are_counted(trouble: str) -> None:
    fake = FakeHub()
    setattr(fake, trouble, True)
    before = sample("kirzl_lab_service_hub_away_total")
    async with httpx.AsyncClient(transport=fake.transport()) as client:
        with pytest.raises(HubAway):
            await Hub(client, API, OWN_TOKEN).servers(STUDENT)
    assert sample("kirzl_lab_service_hub_away_total") == before + 1


async def test_looks_into_the_lab_database_are_measured(service: Service) -> None:
    looks, away = sample("kirzl_lab_database_seconds_count", access="read"), sample("kirzl_lab_database_away_total")
    async with service.with_token(STUDENT) as client:
        assert (await client.get("/services/lab/api/spaces")).status_code == 200
    assert sample("kirzl_lab_database_seconds_count", access="read") > looks
    assert sample("kirzl_lab_database_away_total") == away


async def test_a_lab_database_that_is_away_is_counted(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def refused() -> AsyncIterator[None]:
        raise OSError("connection refused")
        yield

    monkeypatch.setattr(service.store, "reading", refused)
    before = sample("kirzl_lab_database_away_total")
    async with service.with_token(STUDENT) as client:
        assert (await client.get("/services/lab/api/spaces")).status_code == 503
    assert sample("kirzl_lab_database_away_total") == before + 1


# -- a request through the processes -----------------------------------------------------------------------------


async def test_the_id_of_a_request_comes_back_and_goes_on_to_the_hub(service: Service) -> None:
    seen: list[str | None] = []

    async def note(request: httpx.Request) -> None:
        seen.append(request.headers.get(logs.HEADER))

    service.state.hub._client.event_hooks["request"].append(note)
    async with service.with_token(OPERATOR) as client:
        path = f"/services/lab/api/people/{STUDENT}"
        answer = await client.get(path, headers={logs.HEADER: "request-of-this-test"})
        assert answer.status_code == 200
        assert answer.headers[logs.HEADER] == "request-of-this-test"
        assert seen and set(seen) == {"request-of-this-test"}
        made = (await client.get(path, headers={logs.HEADER: "not well-formed"})).headers[logs.HEADER]
        assert logs.REQUEST_ID.fullmatch(made)
        assert seen[-1] == made


async def test_a_mistake_of_ours_has_an_id_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistake(*_: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr("kirzl_lab.service.routes.process.readable", mistake)
    async with service.with_token(STUDENT) as client:
        answer = await client.get("/services/lab/reference", headers={logs.HEADER: "request-of-this-test"})
    assert answer.status_code == 500
    assert answer.headers[logs.HEADER] == "request-of-this-test"


async def test_every_request_is_a_line_without_its_query(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "kirzl_lab.service.requests"):
        async with service.with_token(OPERATOR) as client:
            await client.get("/services/lab/people", params={"search": "Prüfling"})
            await client.get("/services/lab/health")
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("GET /services/lab/people 200 ")
