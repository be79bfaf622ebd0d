"""The lab service beside its real hub: what the fake hub of the other tests stands in for.

People come through a browser as without scripts: the service's login, the hub's answers about tokens, stopping a
server, a logout.
"""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.browser.term import COURSE
from tests.service.conftest import PAGE, form_key
from tests.support.people import Person
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.laptop, pytest.mark.slow]

LogIn = Callable[[str, str], Person]
OTHERS = {COURSE}
"""Courses that tests in the browser make in the same lab."""


def get(person: Person, path: str, /, **parameters: str) -> httpx.Response:
    return person.http.get(f"{person.lab_url}/services/lab/{path}", params=parameters, headers=PAGE)


def post(person: Person, path: str, form: str) -> httpx.Response:
    headers = PAGE | {"Origin": person.lab_url, "Sec-Fetch-Site": "same-origin"}
    return person.http.post(f"{person.lab_url}/services/lab/{path}", data={"form_key": form_key(form)}, headers=headers)


def token(person: Person, **body: Any) -> str:
    answer = person.api("POST", f"/users/{person.hub_name}/tokens", json={"note": "test", "expires_in": 600} | body)
    made: str = answer.raise_for_status().json()["token"]
    return made


def ask(person: Person, with_token: str, path: str = "api/spaces") -> httpx.Response:
    """What a program gets, which has no cookies."""
    return httpx.get(
        f"{person.lab_url}/services/lab/{path}", headers={"Authorization": f"Bearer {with_token}"}, timeout=10
    )


def test_health_and_readiness(person: LogIn) -> None:
    somebody = person("uni", "student1")
    assert get(somebody, "health").json() == {"alive": True}
    assert get(somebody, "ready").json() == {"ready": True, "lab_database": True, "hub": True}


def test_a_program_is_told_what_its_person_may_open(person: LogIn) -> None:
    student = person("uni", "student1")
    answer = ask(student, token(student))
    assert answer.status_code == 200, answer.text
    told = {space["name"]: space["role"] for space in answer.json()["spaces"] if space["name"] not in OTHERS}
    assert told == {"ml-101": "student", "dl-201": "student"}


def test_tokens_that_may_not_come_in(person: LogIn) -> None:
    student = person("uni", "student1")
    assert ask(student, "made-up").json()["slug"] == "not-logged-in"
    weak = token(student, scopes=["read:users:name!user"])
    assert ask(student, weak).json()["slug"] == "scope-missing"
    assert ask(student, token(student), "api/people").json()["slug"] == "operators-only"


def test_a_revoked_token_is_refused(person: LogIn) -> None:
    student = person("uni", "student1")
    made = student.api("POST", f"/users/{student.hub_name}/tokens", json={"note": "test"}).json()
    student.api("DELETE", f"/users/{student.hub_name}/tokens/{made['id']}").raise_for_status()
    assert ask(student, made["token"]).json()["slug"] == "not-logged-in"


def test_a_login_and_a_logout_at_the_hub(person: LogIn) -> None:
    student = person("uni", "student1")
    page = get(student, "reference")
    assert page.status_code == 200
    assert [step.status_code for step in page.history] == [302, 302, 303], "no question on the way"
    assert get(student, "reference").history == []
    student.http.get(f"{student.lab_url}/hub/logout")
    again = get(student, "reference")
    assert again.url.path.startswith("/hub/login"), again.url


def test_the_next_person_in_a_browser_is_not_the_one_before(person: LogIn) -> None:
    browser = person("uni", "operator")
    operator = browser.hub_name
    assert get(browser, "people").status_code == 200
    browser.login("uni", "student1")
    assert browser.hub_name != operator
    assert "operators-only" in get(browser, "people").text
    browser.http.get(f"{browser.lab_url}/hub/logout")
    assert get(browser, "people").url.path.startswith("/hub/login")


def test_an_operator_stops_a_server_and_blocks_its_person(person: LogIn) -> None:
    student, operator = person("uas", "student2"), person("uni", "operator")
    started = student.start("dl-201", "cpu-medium")
    assert started.status_code == 200, started.text
    running = wait_until(lambda: student.server("dl-201"), "the server is there")
    name = running["name"]
    wait_until(lambda: (student.server(name) or {}).get("ready"), "the server runs")

    address = f"people/{student.hub_name}"
    assert f"server={name}" in get(operator, address).text
    question = get(operator, f"{address}/confirm", do="stop", server=name)
    assert post(operator, f"{address}/servers/{name}/stop", question.text).status_code == 200
    wait_until(lambda: student.server(name) is None, "the server is gone")
    entries = get(operator, "api/audit", person=student.hub_name, action="server-stopped").json()["items"]
    here = [entry for entry in entries if entry["space"] not in OTHERS]
    assert [(entry["actor"], entry["space"], entry["detail"]) for entry in here] == [
        (operator.hub_name, "dl-201", {"server": name, "reason": "operator"})
    ]

    made = token(student)
    assert ask(student, made).status_code == 200
    question = get(operator, f"{address}/confirm", do="block")
    blocked = post(operator, f"{address}/block", question.text)
    assert blocked.url.params["done"] == "blocked"
    assert ask(student, made).json()["slug"] == "person-blocked"
    assert student.start("dl-201", "cpu-medium").status_code == 403
    assert post(operator, f"{address}/unblock", blocked.text).url.params["done"] == "unblocked"
    assert ask(student, made).status_code == 200


def test_code_in_an_operators_server_is_no_operator(person: LogIn) -> None:
    """The scopes that a server's token has at a real hub are what the service tells it by."""
    operator = person("uni", "operator")
    scopes = [f"access:servers!server={operator.hub_name}/ml-101", "access:services!service=lab"]
    assert ask(operator, token(operator), "api/people").status_code == 200
    assert ask(operator, token(operator, scopes=scopes), "api/people").json()["slug"] == "operators-only"
