"""Cookies, the cache of the hub's answers, and where a login may lead."""

from datetime import timedelta
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from fastapi import Response
from hypothesis import example, given
from hypothesis import strategies as st

from kirzl_lab.service.hub import Hub, TokenOwner
from kirzl_lab.service.sessions import KNOWN_TOKENS, SESSION_COOKIE, LoginCookies, TokenCache, local_path
from tests.service.fake_hub import API, OWN_TOKEN
from tests.service.sample import NOW

PREFIX = "/services/lab/"
COOKIES = LoginCookies("secret", PREFIX, secure=True)


def jar(response: Response) -> dict[str, str]:
    values = [value.decode() for name, value in response.raw_headers if name == b"set-cookie"]
    return dict(value.split(";")[0].split("=", 1) for value in values)


def session_cookie() -> str:
    response = Response()
    COOKIES.keep_session(response, {}, "the-token", NOW, timedelta(hours=1))
    return jar(response)[SESSION_COOKIE]


@given(st.text(max_size=300) | st.builds(lambda cut: session_cookie()[:cut], st.integers(0, 200)))
@example("")
@example("é" * 10)
def test_a_foreign_cookie_says_nothing(value: str) -> None:
    assert COOKIES.session({SESSION_COOKIE: value}, NOW) is None


@given(st.integers(min_value=0), st.characters(codec="ascii"))
def test_a_changed_cookie_says_nothing(place: int, character: str) -> None:
    cookie = session_cookie()
    place %= len(cookie)
    changed = cookie[:place] + character + cookie[place + 1 :]
    session = COOKIES.session({SESSION_COOKIE: changed}, NOW)
    # The last characters of base64 may carry no bits: then it is the same cookie.
    assert session is None or session.token == "the-token"


def test_another_key_opens_nothing() -> None:
    other = LoginCookies("another secret", PREFIX, secure=True)
    assert other.session({SESSION_COOKIE: session_cookie()}, NOW) is None


def test_a_session_is_the_hubs_session_of_that_browser() -> None:
    response, hub = Response(), {"jupyterhub-session-id": "a-session"}
    COOKIES.keep_session(response, hub, "the-token", NOW, timedelta(hours=1))
    ours = {SESSION_COOKIE: jar(response)[SESSION_COOKIE]}
    assert COOKIES.session(ours | hub, NOW) is not None
    for other in ({}, {"jupyterhub-session-id": ""}, {"jupyterhub-session-id": "another"}):
        assert COOKIES.session(ours | other, NOW) is None


def test_a_cookie_of_one_purpose_is_not_taken_for_another() -> None:
    response = Response()
    login = COOKIES.begin_login(response, {}, PREFIX, NOW)
    ((name, value),) = jar(response).items()
    assert COOKIES.session({SESSION_COOKIE: value}, NOW) is None
    assert COOKIES.finish_login({name: session_cookie()}, login.state, NOW) is None
    assert COOKIES.finish_login({name: value}, login.state, NOW) == login


def test_cookies_are_secure_where_the_lab_is() -> None:
    response = Response()
    COOKIES.keep_session(response, {}, "the-token", NOW, timedelta(hours=1))
    assert "; Secure" in response.headers["set-cookie"]


@given(st.text(max_size=80) | st.text("/\\.%:@?#2eflabservic", max_size=40).map(lambda tail: PREFIX + tail))
@example("//evil.example/services/lab/")
@example("/services/lab/../../hub/logout")
@example("/services/lab/%2e%2e/%2e%2e/hub/logout")
@example("/services/lab/..\\..\\hub")
@example("https://evil.example/services/lab/")
@example("/services/lab/oauth_callback?code=1")
@example("/services/lab/\n/evil.example")
@example("/services/labyrinth")
def test_a_login_leads_nowhere_else(wanted: str) -> None:
    path = local_path(wanted, PREFIX)
    landed = urlsplit(urljoin("https://lab.example/services/lab/oauth_callback", path))
    assert landed.netloc == "lab.example"
    assert landed.path.startswith(PREFIX)
    assert path in {PREFIX, wanted}


def test_a_page_of_the_service_is_kept() -> None:
    assert local_path("/services/lab/people?search=a%20b&page=2", PREFIX) == "/services/lab/people?search=a%20b&page=2"
    assert local_path(None, PREFIX) == PREFIX


async def test_the_cache_is_bounded() -> None:
    asked: list[str] = []

    async def ask(token: str) -> TokenOwner | None:
        asked.append(token)
        return TokenOwner("student1", frozenset())

    cache = TokenCache(ask, clock=lambda: 0.0)
    for number in range(KNOWN_TOKENS + 1):
        assert await cache.owner(str(number)) is not None
    assert await cache.owner(str(KNOWN_TOKENS)) is not None
    assert len(asked) == KNOWN_TOKENS + 1
    await cache.owner("0")
    assert len(asked) == KNOWN_TOKENS + 2, "the oldest answer had to go"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_no_of_the_hub_is_not_kept(status: int) -> None:
    answers = iter([httpx.Response(status), httpx.Response(200, json={"kind": "user", "name": "student1"})])
    transport = httpx.MockTransport(lambda _request: next(answers))
    cache = TokenCache(Hub(httpx.AsyncClient(transport=transport), API, OWN_TOKEN).owner, clock=lambda: 0.0)
    assert await cache.owner("token") is None
    for _ in range(2):  # the hub has no third answer: the second one is kept
        assert await cache.owner("token") == TokenOwner("student1", frozenset())


async def test_the_cache_holds_no_token() -> None:
    async def ask(_token: str) -> TokenOwner | None:
        return TokenOwner("student1", frozenset())

    cache = TokenCache(ask)
    await cache.owner("a-secret-token")
    assert "a-secret-token" not in repr(vars(cache))
