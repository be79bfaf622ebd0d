"""The real application with a real lab database, and a fake hub at the edge."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from kirzl_lab.service.app import EVERYTHING, app_for
from kirzl_lab.service.sessions import TokenCache
from kirzl_lab.service.state import Place, ServiceState
from kirzl_lab.settings import Settings
from kirzl_lab.store.database import Store
from tests.service.fake_hub import API, OWN_TOKEN, FakeHub
from tests.service.sample import (
    ASSISTANT,
    BLOCKED,
    CATALOGUE,
    COLLEAGUE,
    INSTRUCTOR,
    NOW,
    OPERATOR,
    OUTSIDER,
    STRANGER,
    STUDENT,
    fill,
    fill_courses,
)

METRICS_TOKEN = "token-for-metrics"
PLACE = Place(
    api_url=API,
    api_token=OWN_TOKEN,
    client_id="service-lab",
    prefix="/services/lab/",
    hub_prefix="/hub/",
    service_name="lab",
    metrics_token=METRICS_TOKEN,
    receipt_keys="5a" * 32,
)
URL = "http://lab.test"
EVERYBODY = (OPERATOR, STUDENT, BLOCKED, STRANGER, INSTRUCTOR, ASSISTANT, COLLEAGUE, OUTSIDER)
"""Who has a token of the hub; the last four are known to the lab where the courses have their people."""
PAGE = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


@dataclass
class Time:
    """A clock that tests turn."""

    now: datetime = NOW
    seconds: float = 0.0

    def pass_(self, seconds: float) -> None:
        """Let the hub's answers grow old."""
        self.seconds += seconds


@dataclass
class Service:
    """The application while it runs, and what it stands on."""

    app: FastAPI
    store: Store
    hub: FakeHub
    time: Time
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> ServiceState:
        """What requests share."""
        state: ServiceState = self.app.state.service
        return state

    def client(self, **headers: str) -> httpx.AsyncClient:
        """A client with cookies of its own."""
        # What would end a process is raised by Starlette after the answer: the answer is what counts here.
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=URL, headers=headers)

    def with_token(self, who: str) -> httpx.AsyncClient:
        """A program of that person."""
        return self.client(Authorization=f"Bearer {self.tokens[who]}")

    @asynccontextmanager
    async def browser(self, who: str) -> AsyncIterator[httpx.AsyncClient]:
        """A browser in which that person has logged in."""
        async with self.client(**PAGE) as client:
            landed = await log_in(client, self.hub, f"session-{who}", who)
            assert landed.status_code == 303, landed.text
            yield client


async def log_in(
    client: httpx.AsyncClient, hub: FakeHub, token: str, who: str, wanted: str = "/services/lab/reference"
) -> httpx.Response:
    """Walk through the hub's OAuth; the answer of the callback."""
    asked = await client.get(wanted)
    question = asked.headers["location"]
    assert question.startswith("/hub/api/oauth2/authorize?"), question
    parameters = httpx.URL(question).params
    if token not in hub.tokens:
        hub.give_token(who, token)
    code = f"code-{len(hub.calls)}"
    hub.codes[code] = (token, parameters["code_challenge"])
    return await client.get(parameters["redirect_uri"], params={"state": parameters["state"], "code": code})


def form_key(html: str) -> str:
    """The key in the forms of a page."""
    return html.partition('name="form_key" value="')[2].partition('"')[0]


@asynccontextmanager
async def opened_service(folder: Path, store: Store) -> AsyncIterator[Service]:
    """The application on a lab database; its files are in the folder."""
    hub, time = FakeHub(), Time()

    @asynccontextmanager
    async def state() -> AsyncIterator[ServiceState]:
        settings = Settings(hub_config=folder, courses=folder, data=folder, database_url="", public_url=URL)
        async with httpx.AsyncClient(transport=hub.transport()) as client:
            held = ServiceState(settings, PLACE, CATALOGUE, store, client, clock=lambda: time.now)
            held.tokens = TokenCache(held.hub.owner, clock=lambda: time.seconds)
            yield held

    app = app_for(PLACE, state, EVERYTHING)
    async with app.router.lifespan_context(app):
        service = Service(app, store, hub, time)
        for who in EVERYBODY:
            service.tokens[who] = hub.give_token(who, f"token-{who}")
        yield service


@pytest.fixture
def open_service(tmp_path: Path) -> Callable[[Store], AbstractAsyncContextManager[Service]]:
    """Starts the application on a lab database."""
    return lambda store: opened_service(tmp_path, store)


@pytest.fixture(scope="session")
def filled_template(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the sample lab in it, for tests to copy."""
    file = tmp_path_factory.mktemp("sample") / "lab.sqlite"
    shutil.copyfile(sqlite_template, file)

    async def write() -> None:
        store = Store(f"sqlite+aiosqlite:///{file}")
        await fill(store)
        await store.close()

    asyncio.run(write())
    return file


@pytest.fixture(scope="session")
def courses_template(filled_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `filled_template`, with people of every role in the courses."""
    file = tmp_path_factory.mktemp("courses") / "lab.sqlite"
    shutil.copyfile(filled_template, file)

    async def write() -> None:
        store = Store(f"sqlite+aiosqlite:///{file}")
        await fill_courses(store)
        await store.close()

    asyncio.run(write())
    return file


@pytest.fixture
async def in_course(
    courses_template: Path, tmp_path: Path, open_service: Callable[[Store], AbstractAsyncContextManager[Service]]
) -> AsyncIterator[Service]:
    """The application on SQLite, with people of every role in the courses."""
    file = tmp_path / "lab.sqlite"
    shutil.copyfile(courses_template, file)
    store = Store(f"sqlite+aiosqlite:///{file}")
    async with open_service(store) as running:
        yield running
    await store.close()


@pytest.fixture
async def service(
    filled_template: Path, tmp_path: Path, open_service: Callable[[Store], AbstractAsyncContextManager[Service]]
) -> AsyncIterator[Service]:
    """The application on SQLite, with the sample lab in it."""
    file = tmp_path / "lab.sqlite"
    shutil.copyfile(filled_template, file)
    store = Store(f"sqlite+aiosqlite:///{file}")
    async with open_service(store) as running:
        yield running
    await store.close()
