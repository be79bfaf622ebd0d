"""Logins against two OpenID providers that nobody here wrote: PyPI oidc-provider-mock and npm oidc-provider."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import oidc_provider_mock
import pytest
import pytest_asyncio

from kirzl_lab.federation.institutions import LoginInstitution
from kirzl_lab.store.database import Store
from kirzl_lab.store.members import memberships, person_called
from tests.federation.conftest import a_row, a_space, add_institutions, add_rows, institution
from tests.federation.hub import Browser, Hub, path_of, refusal

SERVER = Path(__file__).resolve().parents[2] / "tools" / "demo_institutions" / "server.mjs"


@pytest.fixture
def mock() -> Iterator[str]:
    """The issuer of an oidc-provider-mock with one person."""
    users = [oidc_provider_mock.User(sub="Student1", claims={"email": "student1@uni.example", "email_verified": True})]
    with oidc_provider_mock.run_server_in_thread(user_claims=users, require_nonce=True) as server:
        yield f"http://localhost:{server.server_port}"


@pytest_asyncio.fixture
async def hub(store: Store, tmp_path: Path) -> AsyncIterator[Hub]:
    """A hub that knows no institution yet, and a course with a row for each institution."""
    hub = Hub(tmp_path, store, lambda: datetime.now(UTC), {})
    yield hub
    hub.stop()


async def set_up(hub: Hub, *institutions: LoginInstitution) -> None:
    hub.institutions = {one.name: one for one in institutions}
    await add_institutions(hub.store, *institutions)
    async with hub.store.writing() as session:
        space = a_space()
        await add_rows(session, space)
        await add_rows(session, a_row(space, "email", "student1@uni.example"))
        if "uas" in hub.institutions:
            await add_rows(
                session,
                a_row(space, "matriculation_number", "1000001"),
                a_row(space, "email", "lecturer@uas.example", institution_name="uas", role="instructor"),
            )
    await hub.start()


async def roles(hub: Hub, hub_name: str) -> list[tuple[str, str]]:
    async with hub.store.reading() as session:
        person = await person_called(session, hub_name)
        assert person is not None
        return [(member.space.name, member.role.value) for member in await memberships(session, person.id)]


async def walk(url: str, form: dict[str, str], hub: Hub) -> str:
    """What a person does at the provider's own pages; returns the address that leads back to the hub."""
    async with httpx.AsyncClient(headers={"accept": "text/html"}) as client:
        page = await client.get(url, follow_redirects=True)
        answer = await client.post(page.url, data=form)
        while not answer.headers["location"].startswith(hub.url):
            answer = await client.get(httpx.URL(str(answer.url)).join(answer.headers["location"]))
        return answer.headers["location"]


async def test_oidc_provider_mock(hub: Hub, mock: str) -> None:
    await set_up(hub, institution("uni", issuer=mock, client_secret="it takes any, but wants one"))
    browser = Browser(hub)
    back = await walk(await browser.begin("uni", "/hub/x"), {"sub": "Student1"}, hub)
    assert path_of(await browser.get(back)) == "/hub/x"
    name = await browser.who()
    assert await roles(hub, name) == [("ml-101", "student")]
    hub.forget_looks()
    assert await browser.who() == name  # refreshed with the token that it gave
    assert refusal(await browser.get(back)) == (400, "login-expired")


async def test_oidc_provider_mock_cancelled(hub: Hub, mock: str) -> None:
    await set_up(hub, institution("uni", issuer=mock))
    browser = Browser(hub)
    asked = await browser.begin("uni")
    back = await walk(asked, {"action": "deny"}, hub)
    # It forgets to send the state along, so its answer could be anybody's.
    assert refusal(await browser.get(back)) == (400, "login-expired")
    assert await browser.who() == "nobody"


@pytest.fixture
def demo(hub: Hub, tmp_path: Path) -> Iterator[str]:
    """The base address of the demo institutions."""
    node = shutil.which("node")
    assert node, "Node.js is not on the PATH"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = f"http://localhost:{port}"
    options = ["--base-url", base, "--port", str(port), "--redirect-base", hub.url, "--keys", str(tmp_path / "keys")]
    environment = {**os.environ, "KIRZL_LAB_UAS_SECRET": "s3cret of+uas"}
    with subprocess.Popen([node, str(SERVER), *options], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        announced = json.loads(process.stdout.readline())
        assert announced["issuers"]["uni"] == f"{base}/uni"
        yield base
        process.terminate()


@pytest.mark.node
async def test_oidc_provider(hub: Hub, demo: str) -> None:
    uni = institution("uni", issuer=f"{demo}/uni")
    uas = institution("uas", issuer=f"{demo}/uas", client_secret="s3cret of+uas")
    await set_up(hub, uni, uas)
    found = {}
    for name, account in (("uni", "student1"), ("uas", "lecturer"), ("uas", "student1")):
        browser = Browser(hub)
        back = await walk(await browser.begin(name), {"login": account, "password": account}, hub)
        assert "iss=" in urlsplit(back).query
        assert path_of(await browser.get(back)) == "/hub/home"
        found[name, account] = await browser.who()
    assert await roles(hub, found["uni", "student1"]) == [("ml-101", "student")]
    assert await roles(hub, found["uas", "lecturer"]) == [("ml-101", "instructor")]
    assert await roles(hub, found["uas", "student1"]) == []
    assert len(set(found.values())) == 3


@pytest.mark.node
async def test_oidc_provider_cancelled(hub: Hub, demo: str) -> None:
    await set_up(hub, institution("uni", issuer=f"{demo}/uni"))
    browser = Browser(hub)
    back = await walk(await browser.begin("uni"), {"cancel": "1"}, hub)
    assert refusal(await browser.get(back)) == (403, "login-cancelled")


@pytest.mark.node
async def test_oidc_provider_an_answer_of_uni_at_uas(hub: Hub, demo: str) -> None:
    await set_up(hub, institution("uni", issuer=f"{demo}/uni"), institution("uas", issuer=f"{demo}/uas"))
    browser = Browser(hub)
    back = await walk(await browser.begin("uni"), {"login": "student1", "password": "student1"}, hub)
    assert refusal(await browser.get(back.replace("/callback/uni", "/callback/uas"))) == (400, "login-expired")
    assert refusal(await browser.get(back)) == (400, "login-expired")
    assert await browser.who() == "nobody"
