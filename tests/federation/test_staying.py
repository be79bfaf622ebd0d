"""How long a login holds, and what ends it."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from joserfc.jwk import Key
from sqlalchemy.exc import ProgrammingError

from kirzl_lab.federation import login_book
from kirzl_lab.federation.session import Session
from kirzl_lab.store.database import Store
from kirzl_lab.store.tables import InstitutionRow, Person
from tests.federation.conftest import NOW
from tests.federation.hub import Browser
from tests.federation.world import World, running_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, keys: dict[str, Key]
) -> AsyncIterator[World]:
    async with running_world(tmp_path_factory.mktemp("world"), sqlite_template, keys) as world:
        yield world


@pytest.fixture
def world(running: World) -> World:
    running.reset()
    return running


def give_refresh_tokens(world: World) -> None:
    """uni gives a refresh token that is good once, and a new one for it."""

    def answer(given: dict[str, Any]) -> dict[str, Any]:
        subject = json.loads(base64.urlsafe_b64decode(given["id_token"].split(".")[1] + "=="))["sub"]
        for old in [name for name in world.uni.codes if name.startswith("refresh")]:
            del world.uni.codes[old]
        world.uni.codes[f"refresh-{len(world.uni.posted)}"] = {"sub": subject}
        return given | {"refresh_token": f"refresh-{len(world.uni.posted)}"}

    world.uni.change_answer = answer


class Hanging:
    """A store that never answers."""

    def reading(self) -> "Hanging":
        return self

    writing = reading

    async def __aenter__(self) -> None:
        await asyncio.Event().wait()

    async def __aexit__(self, *_: object) -> None:
        pass


async def still_in(world: World, browser: Browser) -> bool:
    world.hub.forget_looks()
    return await browser.who() != "nobody"


def grants(world: World) -> list[str]:
    return [posted["grant_type"] for posted in world.uni.posted]


async def test_a_login_ends_with_its_hours(world: World) -> None:
    browser = await world.login("hours")
    world.clock.now += timedelta(hours=12)
    assert await still_in(world, browser)
    world.clock.now += timedelta(seconds=1)
    assert not await still_in(world, browser)


def token_of_a_server(user: Any) -> str:
    """A token as the hub gives it to a person's server ml-101."""
    if "ml-101" not in user.orm_spawners:
        user._new_orm_spawner("ml-101", "")
    own = f"{user.name}/ml-101"
    scopes = [f"users:activity!user={user.name}", f"access:servers!server={own}"]
    return str(user.new_api_token(note=f"Server at /user/{own}/", scopes=scopes))


async def of_hours_ago(world: World, subject: str) -> None:
    world.clock.now += timedelta(hours=12, seconds=1)


async def of_an_institution_that_left(world: World, subject: str) -> None:
    del world.hub.authenticator.institutions["uni"]  # type: ignore[attr-defined]


async def of_somebody_blocked(world: World, subject: str) -> None:
    person = await world.person(subject)
    async with world.store.writing() as session:
        (await session.get_one(Person, person.id)).blocked_at = NOW


async def that_was_taken_back(world: World, subject: str) -> None:
    world.uni.codes.clear()


ENDINGS = [of_hours_ago, of_an_institution_that_left, of_somebody_blocked, that_was_taken_back]


@pytest.mark.parametrize("end", ENDINGS)
async def test_a_login_that_has_ended_takes_every_token_along(
    world: World, end: Callable[[World, str], Awaitable[None]]
) -> None:
    subject = f"tokens-{end.__name__}"
    give_refresh_tokens(world)
    browser = await world.login(subject)
    name = await browser.who()
    user = world.hub.app.users[name]
    program = {"Authorization": f"token {user.new_api_token(note='never ends')}"}
    servers = {"Authorization": f"token {token_of_a_server(user)}"}
    elsewhere = world.browser()
    assert (await elsewhere.get("/hub/api/user", **program)).code == 200
    assert (await elsewhere.get("/hub/api/user", **servers)).code == 200

    await end(world, subject)
    world.hub.forget_looks()
    assert (await elsewhere.get("/hub/api/user", **program)).code == 403
    assert (await elsewhere.get("/hub/api/user", **servers)).code == 403
    assert (await elsewhere.ask("POST", f"/hub/api/users/{name}/server", "{}", **program)).code == 403
    assert not user.spawners or not user.spawner.active
    assert (await elsewhere.ask("POST", f"/hub/api/users/{name}/tokens", "{}", **program)).code == 403
    assert await browser.who() == "nobody"


async def test_a_token_is_good_again_after_the_next_login(world: World) -> None:
    browser = await world.login("comes-back")
    program = {"Authorization": f"token {world.hub.app.users[await browser.who()].new_api_token()}"}
    world.clock.now += timedelta(hours=13)
    world.hub.forget_looks()
    assert (await world.browser().get("/hub/api/user", **program)).code == 403
    await world.login("comes-back")
    assert (await world.browser().get("/hub/api/user", **program)).code == 200


async def test_a_server_tells_what_it_does_after_the_login_has_ended(world: World) -> None:
    give_refresh_tokens(world)
    browser = await world.login("server-runs-on")
    name = await browser.who()
    user = world.hub.app.users[name]
    servers = {"Authorization": f"token {token_of_a_server(user)}"}
    world.clock.now += timedelta(hours=13)
    world.hub.forget_looks()
    asked = len(world.uni.posted)

    once = "2020-01-01T00:00:00+00:00"
    said = json.dumps({"last_activity": once, "servers": {"ml-101": {"last_activity": once}}})
    answer = await world.browser().ask("POST", f"/hub/api/users/{name}/activity", said, **servers)
    assert answer.code == 200, answer.body
    assert user.orm_spawners["ml-101"].last_activity.year == 2020
    assert len(world.uni.posted) == asked, "the institution is not asked"
    assert not await still_in(world, browser), "and the login is not alive by it"
    stranger = {"Authorization": "token made-up"}
    assert (await world.browser().ask("POST", f"/hub/api/users/{name}/activity", said, **stranger)).code == 403


async def test_the_end_of_a_login_is_no_error_of_the_hub(world: World, caplog: pytest.LogCaptureFixture) -> None:
    browser = await world.login("no-error")
    world.clock.now += timedelta(hours=13)
    assert not await still_in(world, browser)
    assert "stale auth info" in caplog.text
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_blocking_ends_it(world: World) -> None:
    browser = await world.login("to-be-blocked")
    assert await still_in(world, browser)
    person = await world.person("to-be-blocked")
    async with world.store.writing() as session:
        (await session.get_one(Person, person.id)).blocked_at = NOW
    assert not await still_in(world, browser)


async def test_an_institution_that_leaves_the_catalogue_ends_it(world: World) -> None:
    browser = await world.login("left")
    del world.hub.authenticator.institutions["uni"]  # type: ignore[attr-defined]
    assert not await still_in(world, browser)


async def test_an_institution_that_leaves_the_lab_database_ends_it(world: World) -> None:
    browser = await world.login("left", world.uas)
    async with world.store.writing() as session:
        (await session.get_one(InstitutionRow, "uas")).removed_at = NOW
    try:
        assert not await still_in(world, browser)
    finally:
        async with world.store.writing() as session:
            (await session.get_one(InstitutionRow, "uas")).removed_at = None


async def test_a_user_whom_nobody_logged_in_is_not_let_in(world: World) -> None:
    browser = await world.login("stateless")
    user = world.hub.app.users[await browser.who()]
    await user.save_auth_state(None)
    assert not await still_in(world, browser)
    await user.save_auth_state({"institution": "uni", "subject": "stateless"})
    assert not await still_in(world, browser)


async def test_what_the_hub_keeps_of_a_login(world: World) -> None:
    give_refresh_tokens(world)
    browser = await world.login("kept", groups=["x" * 1000] * 10)
    state = await world.hub.app.users[await browser.who()].get_auth_state()
    assert state == {
        "institution": "uni",
        "issuer": world.uni.issuer,
        "subject": "kept",
        "logged_in_at": NOW.isoformat(),
        "refresh_token": "refresh-1",
    }
    assert "refresh-1" not in repr(Session.from_dict(state))


async def test_a_huge_refresh_token_is_not_kept(world: World) -> None:
    world.uni.change_answer = lambda answer: answer | {"refresh_token": "x" * 10_000}
    browser = await world.login("huge")
    assert "refresh_token" not in await world.hub.app.users[await browser.who()].get_auth_state()


async def test_a_refresh_token_is_used_and_its_successor_kept(world: World) -> None:
    give_refresh_tokens(world)
    browser = await world.login("refreshed")
    for _ in range(3):
        assert await still_in(world, browser)
    assert grants(world) == ["authorization_code"] + ["refresh_token"] * 3
    assert [posted.get("refresh_token") for posted in world.uni.posted] == [None, "refresh-1", "refresh-2", "refresh-3"]
    assert Session.from_dict(await world.hub.app.users[await browser.who()].get_auth_state())


async def test_an_institution_that_takes_it_back_ends_it(world: World) -> None:
    give_refresh_tokens(world)
    browser = await world.login("taken-back")
    world.uni.codes.clear()
    assert not await still_in(world, browser)


async def test_a_refresh_that_is_about_somebody_else_ends_it(world: World) -> None:
    give_refresh_tokens(world)
    browser = await world.login("somebody")
    world.uni.change_claims = lambda claims: claims | {"sub": "somebody-else"}
    assert not await still_in(world, browser)


async def test_an_institution_that_is_away_ends_nothing(world: World) -> None:
    give_refresh_tokens(world)
    browser = await world.login("away")
    world.uni.broken["/token"] = 503
    assert await still_in(world, browser)


async def test_a_refresh_does_not_ask_userinfo(world: World) -> None:
    give_refresh_tokens(world)
    browser = await world.login("userinfo-closed")
    asked = world.uni.asked.count("/userinfo")
    assert asked == 1, "a login does ask it"
    world.uni.broken["/userinfo"] = 403
    assert await still_in(world, browser)
    assert grants(world) == ["authorization_code", "refresh_token"]
    assert world.uni.asked.count("/userinfo") == asked


async def test_requests_at_once_use_a_refresh_token_once(world: World) -> None:
    give_refresh_tokens(world)
    browser = await world.login("tabs")
    world.hub.forget_looks()
    found = await asyncio.gather(*(browser.who() for _ in range(10)))
    assert set(found) == {(await world.person("tabs")).hub_name}
    assert grants(world).count("refresh_token") == 1


async def test_a_lab_database_that_is_gone_ends_nothing(world: World) -> None:
    browser = await world.login("database-gone")
    away = Store("sqlite+aiosqlite:////nowhere/lab.sqlite")
    world.hub.authenticator.store = away
    world.hub.forget_institutions()
    assert await still_in(world, browser)
    world.clock.now += timedelta(hours=13)
    assert not await still_in(world, browser)
    await away.close()


async def test_a_lab_database_that_hangs_is_waited_for_a_moment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_book, "READ_LIMIT_S", 0.1)
    browser = await world.login("database-hangs")

    monkeypatch.setattr(world.hub.authenticator.book, "_store", Hanging())
    world.hub.forget_looks()
    assert await asyncio.wait_for(browser.who(), 5) != "nobody"


async def test_nobody_who_leaves_waits_for_the_audit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_book, "LOGOUT_LIMIT_S", 0.1)
    monkeypatch.setattr(login_book, "WRITE_LIMIT_S", 60)
    browser = await world.login("leaves")
    monkeypatch.setattr(world.hub.authenticator.book, "_store", Hanging())
    response = await asyncio.wait_for(browser.get("/hub/logout"), 15)
    assert response.code == 200
    assert await browser.who() == "nobody"


async def test_a_mistake_of_ours_is_not_told_as_a_database_that_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mistaken(Hanging):
        async def __aenter__(self) -> None:
            raise ProgrammingError("SELECT nonsense", {}, Exception("no such column"))

    monkeypatch.setattr(world.hub.authenticator.book, "_store", Mistaken())
    browser = world.browser()
    response = await browser.get(world.uni.login(await browser.begin("uni"), "unlucky"))
    assert response.code == 500


async def test_names_are_not_changed(world: World) -> None:
    authenticator = world.hub.authenticator
    assert authenticator.normalize_username("ABC") == "ABC"
    assert not authenticator.check_allowed("bcdfghjkm", None)
    assert not authenticator.check_allowed("Someone", {"name": "Someone"})
    assert authenticator.enable_auth_state
    assert not authenticator.manage_groups
