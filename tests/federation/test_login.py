"""Logins through the real hub: the attacks on them, each by name, and what a good one does."""

import base64
import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
import pytest_asyncio
from joserfc.jwk import Key
from sqlalchemy import select

from kirzl_lab.catalog.models import Text
from kirzl_lab.federation import asking
from kirzl_lab.federation.keys import REFETCH_AFTER
from kirzl_lab.federation.logins import LIFETIME
from kirzl_lab.store.tables import Identity, InstitutionRow, Person
from tests.federation.conftest import NOW, institution, sign
from tests.federation.hub import Browser, path_of, refusal
from tests.federation.provider import Provider
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


# -- a good login ------------------------------------------------------------------------------------------------------


async def test_somebody_logs_in_and_is_known_by_a_hub_name(world: World) -> None:
    browser = world.browser()
    before = len(await world.audit())
    asked = await browser.begin("uni", "/user/x/ml-101/lab%3Freset")
    response = await browser.get(world.uni.login(asked, "good-1", name="Student One"))
    assert path_of(response) == "/user/x/ml-101/lab?reset"
    person = await world.person("good-1")
    assert await browser.who() == person.hub_name
    assert person.display_name == "Student One"
    assert [action for _, action, _ in await world.audit(before)] == ["person-created", "login"]
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"


async def test_what_an_institution_is_asked(world: World) -> None:
    browser = world.browser()
    asked = parse_qs(urlsplit(await browser.begin("uni")).query)
    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == [f"{world.hub.url}/hub/callback/uni"]
    assert asked["scope"] == ["openid profile email"]
    assert all(len(asked[name][0]) == 43 for name in ("state", "nonce", "code_challenge"))


async def test_the_cookies_of_a_login(world: World) -> None:
    browser = world.browser()
    await browser.begin("uni")
    await browser.begin("uas")
    found = {header.partition("=")[0]: header for header in browser.set_cookies}
    assert "HttpOnly" in found["kirzl-lab-browser"]
    assert "SameSite=Lax" in found["kirzl-lab-browser"]
    assert "Path=/hub/" in found["kirzl-lab-browser"]
    assert browser.cookies["kirzl-lab-institution"] == "uas"


async def test_with_https_the_browser_cookie_is_this_hosts_own(world: World) -> None:
    world.hub.authenticator.public_url = "https://lab.example"
    try:
        browser = world.browser()
        await browser.begin("uni")
    finally:
        world.hub.authenticator.public_url = world.hub.url
    (cookie,) = [header for header in browser.set_cookies if header.startswith("__Host-kirzl-lab-browser=")]
    assert "Secure" in cookie
    assert "Path=/;" in cookie


async def test_the_chooser_lists_institutions_and_marks_the_last_choice(world: World) -> None:
    world.hub.authenticator.institutions = {
        "b": institution("b", title=Text(de="x", en="Äpfel")),
        "c": institution("c", title=Text(de="y", en="alpha")),
    }
    browser = world.browser()
    browser.cookies["kirzl-lab-institution"] = "c"
    response = await browser.get("/hub/login?next=/hub/x")
    assert response.body.split() == [b"c*", b"b", b"next=/hub/x"]
    browser.cookies["kirzl-lab-institution"] = "nonsense"
    assert b"*" not in (await browser.get("/hub/login")).body


async def test_who_is_logged_in_is_not_asked_again(world: World) -> None:
    browser = await world.login("good-2")
    assert path_of(await browser.get("/hub/login?next=/hub/x")) == "/hub/x"
    assert path_of(await browser.get("/hub/login?next=//evil.example")) == "/hub/home"


async def test_several_tabs(world: World) -> None:
    browser = world.browser()
    first, second = await browser.begin("uni", "/hub/1"), await browser.begin("uas", "/hub/2")
    assert path_of(await browser.get(world.uas.login(second, "tabs"))) == "/hub/2"
    assert path_of(await browser.get(world.uni.login(first, "tabs"))) == "/hub/1"


async def test_the_verifier_belongs_to_the_challenge(world: World) -> None:
    import hashlib

    browser = world.browser()
    asked = await browser.begin("uni")
    await browser.get(world.uni.login(asked, "good-3"))
    digest = hashlib.sha256(world.uni.posted[-1]["code_verifier"].encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert parse_qs(urlsplit(asked).query)["code_challenge"] == [challenge]


async def test_a_public_client_sends_no_secret(world: World) -> None:
    await world.login("good-4")
    assert "client_secret" not in world.uni.posted[-1]
    assert world.uni.posted[-1]["client_id"] == "kirzl-lab"
    assert world.uni.headers[-1] is None


async def test_a_client_with_a_secret_proves_itself_by_basic(world: World) -> None:
    await world.login("good-5", world.uas)
    encoded = (world.uas.headers[-1] or "").removeprefix("Basic ")
    assert base64.b64decode(encoded) == b"kirzl-lab:s3cret%2F%C3%BC%2B%3A"
    assert "client_secret" not in world.uas.posted[-1]


async def test_or_by_post_where_that_is_the_only_way(world: World) -> None:
    world.uas.change_discovery = lambda found: found | {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    await world.login("good-6", world.uas)
    assert world.uas.headers[-1] is None
    assert world.uas.posted[-1]["client_secret"] == "s3cret/ü+:"


async def test_where_there_is_no_way_that_we_know_nobody_is_sent(world: World) -> None:
    world.uas.change_discovery = lambda found: found | {"token_endpoint_auth_methods_supported": ["private_key_jwt"]}
    assert refusal(await world.browser().get("/hub/login/uas")) == (502, "institution-unreachable")


async def test_userinfo_says_what_the_id_token_leaves_out(world: World) -> None:
    world.uni.userinfo = {"matriculation_number": "1000001", "name": "Student Two"}
    browser = await world.login("good-7")
    assert await world.spaces(await browser.who()) == ["ml-101"]
    assert (await world.person("good-7")).display_name == "Student Two"


async def test_logging_out(world: World) -> None:
    browser = await world.login("good-8")
    name = await browser.who()
    before = len(await world.audit())
    response = await browser.get("/hub/logout")
    assert response.body.decode().split() == ["out", f"{world.uni.issuer}/logout?client_id=kirzl-lab"]
    assert await browser.who() == "nobody"
    assert await world.audit(before) == [(name, "logout", {})]
    assert (await browser.get("/hub/logout")).body.split() == [b"out", b"None"]


# -- who somebody is ---------------------------------------------------------------------------------------------------


async def test_the_same_sub_at_two_issuers_is_two_people(world: World) -> None:
    one, other = await world.login("same-sub", world.uni), await world.login("same-sub", world.uas)
    assert await one.who() != await other.who()


async def test_subjects_that_differ_in_case_only_are_two_people(world: World) -> None:
    names = {await (await world.login(subject)).who() for subject in ("Case", "case", "CASE")}
    assert len(names) == 3
    assert await (await world.login("Case")).who() in names


async def test_nobody_becomes_an_admin(world: World) -> None:
    browser = await world.login("root", name="admin", groups=["admin"], admin=True)
    user = world.hub.app.users[await browser.who()]
    assert user.admin is False
    assert user.groups == []


async def test_one_browser_two_people_one_after_the_other(world: World) -> None:
    browser = await world.login("first-person")
    first = await browser.who()
    await browser.get(world.uni.login(await browser.begin("uni"), "second-person"))
    assert await browser.who() not in {first, "nobody"}


async def let_in(world: World, browser: Browser) -> str:
    """A token with which a service let in the person of this browser, as the hub's OAuth gives it."""
    user = world.hub.app.users[await browser.who()]
    return str(user.new_api_token(session_id=browser.cookies["jupyterhub-session-id"]))


async def works(world: World, token: str) -> bool:
    response = await world.browser().get("/hub/api/user", Authorization=f"token {token}")
    return response.code == 200


async def test_the_next_person_in_a_browser_finds_nothing_open(world: World) -> None:
    browser = await world.login("leaves-it-open")
    program = str(world.hub.app.users[await browser.who()].new_api_token(note="in no browser"))
    token, session = await let_in(world, browser), browser.cookies["jupyterhub-session-id"]
    elsewhere = await world.login("leaves-it-open")
    token_elsewhere = await let_in(world, elsewhere)
    assert await works(world, token)

    await browser.get(world.uni.login(await browser.begin("uni"), "comes-next"))
    assert await browser.who() == (await world.person("comes-next")).hub_name
    assert browser.cookies["jupyterhub-session-id"] != session
    assert not await works(world, token)
    assert await works(world, token_elsewhere), "another browser is another session"
    assert await works(world, program)

    theirs = await let_in(world, browser)
    assert await works(world, theirs)
    await browser.get("/hub/logout")
    assert not await works(world, theirs)


async def test_a_second_login_of_the_same_person_closes_nothing(world: World) -> None:
    browser = await world.login("again")
    token, session = await let_in(world, browser), browser.cookies["jupyterhub-session-id"]
    await browser.get(world.uni.login(await browser.begin("uni"), "again"))
    assert browser.cookies["jupyterhub-session-id"] == session
    assert await works(world, token)


async def test_who_logs_in_where_a_login_was_forgotten_gets_a_session_of_their_own(world: World) -> None:
    browser = await world.login("forgotten")
    session = browser.cookies["jupyterhub-session-id"]
    browser.cookies = {name: value for name, value in browser.cookies.items() if name != "jupyterhub-hub-login"}
    assert await browser.who() == "nobody"
    await browser.get(world.uni.login(await browser.begin("uni"), "comes-after"))
    assert browser.cookies["jupyterhub-session-id"] != session


# -- what an institution may say ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "s1@uni.example", "email_verified": False},
        {"email": "s1@uni.example", "email_verified": "true"},
        {"email": "s1@uni.example"},
        {"email": ["s1@uni.example"], "email_verified": True},
        {"matriculation_number": "1000002\0"},
        {"matriculation_number": "100000２"},
        {"matriculation_number": "１000002"},
        {"matriculation_number": ["\u200b1000002", 1000002, {"a": "1000002"}]},
        {"student_number": "1000002"},
        {"groups": ["ml-101"], "role": "operator"},
    ],
)
async def test_claims_that_bind_nothing(world: World, claims: dict[str, Any]) -> None:
    browser = await world.login(f"claims-{json.dumps(claims)}", **claims)
    assert await world.spaces(await browser.who()) == []


async def test_an_institution_cannot_speak_for_another_ones_people(world: World) -> None:
    said = {"email": "s2@uni.example", "email_verified": True, "matriculation_number": "1000003"}
    browser = await world.login("liar", world.uas, **said)
    assert await world.spaces(await browser.who()) == []
    honest = await world.login("honest", world.uni, **said)
    assert await world.spaces(await honest.who()) == ["ml-101"]


BUT_FOR_THE_ADDRESS = {
    "matriculation_number": "7",
    "eduperson_scoped_affiliation": "member@uni.example",
    "name": "Student Two",
}
"""What uni's ID tokens may say, so that nothing is left to ask userinfo for but the address and its verification."""


async def test_an_address_that_only_userinfo_confirms_counts(world: World) -> None:
    world.uni.userinfo = {"email": "s4@uni.example", "email_verified": True}
    browser = await world.login("confirmed-by-userinfo", **BUT_FOR_THE_ADDRESS, email="s4@uni.example")
    assert await world.spaces(await browser.who()) == ["ml-101"]


async def test_userinfo_does_not_confirm_the_id_tokens_address(world: World) -> None:
    world.uni.userinfo = {"email": "own@uni.example", "email_verified": True}
    browser = await world.login("confirmed-another", **BUT_FOR_THE_ADDRESS, email="s5@uni.example")
    assert world.uni.asked.count("/userinfo") == 1
    assert await world.spaces(await browser.who()) == []


async def test_what_was_dropped_is_told_in_the_audit_without_its_value(world: World) -> None:
    before = len(await world.audit())
    browser = await world.login("dropped", email="s3@uni.example", email_verified=False)
    *_, (_, action, detail) = await world.audit(before)
    assert (action, detail) == ("login", {"dropped": ["email: email-not-verified"]})
    person = await world.person("dropped")
    assert await dropped_of(world, person) == {"email": ["email-not-verified"]}
    assert await browser.who() == person.hub_name
    await world.login("dropped", email="s3@uni.example", email_verified=True)
    assert await dropped_of(world, person) == {}


async def dropped_of(world: World, person: Person) -> dict[str, list[str]] | None:
    async with world.store.reading() as session:
        return (await session.scalars(select(Identity.dropped).where(Identity.person_id == person.id))).one()


# -- attacks on the ID token -------------------------------------------------------------------------------------------

Attack = Callable[[Provider, dict[str, Key]], None]


def _wrong_key(provider: Provider, keys: dict[str, Key]) -> None:
    provider.signing = keys["same-kid"]


def _unknown_key(provider: Provider, keys: dict[str, Key]) -> None:
    provider.signing = keys["other"]


def _b64(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def _json(part: dict[str, Any]) -> str:
    return _b64(json.dumps(part).encode())


def _none(provider: Provider, keys: dict[str, Key]) -> None:
    provider.make_token = lambda claims: f"{_json({'alg': 'none'})}.{_json(claims)}."


def _hmac(provider: Provider, keys: dict[str, Key]) -> None:
    def forge(claims: dict[str, Any]) -> str:
        signed = f"{_json({'alg': 'HS256', 'kid': 'uni-1'})}.{_json(claims)}"
        return f"{signed}.{_b64(hmac.digest(keys['uni'].as_pem(private=False), signed.encode(), 'sha256'))}"

    provider.make_token = forge


def _says(**changes: Any) -> Attack:
    def attack(provider: Provider, keys: dict[str, Key]) -> None:
        provider.change_claims = lambda claims: {
            name: value for name, value in (claims | changes).items() if value is not None
        }

    return attack


def _answers(change: Callable[[dict[str, Any]], Any]) -> Attack:
    def attack(provider: Provider, keys: dict[str, Key]) -> None:
        provider.change_answer = change

    return attack


def _twice(provider: Provider, keys: dict[str, Key]) -> None:
    provider.make_token = lambda claims: sign(json.dumps(claims)[:-1] + ', "sub": "lecturer"}', provider.signing)


def _userinfo_of_somebody_else(provider: Provider, keys: dict[str, Key]) -> None:
    provider.userinfo = {"sub": "lecturer", "matriculation_number": "1000004"}


def _userinfo_of_1_mb(provider: Provider, keys: dict[str, Key]) -> None:
    provider.userinfo = {"groups": ["x" * 1000] * 1000}


def _error_of_1_mb(provider: Provider, keys: dict[str, Key]) -> None:
    provider.change_error = lambda error: error | {"error_description": "x" * 1_000_000}
    provider.codes = Forgetful()


class Forgetful(dict[str, dict[str, Any]]):
    """An institution that knows no code that it gave."""

    def pop(self, *_: Any) -> Any:
        return None


SECONDS = int(NOW.timestamp())

ATTACKS: dict[str, tuple[str, Attack]] = {
    "wrong key": ("signature", _wrong_key),
    "key of another institution": ("key-unknown", _unknown_key),
    "none": ("algorithm", _none),
    "HMAC with the public key": ("algorithm", _hmac),
    "wrong issuer": ("issuer", _says(iss="https://login.uas.example")),
    "wrong audience": ("audience", _says(aud="another-client")),
    "several audiences without azp": ("azp", _says(aud=["kirzl-lab", "another-client"])),
    "azp of another client": ("azp", _says(azp="another-client")),
    "missing nonce": ("nonce", _says(nonce=None)),
    "nonce of another login": ("nonce", _says(nonce="x" * 43)),
    "expired": ("expired", _says(exp=SECONDS - 61)),
    "not yet valid": ("not-yet-valid", _says(nbf=SECONDS + 61)),
    "from the future": ("not-yet-valid", _says(iat=SECONDS + 61)),
    "without times": ("times-missing", _says(exp=None)),
    "NUL in the subject": ("subject", _says(sub="lecturer\0")),
    "look-alike subject": ("subject", _says(sub="leсturer")),
    "long subject": ("subject", _says(sub="x" * 256)),
    "no subject": ("subject", _says(sub=None)),
    "claims of 100 kB": ("too-large", _says(groups=["x" * 1000] * 100)),
    "claims of 1 MB": ("too-large", _says(groups=["x" * 1000] * 1000)),
    "userinfo of 1 MB": ("too-large", _userinfo_of_1_mb),
    "1 MB in the error's place": ("code-refused", _error_of_1_mb),
    "claims of 3 MB": ("institution-unreachable", _says(groups=["x" * 1000] * 3000)),
    "a claim twice": ("id-token-malformed", _twice),
    "access token of somebody else": ("at-hash", _says(at_hash="A" * 22)),
    "userinfo of somebody else": ("userinfo-subject", _userinfo_of_somebody_else),
    "no ID token": ("id-token-missing", _answers(lambda answer: {"access_token": "a", "token_type": "Bearer"})),
    "ID token that is no text": ("id-token-missing", _answers(lambda answer: answer | {"id_token": {"sub": "x"}})),
    "no access token": ("answer-unreadable", _answers(lambda answer: {"id_token": answer["id_token"]})),
    "access token with a line feed": (
        "answer-unreadable",
        _answers(lambda answer: answer | {"access_token": "a\r\nb: c"}),
    ),
    "access token beyond Unicode": ("answer-unreadable", _answers(lambda answer: answer | {"access_token": "\ud800"})),
    "token of another type": ("answer-unreadable", _answers(lambda answer: answer | {"token_type": "mac"})),
    "an error in a good answer": ("answer-unreadable", _answers(lambda answer: answer | {"error_description": "x"})),
    "a list": ("answer-unreadable", _answers(lambda answer: [answer])),
    "nothing": ("answer-unreadable", _answers(lambda answer: b"")),
    "HTML": ("answer-unreadable", _answers(lambda answer: "<html>")),
    "broken Unicode": ("answer-unreadable", _answers(lambda answer: b'{"access_token": "\xff"}')),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_attack_on_the_token(world: World, attack: str) -> None:
    reason, prepare = ATTACKS[attack]
    prepare(world.uni, world.keys)
    browser = world.browser()
    people, before = await world.people(), len(await world.audit())
    response = await browser.get(world.uni.login(await browser.begin("uni"), "victim"))
    slug = "institution-unreachable" if reason == "institution-unreachable" else "token-refused"
    assert refusal(response) == ({"token-refused": 403, "institution-unreachable": 502}[slug], slug)
    assert reason in response.body.decode() or slug == reason
    assert "uni in English" in response.body.decode()
    assert await browser.who() == "nobody"
    assert await world.people() == people
    assert await world.audit(before) == [("login", "login-refused", {"problem": slug, "reason": reason})]


async def test_no_secret_is_logged_or_shown(world: World, caplog: pytest.LogCaptureFixture) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    loggers = [
        logging.getLogger(name) for name in ("JupyterHub", "tornado.application", "tornado.general", "traitlets")
    ]
    for logger in loggers:
        logger.addHandler(handler)
    shown = []
    try:
        for _, prepare in ATTACKS.values():
            world.reset()
            prepare(world.uni, world.keys)
            browser = world.browser()
            shown.append((await browser.get(world.uni.login(await browser.begin("uni"), "victim"))).body.decode())
        world.reset()
        world.uni.codes.clear()
        browser = world.browser()
        answer = world.uni.login(await browser.begin("uni"), "victim")
        world.uni.codes.clear()
        shown.append((await browser.get(answer)).body.decode())
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
    told = "\n".join([*lines, *shown, caplog.text])
    assert "token-refused" in told
    for secret in ("code-of-uni", "access-victim", "eyJ", 'invalid_grant"', "Traceback"):
        assert secret not in told, secret


# -- attacks on state, browser and institution -------------------------------------------------------------------------


async def test_reused_state(world: World) -> None:
    browser = world.browser()
    asked = await browser.begin("uni")
    answer = world.uni.login(asked, "reuse")
    await browser.get(answer)
    world.uni.login(asked, "reuse")  # and even with a fresh code
    assert refusal(await browser.get(answer)) == (400, "login-expired")
    assert refusal(await browser.get(answer.replace("code-of-uni-0", "code-of-uni-1"))) == (400, "login-expired")


@pytest.mark.parametrize("state", ["", "state=", "state=" + "x" * 43, "state=%00", "state=%ff"])
async def test_missing_or_made_up_state(world: World, state: str) -> None:
    before = len(await world.audit())
    response = await world.browser().get(f"/hub/callback/uni?code=x&{state}")
    assert response.code == 400
    assert await world.audit(before) == []
    assert world.uni.asked == []


async def test_a_login_that_took_too_long(world: World) -> None:
    browser = world.browser()
    answer = world.uni.login(await browser.begin("uni"), "slow")
    world.clock.now += LIFETIME * 1.01
    assert refusal(await browser.get(answer)) == (400, "login-expired")


async def test_reused_nonce(world: World) -> None:
    browser = world.browser()
    asked = await browser.begin("uni")
    await browser.get(world.uni.login(asked, "nonce-1"))
    (nonce,) = parse_qs(urlsplit(asked).query)["nonce"]
    world.uni.change_claims = lambda claims: claims | {"nonce": nonce}
    response = await browser.get(world.uni.login(await browser.begin("uni"), "nonce-2"))
    assert refusal(response) == (403, "token-refused")


async def test_the_answer_of_another_browser(world: World) -> None:
    """An attacker sends the victim a link that would log them in as the attacker."""
    attacker, victim = world.browser(), world.browser()
    link = world.uni.login(await attacker.begin("uni"), "attacker")
    await victim.begin("uni")
    before = len(await world.audit())
    assert refusal(await victim.get(link)) == (400, "login-expired")
    assert await victim.who() == "nobody"
    ((_, action, detail),) = await world.audit(before)
    assert (action, detail["reason"]) == ("login-refused", "state-of-another-browser")
    assert refusal(await attacker.get(link)) == (400, "login-expired")
    assert world.uni.posted == []


async def test_code_of_another_session(world: World) -> None:
    """A stolen code is put into an answer to the attacker's own login."""
    victim, attacker = world.browser(), world.browser()
    stolen = parse_qs(urlsplit(world.uni.login(await victim.begin("uni"), "victim")).query)["code"][0]
    own = world.uni.login(await attacker.begin("uni"), "attacker")
    parts = urlsplit(own)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | {"code": stolen}
    response = await attacker.get(parts._replace(query=urlencode(query)).geturl())
    assert refusal(response) == (403, "token-refused")
    assert "nonce" in response.body.decode()
    assert await attacker.who() == "nobody"


async def test_mix_up_a_state_of_one_institution_at_anothers_address(world: World) -> None:
    browser = world.browser()
    answer = world.uni.login(await browser.begin("uni"), "mixed")
    before = len(await world.audit())
    assert refusal(await browser.get(answer.replace("/callback/uni", "/callback/uas"))) == (400, "login-expired")
    assert (await world.audit(before))[0][2]["reason"] == "state-of-another-institution"
    assert world.uas.posted == world.uni.posted == []


async def test_mix_up_an_honest_code_does_not_go_to_another_institution(world: World) -> None:
    """The victim begins at uas, whose evil server sends them on to uni; uni's code must not be given to uas."""
    browser = world.browser()
    at_uas = await browser.begin("uas")
    answer = world.uni.login(at_uas, "mixed")
    response = await browser.get(answer)
    assert refusal(response) == (403, "token-refused")
    assert "iss-parameter" in response.body.decode()
    assert world.uas.posted == []


async def test_mix_up_a_missing_iss_where_it_was_promised(world: World) -> None:
    world.uni.sends_iss = False
    browser = world.browser()
    assert "iss-parameter" in (await browser.get(world.uni.login(await browser.begin("uni"), "x"))).body.decode()


async def test_without_the_promise_iss_may_be_missing_but_not_wrong(world: World) -> None:
    world.uni.change_discovery = lambda found: found | {"authorization_response_iss_parameter_supported": False}
    world.uni.sends_iss = False
    browser = world.browser()
    assert path_of(await browser.get(world.uni.login(await browser.begin("uni"), "no-iss"))) == "/hub/home"
    wrong = world.uni.login(await browser.begin("uni"), "no-iss") + "&iss=" + quote(world.uas.issuer)
    assert refusal(await browser.get(wrong)) == (403, "token-refused")


async def test_mix_up_a_token_of_another_institution(world: World) -> None:
    """uas answers with a token that uni signed for the same person."""
    browser = world.browser()
    asked = await browser.begin("uas")
    world.uas.make_token = lambda claims: sign(claims | {"iss": world.uni.issuer}, world.uni.signing)
    response = await browser.get(world.uas.login(asked, "mixed"))
    assert refusal(response) == (403, "token-refused")


async def test_mix_up_a_discovery_document_of_another_institution(world: World) -> None:
    world.uas.change_discovery = lambda found: found | {"issuer": world.uni.issuer}
    assert refusal(await world.browser().get("/hub/login/uas")) == (502, "institution-unreachable")


@pytest.mark.parametrize(
    "address", ["/hub/login/other", "/hub/callback/other?state=x", "/hub/login/UNI", "/hub/login/uni%00"]
)
async def test_institutions_that_are_not_there(world: World, address: str) -> None:
    assert refusal(await world.browser().get(address)) == (404, "unknown-institution")


async def test_a_repeated_parameter(world: World) -> None:
    browser = world.browser()
    answer = world.uni.login(await browser.begin("uni"), "twice")
    response = await browser.get(f"{answer}&code=other")
    assert refusal(response) == (403, "token-refused")
    assert "parameter-repeated" in response.body.decode()
    assert refusal(await browser.get(answer)) == (400, "login-expired"), "the state was used up"


async def test_states_in_one_answer_are_all_used_up(world: World) -> None:
    browser = world.browser()
    first, second = [world.uni.login(await browser.begin("uni"), "states") for _ in range(2)]
    (other,) = parse_qs(urlsplit(second).query)["state"]
    response = await browser.get(f"{first}&state={other}")
    assert refusal(response) == (403, "token-refused")
    assert "parameter-repeated" in response.body.decode()
    for answer in (first, second):
        assert refusal(await browser.get(answer)) == (400, "login-expired")


async def test_a_repeated_parameter_of_no_login_is_not_for_the_audit(world: World) -> None:
    before = len(await world.audit())
    for query in ("code=1&code=2", "state=x&state=y", "state=x&code=1&code=2"):
        assert refusal(await world.browser().get(f"/hub/callback/uni?{query}")) == (400, "login-expired")
    assert await world.audit(before) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("access_denied", (403, "login-cancelled")),
        ("login_required", (403, "login-cancelled")),
        ("server_error", (502, "institution-unreachable")),
        ("temporarily_unavailable", (502, "institution-unreachable")),
        ("invalid_scope", (403, "token-refused")),
        ("<script>alert(1)</script>", (403, "token-refused")),
    ],
)
async def test_answers_with_an_error(world: World, error: str, told: tuple[int, str]) -> None:
    browser = world.browser()
    (state,) = parse_qs(urlsplit(await browser.begin("uni")).query)["state"]
    query = urlencode({"error": error, "error_description": "<b>x</b>", "state": state, "iss": world.uni.issuer})
    response = await browser.get(f"/hub/callback/uni?{query}")
    assert refusal(response) == told
    assert "<" not in response.body.decode()
    assert refusal(await browser.get(f"/hub/callback/uni?{query}")) == (400, "login-expired")


async def test_an_answer_without_a_code(world: World) -> None:
    browser = world.browser()
    (state,) = parse_qs(urlsplit(await browser.begin("uni")).query)["state"]
    response = await browser.get(f"/hub/callback/uni?state={state}&iss={quote(world.uni.issuer)}")
    assert "code-missing" in response.body.decode()


@pytest.mark.parametrize(
    "evil",
    [
        "//evil.example",
        "///evil.example",
        "/%5Cevil.example",
        "%5C%5Cevil.example",
        "https:evil.example",
        "https://evil.example/",
        "/%2f%2fevil.example",
        "/%252f%252fevil.example",
        "/%09/evil.example",
        "/%0d%0aLocation:%20https://evil.example",
        "javascript:alert(1)",
        "/hub/..//evil.example",
    ],
)
async def test_open_redirect_in_next(world: World, evil: str) -> None:
    browser = world.browser()
    asked = await browser.begin("uni", evil)
    assert path_of(await browser.get(world.uni.login(asked, "redirect"))) == "/hub/home"
    assert evil.encode() not in (await world.browser().get(f"/hub/login?next={evil}")).body


async def test_refused_logins_cannot_fill_the_audit(world: World) -> None:
    before = len(await world.audit())
    for _ in range(70):
        browser = world.browser()
        await browser.get(world.uni.login(await browser.begin("uni"), "x").replace("code=", "code=no"))
    assert len(await world.audit(before)) == 60


# -- keys --------------------------------------------------------------------------------------------------------------


async def test_key_rotation(world: World) -> None:
    await world.login("rotation")
    world.uni.signing = world.keys["other"]
    world.uni.published = [world.keys["other"], world.keys["uni"]]
    world.clock.now += REFETCH_AFTER
    await world.login("rotation")
    world.uni.signing, world.uni.published = world.keys["uni"], [world.keys["uni"]]
    await world.login("rotation")
    assert world.uni.asked.count("/jwks") == 2


async def test_unknown_kids_do_not_make_us_ask_for_keys_again_and_again(world: World) -> None:
    await world.login("refetch")
    world.clock.now += REFETCH_AFTER
    world.uni.signing = world.keys["other"]
    for _ in range(10):
        browser = world.browser()
        response = await browser.get(world.uni.login(await browser.begin("uni"), "refetch"))
        assert "key-unknown" in response.body.decode()
    assert world.uni.asked.count("/jwks") == 2


# -- institutions and databases that do not answer ---------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 503, 404, 302])
async def test_discovery_that_does_not_answer(world: World, status: int) -> None:
    world.uni.broken["/.well-known/openid-configuration"] = status
    assert refusal(await world.browser().get("/hub/login/uni")) == (502, "institution-unreachable")
    assert "/elsewhere" not in world.uni.asked


@pytest.mark.parametrize("path", ["/token", "/jwks", "/userinfo"])
@pytest.mark.parametrize("status", [500, 302, 429])
async def test_endpoints_that_do_not_answer(world: World, path: str, status: int) -> None:
    browser = world.browser()
    answer = world.uni.login(await browser.begin("uni"), "broken")
    world.uni.broken[path] = status
    assert refusal(await browser.get(answer)) == (502, "institution-unreachable")
    assert "/elsewhere" not in world.uni.asked
    assert await browser.who() == "nobody"


async def test_an_institution_that_hangs_is_given_up_and_holds_up_nobody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    monkeypatch.setitem(asking.LIMITS, "request_timeout", 0.3)
    world.uni.hang = asyncio.Event()
    hanging = asyncio.ensure_future(world.browser().get("/hub/login/uni"))
    await world.login("not-held-up", world.uas)
    assert not hanging.done()
    assert refusal(await hanging) == (502, "institution-unreachable")
    world.uni.hang.set()


async def test_a_used_code_is_refused(world: World) -> None:
    browser = world.browser()
    answer = world.uni.login(await browser.begin("uni"), "x")
    world.uni.codes.clear()
    assert "code-refused" in (await browser.get(answer)).body.decode()


async def test_blocked_people(world: World) -> None:
    await world.login("blocked")
    person = await world.person("blocked")
    async with world.store.writing() as session:
        (await session.get_one(Person, person.id)).blocked_at = NOW
    browser = world.browser()
    before = len(await world.audit())
    response = await browser.get(world.uni.login(await browser.begin("uni"), "blocked"))
    assert refusal(response) == (403, "person-blocked")
    assert "it@lab.example" in response.body.decode()
    assert await world.audit(before) == [
        ("login", "login-refused", {"problem": "person-blocked", "reason": "person-blocked"})
    ]


async def test_a_lab_database_that_is_away(world: World) -> None:
    from kirzl_lab.store.database import Store

    away = Store("sqlite+aiosqlite:////nowhere/lab.sqlite")
    world.hub.authenticator.store = away
    browser = world.browser()
    response = await browser.get(world.uni.login(await browser.begin("uni"), "away"))
    assert refusal(response) == (503, "lab-database-away")
    assert await browser.who() == "nobody"
    await away.close()


async def test_an_institution_that_the_lab_database_no_longer_has(world: World) -> None:
    browser = world.browser()
    answer = world.uas.login(await browser.begin("uas"), "gone")
    async with world.store.writing() as session:
        (await session.get_one(InstitutionRow, "uas")).removed_at = NOW
    try:
        assert refusal(await browser.get(answer)) == (404, "unknown-institution")
    finally:
        async with world.store.writing() as session:
            (await session.get_one(InstitutionRow, "uas")).removed_at = None
