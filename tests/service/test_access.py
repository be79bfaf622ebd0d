"""Every endpoint against everybody who could knock."""

from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts

from kirzl_lab.service.access import admit
from kirzl_lab.service.access_table import ACCESS, IN_A_COURSE, Who
from kirzl_lab.service.app import EVERYTHING, app_for
from kirzl_lab.service.reference import PAGE, Row, markdown, problems, rows
from tests.service.conftest import METRICS_TOKEN, PLACE, Service
from tests.service.fake_hub import OWN_TOKEN, SCOPE
from tests.service.sample import BLOCKED, OPERATOR, STRANGER, STUDENT

ROOT = Path(__file__).parents[2]
APP = app_for(PLACE, lambda: pytest.fail("not opened"), EVERYTHING)
STATUS = {kind.slug: kind.status for kind in problems()}
REAL = {
    "{hub_name}": STUDENT,
    "{server_name}": "ml-101",
    "{course}": "ml-101",
    "{assignment}": "ps1",
    "{submission}": "1",
    "{run}": "1",
}
COURSES = IN_A_COURSE | {Who.LECTURER}

KNOCKERS: dict[str, dict[Who, str | None]] = {
    # who knocks -> for each row of the table: the slug of the refusal, or None when they are let in
    "nobody": {Who.PERSON: "not-logged-in", Who.OPERATOR: "not-logged-in", Who.MONITORING: "not-found"},
    "prometheus": {Who.PERSON: "not-logged-in", Who.OPERATOR: "not-logged-in", Who.MONITORING: None},
    "person": {Who.PERSON: None, Who.OPERATOR: "operators-only"},
    "operator": {Who.PERSON: None, Who.OPERATOR: None},
    "operator's server": {Who.PERSON: None, Who.OPERATOR: "operators-only"},
    "blocked person": {Who.PERSON: "person-blocked", Who.OPERATOR: "person-blocked"},
    "hub user the lab does not know": {Who.PERSON: "not-a-member", Who.OPERATOR: "not-a-member"},
    "wrong token": {Who.PERSON: "not-logged-in", Who.OPERATOR: "not-logged-in"},
    "malformed header": {Who.PERSON: "not-logged-in", Who.OPERATOR: "not-logged-in"},
    "token without scope": {Who.PERSON: "scope-missing", Who.OPERATOR: "scope-missing"},
    "token for another service": {Who.PERSON: "scope-missing", Who.OPERATOR: "scope-missing"},
    "the service's own token": {Who.PERSON: "not-logged-in", Who.OPERATOR: "not-logged-in"},
}


def headers(service: Service, knocker: str) -> dict[str, str]:
    give = service.hub.give_token
    server_scopes = (SCOPE, f"users:activity!user={OPERATOR}", f"access:servers!server={OPERATOR}/ml-101")
    tokens = {
        "person": service.tokens[STUDENT],
        "operator": service.tokens[OPERATOR],
        "operator's server": give(OPERATOR, "server-token", *server_scopes),
        "blocked person": service.tokens[BLOCKED],
        "hub user the lab does not know": service.tokens[STRANGER],
        "wrong token": "made-up",
        "token without scope": give(OPERATOR, "weak-token", "read:users:name"),
        "token for another service": give(OPERATOR, "other-token", "access:services!service=grafana"),
        "the service's own token": OWN_TOKEN,
        "prometheus": METRICS_TOKEN,
    }
    if knocker == "malformed header":
        return {"Authorization": "Basic am86am8="}
    return {"Authorization": f"Bearer {tokens[knocker]}"} if knocker in tokens else {}


def address(row: Row) -> str:
    path = row.path
    for name, value in REAL.items():
        path = path.replace(name, value)
    return path + ("?do=block" if row.name == "confirm" else "")


WITHOUT_TOKEN = {"nobody", "malformed header"}


def refusal_of(knocker: str, who: Who) -> str | None:
    """The slug of the refusal, None where they are let in."""
    if who is Who.ANYONE:
        return None
    if who is Who.TASK:
        return "not-logged-in" if knocker in WITHOUT_TOKEN else "unknown-task"
    known = KNOCKERS[knocker]
    return known.get(who, "not-logged-in") if who is Who.MONITORING else known.get(who, known[Who.PERSON])


@pytest.mark.parametrize("knocker", list(KNOCKERS))
async def test_somebody_at_every_door(service: Service, knocker: str) -> None:
    async with service.client(**headers(service, knocker)) as client:
        for row in rows(APP):
            service.hub.start(STUDENT, "ml-101")
            answer = await client.request(row.method, address(row))
            refusal = refusal_of(knocker, row.who)
            if refusal is None and row.who in COURSES:
                continue  # decided by the course: see test_course_access.py
            if row.name == "oauth_callback":
                refusal = "login-not-accepted"  # no login was begun: anyone may come, nobody gets in
            slug = answer.json()["slug"] if "problem+json" in answer.headers.get("content-type", "") else None
            assert slug == refusal, row
            assert answer.status_code in ((200, 303) if refusal is None else (STATUS[refusal],)), row
            assert refusal is None or service.hub.servers[STUDENT], "a refused request stopped a server"
            assert answer.status_code != 401 or answer.headers["www-authenticate"].startswith("Bearer")


def test_every_endpoint_has_a_row_and_every_row_an_endpoint() -> None:
    names = {route.name for route in iter_route_contexts(APP.routes)}
    assert names == set(ACCESS)


def test_every_endpoint_is_guarded_and_inside_the_prefix() -> None:
    for route in iter_route_contexts(APP.routes):
        assert route.path is not None
        assert route.path.startswith("/services/lab/")
        assert admit in {dependency.call for dependency in route.dependant.dependencies}, route.path


async def test_a_route_without_a_row_refuses_everybody(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ACCESS, "api_spaces")
    async with service.with_token(OPERATOR) as client:
        assert (await client.get("/services/lab/api/spaces")).status_code == 404


async def test_a_token_is_not_helped_by_a_cookie(service: Service) -> None:
    async with service.browser(OPERATOR) as client:
        assert (await client.get("/services/lab/api/people")).status_code == 200
        refused = await client.get("/services/lab/api/people", headers={"Authorization": "Bearer made-up"})
        assert refused.status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "token", "TOKEN"])
async def test_both_words_for_a_token(service: Service, scheme: str) -> None:
    async with service.client(Authorization=f"{scheme} {service.tokens[STUDENT]}") as client:
        assert (await client.get("/services/lab/api/spaces")).status_code == 200


async def test_blocking_and_the_operator_role_need_no_new_login(service: Service) -> None:
    """The lab database is asked at every request; only the hub's word on the token is kept for a while."""
    async with service.with_token(OPERATOR) as operator, service.with_token(STUDENT) as student:
        assert (await student.get("/services/lab/api/spaces")).status_code == 200
        assert (await operator.post(f"/services/lab/people/{STUDENT}/block")).status_code == 303
        assert (await student.get("/services/lab/api/spaces")).json()["slug"] == "person-blocked"


def test_the_reference_is_what_the_code_says() -> None:
    written = (ROOT / PAGE).read_text()
    assert written == markdown(APP), "run `python -m kirzl_lab.service.reference` and commit the page"
