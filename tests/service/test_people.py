"""What operators do to people, and what stays in the audit of it."""

from typing import Any

import pytest

from kirzl_lab.store.members import person_called
from kirzl_lab.store.pages import audit_page
from tests.service.conftest import URL, Service, form_key
from tests.service.sample import BLOCKED, NOW, OPERATOR, STUDENT

PERSON = f"/services/lab/people/{STUDENT}"
OURS = {"Origin": URL, "Sec-Fetch-Site": "same-origin"}


async def latest(service: Service, number: int = 1) -> list[tuple[str, str, str | None, str | None, dict[str, Any]]]:
    async with service.store.reading() as session:
        found = await audit_page(session, per_page=number)
    return [(line.actor, line.action, line.person, line.space, line.detail) for line in found.items]


async def stops(service: Service) -> list[tuple[str, str, str | None, str | None, dict[str, Any]]]:
    """Every entry about the end of a server."""
    return [entry for entry in await latest(service, 200) if entry[1] == "server-stopped"]


async def blocked(service: Service, hub_name: str) -> bool:
    async with service.store.reading() as session:
        person = await person_called(session, hub_name)
    assert person is not None
    return person.blocked_at is not None


async def test_stopping_a_server_from_its_page(service: Service) -> None:
    service.hub.start(STUDENT, "ml-101")
    async with service.browser(OPERATOR) as client:
        page = await client.get(PERSON)
        assert "confirm?do=stop&amp;server=ml-101" in page.text
        assert '<span class="k-mono">ml-101</span></div>' in page.text, "the space that the name means"
        question = await client.get(f"{PERSON}/confirm", params={"do": "stop", "server": "ml-101"})
        sent = {"form_key": form_key(question.text)}
        done = await client.post(f"{PERSON}/servers/ml-101/stop", data=sent, headers=OURS)
        assert (done.status_code, done.headers["location"]) == (303, f"{PERSON}?done=stopped")
        assert "Nothing of theirs runs." in (await client.get(f"{PERSON}?done=stopped")).text
    assert service.hub.servers[STUDENT] == {}
    assert await stops(service) == [
        (OPERATOR, "server-stopped", STUDENT, "ml-101", {"server": "ml-101", "reason": "operator"})
    ]


async def test_stopping_what_does_not_run(service: Service) -> None:
    before = await latest(service)
    async with service.with_token(OPERATOR) as client:
        answer = await client.post(f"{PERSON}/servers/ml-101/stop")
        assert (answer.status_code, answer.json()["slug"]) == (409, "server-not-running")
        asked = await client.get(f"{PERSON}/confirm", params={"do": "stop", "server": "ml-101"})
        assert asked.status_code == 409
    assert await latest(service) == before


async def test_blocking_stops_everything_and_is_written_down(service: Service) -> None:
    service.hub.start(STUDENT, "ml-101")
    service.hub.start(STUDENT, "dl-201", ready=False, pending="spawn")
    async with service.browser(OPERATOR) as client:
        question = await client.get(f"{PERSON}/confirm", params={"do": "block"})
        done = await client.post(f"{PERSON}/block", data={"form_key": form_key(question.text)}, headers=OURS)
        assert done.headers["location"] == f"{PERSON}?done=blocked"
    assert await blocked(service, STUDENT)
    assert service.hub.servers[STUDENT] == {}
    assert sorted(await latest(service, 3), key=str) == [
        (OPERATOR, "person-blocked", STUDENT, None, {}),
        (OPERATOR, "server-stopped", STUDENT, "ml-101", {"server": "ml-101", "reason": "blocked"}),
        (OPERATOR, "server-stopped", STUDENT, None, {"server": "dl-201", "reason": "blocked"}),
    ]


@pytest.mark.parametrize("trouble", ["stuck", "away"])
async def test_a_block_holds_when_the_hub_does_not_stop_the_servers(service: Service, trouble: str) -> None:
    service.hub.start(STUDENT, "ml-101")
    async with service.with_token(OPERATOR) as client:
        await client.get("/services/lab/api/spaces")
        if trouble == "stuck":
            service.hub.stuck.add("ml-101")
        else:
            service.hub.away = True
        done = await client.post(f"{PERSON}/block")
        assert done.headers["location"] == f"{PERSON}?done=left"
        page = await client.get(done.headers["location"], headers={"Accept": "text/html"})
        assert "did not stop all" in page.text
    assert await blocked(service, STUDENT)


async def test_lifting_a_block(service: Service) -> None:
    address = f"/services/lab/people/{BLOCKED}"
    async with service.browser(OPERATOR) as client:
        page = await client.get(address)
        done = await client.post(f"{address}/unblock", data={"form_key": form_key(page.text)}, headers=OURS)
        assert done.headers["location"] == f"{address}?done=unblocked"
    assert not await blocked(service, BLOCKED)
    assert await latest(service) == [(OPERATOR, "person-unblocked", BLOCKED, None, {})]


async def test_operators_do_not_lock_themselves_out(service: Service) -> None:
    async with service.with_token(OPERATOR) as client:
        answer = await client.post(f"/services/lab/people/{OPERATOR}/block")
        assert (answer.status_code, answer.json()["slug"]) == (409, "own-account")
    assert not await blocked(service, OPERATOR)


@pytest.mark.parametrize("path", ["", "/confirm?do=block", "/block", "/unblock", "/servers/x/stop"])
async def test_somebody_who_does_not_exist(service: Service, path: str) -> None:
    method = "GET" if path in {"", "/confirm?do=block"} else "POST"
    async with service.with_token(OPERATOR) as client:
        answer = await client.request(method, f"/services/lab/people/nobody{path}")
        assert (answer.status_code, answer.json()["slug"]) == (404, "unknown-person")


FOREIGN = {
    "no key": ({}, OURS),
    "another session's key": ({"form_key": "x" * 32}, OURS),
    "another site": ({"form_key": None}, {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}),
    "a server on a sister host": ({"form_key": None}, {"Origin": URL, "Sec-Fetch-Site": "same-site"}),
    "a frame without an origin": ({"form_key": None}, {"Origin": "null", "Sec-Fetch-Site": "same-origin"}),
    "no origin at all": ({"form_key": None}, {}),
}


@pytest.mark.parametrize("forgery", FOREIGN)
async def test_forged_forms_do_nothing(service: Service, forgery: str) -> None:
    data, headers = FOREIGN[forgery]
    before = await latest(service)
    async with service.browser(OPERATOR) as client:
        key = form_key((await client.get(f"{PERSON}/confirm?do=block")).text)
        sent = {name: value or key for name, value in data.items()}
        answer = await client.post(f"{PERSON}/block", data=sent, headers=headers)
        assert answer.status_code == 403
        assert "form-expired" in answer.text
    assert not await blocked(service, STUDENT)
    assert await latest(service) == before


async def test_a_form_without_a_login_is_told_and_not_sent_on(service: Service) -> None:
    """A redirect would end at an institution on another host, where a form may not lead."""
    async with service.client(Accept="text/html") as client:
        answer = await client.post(f"{PERSON}/block", headers=OURS)
    assert answer.status_code == 401
    assert 'href="/services/lab/"' in answer.text


async def test_the_person_as_programs_see_them(service: Service) -> None:
    service.hub.start(STUDENT, "ml-101")
    async with service.with_token(OPERATOR) as client:
        person = (await client.get(f"/services/lab/api/people/{STUDENT}")).json()
        assert person["display_name"] == "Student Prüfling"
        assert person["memberships"][1] == {"space": "ml-101", "role": "student", "section": "", "archived": False}
        assert person["identities"][0]["institution"] == "uni"
        assert person["servers"] == [
            {"name": "ml-101", "started": "2026-11-24T07:40:00Z", "ready": True, "pending": None}
        ]
        service.hub.away = True
        assert (await client.get(f"/services/lab/api/people/{STUDENT}")).status_code == 503


async def test_the_page_of_a_person_without_the_hub(service: Service) -> None:
    async with service.browser(OPERATOR) as client:
        service.hub.away = True
        page = await client.get(PERSON)
    assert page.status_code == 200
    assert "what runs cannot be shown" in page.text
    assert "ml-101" in page.text


async def test_names_are_never_html(service: Service) -> None:
    async with service.browser(OPERATOR) as client:
        for path in ("people", f"people/{BLOCKED}", f"people/{BLOCKED}/confirm?do=block", "audit"):
            page = await client.get(f"/services/lab/{path}")
            assert page.status_code == 200
            assert "Blocked &lt;b&gt;Quick" in page.text, path
            assert "<b>Quick" not in page.text
            assert "<script>alert" not in page.text


async def test_a_clock_of_the_service_is_in_the_audit(service: Service) -> None:
    async with service.with_token(OPERATOR) as client:
        await client.post(f"{PERSON}/block")
        entry = (await client.get("/services/lab/api/audit", params={"action": "person-blocked"})).json()["items"][0]
    assert entry["at"] == NOW.isoformat().replace("+00:00", "Z")
