"""Logging in through the hub, staying in, and being thrown out."""

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from kirzl_lab.service.sessions import BELIEVED_S, LOGIN_COOKIE, LOGIN_TAKES, SESSION_COOKIE
from tests.service.conftest import PAGE, Service, log_in
from tests.service.sample import OPERATOR, STUDENT

PEOPLE = "/services/lab/people?search=student"


def question(answer: httpx.Response) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


async def test_a_browser_comes_back_to_the_page_it_asked_for(service: Service) -> None:
    async with service.client(**PAGE) as client:
        asked = await client.get(PEOPLE)
        assert asked.status_code == 302
        assert question(asked) | {"state": "", "code_challenge": ""} == {
            "client_id": "service-lab",
            "redirect_uri": "/services/lab/oauth_callback",
            "response_type": "code",
            "state": "",
            "code_challenge": "",
            "code_challenge_method": "S256",
        }
        landed = await log_in(client, service.hub, "a-token", OPERATOR, PEOPLE)
        assert (landed.status_code, landed.headers["location"]) == (303, PEOPLE)
        assert "Prüfling" in (await client.get(PEOPLE)).text


async def test_the_session_cookie_is_for_this_service_alone_and_tells_nothing(service: Service) -> None:
    async with service.client(**PAGE) as client:
        landed = await log_in(client, service.hub, "a-token", STUDENT)
    cookie = next(value for value in landed.headers.get_list("set-cookie") if value.startswith(SESSION_COOKIE))
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert attributes == {"httponly", "path=/services/lab/", "samesite=lax"}
    assert "a-token" not in cookie


async def test_programs_are_not_sent_to_a_login(service: Service) -> None:
    async with service.client() as client:
        assert (await client.get("/services/lab/people")).status_code == 401
    async with service.client(**PAGE, Authorization="Bearer made-up") as client:
        assert (await client.get("/services/lab/people")).status_code == 401


async def test_a_logout_at_the_hub_ends_the_session(service: Service) -> None:
    async with service.browser(STUDENT) as client:
        assert (await client.get("/services/lab/reference")).status_code == 200
        del service.hub.tokens[f"session-{STUDENT}"]
        service.time.pass_(BELIEVED_S + 1)
        assert (await client.get("/services/lab/reference")).status_code == 302


async def test_a_logout_in_this_browser_ends_the_session_at_once(service: Service) -> None:
    """The hub takes its session cookie back, and the service need not even ask."""
    async with service.client(**PAGE) as client:
        client.cookies.set("jupyterhub-session-id", "before")
        await log_in(client, service.hub, f"session-{STUDENT}", STUDENT)
        assert (await client.get("/services/lab/reference")).status_code == 200
        client.cookies.delete("jupyterhub-session-id")
        assert (await client.get("/services/lab/reference")).status_code == 302


async def test_somebody_else_who_logs_in_at_the_hub_does_not_inherit_the_session(service: Service) -> None:
    async with service.client(**PAGE) as client:
        client.cookies.set("jupyterhub-session-id", "the operator's")
        await log_in(client, service.hub, f"session-{OPERATOR}", OPERATOR)
        assert (await client.get(PEOPLE)).status_code == 200
        client.cookies.set("jupyterhub-session-id", "the student's")
        await log_in(client, service.hub, f"session-{STUDENT}", STUDENT)
        assert (await client.get(PEOPLE)).status_code == 403


async def test_a_session_ends_with_the_hours_of_the_lab(service: Service) -> None:
    async with service.browser(STUDENT) as client:
        service.time.now += LOGIN_TAKES * 6 * 12
        assert (await client.get("/services/lab/reference")).status_code == 302


async def test_a_restart_of_the_service_ends_no_session(service: Service) -> None:
    async with service.browser(STUDENT) as client:
        before = service.state.cookies
        service.state.cookies = type(before)(service.state.place.api_token, service.state.place.prefix, secure=False)
        assert (await client.get("/services/lab/reference")).status_code == 200


async def test_the_hub_is_asked_once_in_thirty_seconds(service: Service) -> None:
    async with service.with_token(STUDENT) as client:
        for _ in range(5):
            await client.get("/services/lab/api/spaces")
        assert service.hub.calls.count("GET /hub/api/user") == 1
        service.time.pass_(BELIEVED_S + 1)
        await client.get("/services/lab/api/spaces")
        assert service.hub.calls.count("GET /hub/api/user") == 2


async def test_a_state_works_once_and_in_one_browser(service: Service) -> None:
    async with service.client(**PAGE) as victim, service.client(**PAGE) as attacker:
        asked = question(await attacker.get(PEOPLE))
        service.hub.give_token(OPERATOR, "a-token")
        service.hub.codes["code"] = ("a-token", asked["code_challenge"])
        back = {"state": asked["state"], "code": "code"}
        stolen = await victim.get("/services/lab/oauth_callback", params=back)
        assert stolen.status_code == 403
        assert SESSION_COOKIE not in stolen.headers.get("set-cookie", "")

        jar = dict(attacker.cookies)
        assert (await attacker.get("/services/lab/oauth_callback", params=back)).status_code == 303
        service.hub.codes["code"] = ("a-token", asked["code_challenge"])
        replay = {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
        assert (await attacker.get("/services/lab/oauth_callback", params=back, headers=replay)).status_code == 403


async def test_a_login_that_took_too_long_is_over(service: Service) -> None:
    async with service.client(**PAGE) as client:
        asked = question(await client.get(PEOPLE))
        service.time.now += LOGIN_TAKES
        late = await client.get("/services/lab/oauth_callback", params={"state": asked["state"], "code": "code"})
        assert late.status_code == 403


async def test_two_tabs_log_in_at_the_same_time(service: Service) -> None:
    async with service.client(**PAGE) as client:
        tabs = [question(await client.get(f"/services/lab/people?page={number}")) for number in (1, 2)]
        for number, asked in enumerate(tabs, 1):
            service.hub.give_token(OPERATOR, f"token-{number}")
            service.hub.codes[f"code-{number}"] = (f"token-{number}", asked["code_challenge"])
            back = {"state": asked["state"], "code": f"code-{number}"}
            landed = await client.get("/services/lab/oauth_callback", params=back)
            assert landed.headers["location"] == f"/services/lab/people?page={number}"


async def test_unfinished_logins_do_not_pile_up_in_the_browser(service: Service) -> None:
    async with service.client(**PAGE) as client:
        for _ in range(30):
            await client.get(PEOPLE)
        assert len([name for name in client.cookies if name.startswith(LOGIN_COOKIE)]) <= 6


@pytest.mark.parametrize("back", [{}, {"error": "access_denied"}, {"state": "x"}, {"code": "x"}, {"state": "\0"}])
async def test_a_callback_out_of_nowhere(service: Service, back: dict[str, str]) -> None:
    async with service.client() as client:
        answer = await client.get("/services/lab/oauth_callback", params=back)
    assert (answer.status_code, answer.json()["slug"]) == (403, "login-not-accepted")


async def test_a_code_that_the_hub_refuses(service: Service) -> None:
    async with service.client(**PAGE) as client:
        asked = question(await client.get(PEOPLE))
        answer = await client.get("/services/lab/oauth_callback", params={"state": asked["state"], "code": "made-up"})
        assert answer.status_code == 403
        assert SESSION_COOKIE not in client.cookies


async def test_a_login_without_the_scope_is_told_and_does_not_turn_in_circles(service: Service) -> None:
    service.hub.give_token(STUDENT, "weak", "read:users:name")
    async with service.client(**PAGE) as client:
        landed = await log_in(client, service.hub, "weak", STUDENT)
        assert landed.status_code == 403
        assert "access:services!service=lab" in landed.text


async def test_the_hub_is_away(service: Service) -> None:
    async with service.browser(STUDENT) as client:
        service.time.pass_(BELIEVED_S + 1)
        service.hub.away = True
        page = await client.get("/services/lab/reference")
        assert page.status_code == 503
        assert page.headers["retry-after"]
        assert "hub-away" in page.text
        service.hub.away, service.hub.broken = False, True
        assert (await client.get("/services/lab/reference")).status_code == 503
        service.hub.broken = False
        assert (await client.get("/services/lab/reference")).status_code == 200
