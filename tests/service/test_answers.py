"""How refusals are told."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from kirzl_lab.problems import Problem
from tests.service.conftest import PAGE, Service
from tests.service.sample import OPERATOR, STUDENT

DETAILS = {"type", "title", "status", "detail", "slug"}


async def test_problem_details_have_everything(service: Service) -> None:
    async with service.with_token(STUDENT) as client:
        answer = await client.get("/services/lab/api/people")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "/services/lab/reference#problem-operators-only",
        "title": "Operators only",
        "status": 403,
        "detail": "This page is for the people who operate the lab.",
        "slug": "operators-only",
    }


@pytest.mark.parametrize("path", ["/", "/services/lab", "/services/lab/nothing", "/services/lab/people/", "/hub/home"])
async def test_unknown_addresses(service: Service, path: str) -> None:
    async with service.client() as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.json()["slug"]) == (404, "not-found")
    assert answer.json().keys() == DETAILS


async def test_a_method_that_is_not_there(service: Service) -> None:
    async with service.with_token(OPERATOR) as client:
        answer = await client.delete("/services/lab/api/people")
    assert (answer.status_code, answer.json()["slug"]) == (405, "method-refused")
    assert answer.headers["allow"] == "GET"


async def test_a_parameter_that_cannot_be_understood(service: Service) -> None:
    async with service.with_token(OPERATOR) as client:
        answer = await client.get("/services/lab/api/audit", params={"since": "yesterday"})
    assert (answer.status_code, answer.json()["slug"]) == (422, "bad-input")
    assert "since" in answer.json()["detail"]


async def test_a_stranger_learns_nothing_about_parameters(service: Service) -> None:
    async with service.client() as client:
        answer = await client.get("/services/lab/api/audit", params={"since": "yesterday"})
    assert answer.status_code == 401


async def test_browsers_get_a_page_in_their_language(service: Service) -> None:
    async with service.browser(STUDENT) as client:
        page = await client.get("/services/lab/people", headers={"Accept-Language": "de"})
        assert page.status_code == 403
        assert page.headers["content-type"].startswith("text/html")
        assert page.headers["content-language"] == "de"
        assert "operators-only" in page.text
        assert "Student Prüfling" in page.text, "the navigation bar tells who is logged in"
        client.cookies.set("kirzl-lab-language", "en")
        switched = await client.get("/services/lab/people", headers={"Accept-Language": "de"})
        assert switched.headers["content-language"] == "en"


async def test_an_unknown_address_is_told_with_the_navigation_bar(service: Service) -> None:
    async with service.browser(OPERATOR) as client:
        page = await client.get("/services/lab/nothing")
        assert page.status_code == 404
        assert "/services/lab/people" in page.text


async def test_pages_carry_their_headers(service: Service) -> None:
    async with service.browser(OPERATOR) as client:
        for path in ("/services/lab/people", "/services/lab/nothing"):
            headers = (await client.get(path)).headers
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"


async def test_a_mistake_of_ours_shows_no_trace(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_args: object, **_kwargs: object) -> None:
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setattr("kirzl_lab.service.routes.people.persons_page", broken)
    for headers in ({}, PAGE):
        async with service.with_token(OPERATOR) as client:
            answer = await client.get("/services/lab/people", headers=headers)
        assert answer.status_code == 500
        assert Problem.sentence in answer.text
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        assert "ZeroDivision" not in answer.text


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the service warned of."""
    records = (record for record in caplog.records if record.name == "kirzl_lab.service")
    return [record.getMessage() for record in records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("trouble", "cause"),
    [
        ("away", "ConnectError('nobody listens')"),
        ("broken", "HTTPStatusError(\"Server error '500 Internal Server Error' for url 'http://hub.test/hub/api/user'"),
        ("header", "LocalProtocolError"),
    ],
)
async def test_the_log_tells_why_the_hub_is_away(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, trouble: str, cause: str
) -> None:
    if trouble == "header":

        async def refuse(*_args: object, **sent: Any) -> None:
            raise httpx.LocalProtocolError(f"Illegal header value {sent['headers']}")

        monkeypatch.setattr(service.state.hub._client, "request", refuse)
    else:
        setattr(service.hub, trouble, True)
    async with service.client(Authorization="Bearer a-secret") as client:
        answer = await client.get("/services/lab/api/spaces")
    assert (answer.status_code, answer.json()["slug"]) == (503, "hub-away")
    (line,) = warned(caplog)
    assert line.startswith(f"GET '/services/lab/api/spaces': hub-away: {cause}")
    assert "a-secret" not in caplog.text


async def test_a_refusal_is_no_trouble_of_ours(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    async with service.client(Authorization="Bearer made-up") as client:
        assert (await client.get("/services/lab/api/spaces")).status_code == 401
    assert warned(caplog) == []


async def test_a_lab_database_that_is_away(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with service.with_token(OPERATOR) as client:
        assert (await client.get("/services/lab/api/people")).status_code == 200

        @asynccontextmanager
        async def away() -> AsyncIterator[None]:
            raise OperationalError("SELECT secret", {}, ConnectionRefusedError("connection refused"))
            yield

        monkeypatch.setattr(service.store, "reading", away)
        answer = await client.get("/services/lab/api/people")
        assert (answer.status_code, answer.json()["slug"]) == (503, "lab-database-away")
        assert "secret" not in answer.text
    assert warned(caplog) == [
        "GET '/services/lab/api/people': lab-database-away: ConnectionRefusedError('connection refused')"
    ]


async def test_a_lab_database_that_hangs(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def hangs() -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr(service.store, "reading", hangs)
    async with service.with_token(OPERATOR) as client:
        answer = await client.get("/services/lab/ready")
        assert answer.status_code == 503
        assert answer.json() == {"ready": False, "lab_database": False, "hub": True}


async def test_health_and_readiness(service: Service) -> None:
    async with service.client() as client:
        assert (await client.get("/services/lab/ready")).json() == {"ready": True, "lab_database": True, "hub": True}
        service.hub.away = True
        ready = await client.get("/services/lab/ready")
        assert (ready.status_code, ready.json()["hub"]) == (503, False)
        assert (await client.get("/services/lab/health")).json() == {"alive": True}
