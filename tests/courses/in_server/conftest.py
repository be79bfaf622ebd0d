"""The real lab service on a loopback port, and people's folders in which nbgrader's own commands run against it."""

import asyncio
import logging
import os
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest
import uvicorn
from jupyter_core.application import NoStart
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.api import Gradebook
from nbgrader.apps.nbgraderapp import NbGraderApp

from kirzl_lab.cli.ports import free_port
from kirzl_lab.service.app import app_for
from kirzl_lab.service.grading import grading
from kirzl_lab.service.state import ServiceState
from kirzl_lab.settings import Settings
from kirzl_lab.spawning import server_environment
from kirzl_lab.store.database import Store
from tests.service.conftest import PLACE, courses_template, filled_template
from tests.service.fake_hub import SCOPE, FakeHub
from tests.service.sample import ASSISTANT, CATALOGUE, COLLEAGUE, INSTRUCTOR, NOW, STUDENT

__all__ = ["courses_template", "filled_template"]

COURSE = "ml-101"
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
"""Of servers: the programs of their own Python first."""


@dataclass
class Lab:
    """The service while it runs. Its clock stands still between two commands."""

    url: str
    hub: FakeHub
    database: Path
    now: datetime = NOW
    seen: list[str] = field(default_factory=list)
    """Method and path of what it was asked."""
    before: Callable[[str], int | None] = lambda _: None
    """Told of each request as `METHOD path`; a status that it returns is the answer."""
    hold: Callable[[str], None] | None = None
    """Called in a thread before an answer, which it holds up."""
    lose: Callable[[str], bool] = lambda _: False
    """Whether the answer to a request gets lost on its way, after everything was done."""

    def token(self, who: str, server: str) -> str:
        """The token that the person's server holds."""
        return self.hub.give_token(who, f"of-{who}-{server}", SCOPE, f"access:servers!server={who}/{server}")


class Front:
    """Stands before the application: notes what is asked, and fails when a test wants it to."""

    def __init__(self, app: Any, lab: Lab) -> None:
        self.app = app
        self.lab = lab

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            asked = f"{scope['method']} {scope['path'].removeprefix('/services/lab/api')}"
            self.lab.seen.append(asked)
            if (status := self.lab.before(asked)) is not None:
                await send({"type": "http.response.start", "status": status, "headers": []})
                await send({"type": "http.response.body", "body": b"gateway"})
                return
            if self.lab.hold is not None:
                await asyncio.to_thread(self.lab.hold, asked)
            if self.lab.lose(asked):
                await self.app(scope, receive, _nowhere)
                raise ConnectionAbortedError("the test's network is down")
        await self.app(scope, receive, send)


async def _again_and_again(look: Callable[[], Awaitable[float]]) -> None:
    while True:
        pause = await look()
        await asyncio.sleep(pause / 10)


async def _nowhere(_message: Any) -> None:
    """Takes what is sent."""


@contextmanager
def running(template: Path, folder: Path) -> Iterator[Lab]:
    """A lab on a copy of the database in `template`, while the block runs."""
    shutil.copyfile(template, folder / "lab.sqlite")
    lab = Lab(f"http://127.0.0.1:{free_port()}", FakeHub(), folder / "lab.sqlite")

    @asynccontextmanager
    async def opened() -> AsyncIterator[ServiceState]:
        store = Store(f"sqlite+aiosqlite:///{folder / 'lab.sqlite'}")
        settings = Settings(hub_config=folder, courses=folder, data=folder, database_url="", public_url=lab.url)
        async with httpx.AsyncClient(transport=lab.hub.transport()) as client:
            state = ServiceState(settings, PLACE, CATALOGUE, store, client, clock=lambda: lab.now)
            async with grading(state) as look:
                loop = asyncio.create_task(_again_and_again(look))
                yield state
                loop.cancel()
        await store.close()

    app = Front(app_for(PLACE, opened), lab)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=httpx.URL(lab.url).port or 0, log_level="warning", lifespan="on"
    )
    server = uvicorn.Server(config)
    started, startup = threading.Event(), server.startup

    async def tell_start(*args: Any, **kwargs: Any) -> None:
        await startup(*args, **kwargs)
        started.set()

    server.startup = tell_start  # type: ignore[method-assign]
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    try:
        assert started.wait(30), "the service did not start"
        yield lab
    finally:
        server.should_exit = True
        thread.join(10)


class Desk:
    """A person's home in the course, and nbgrader's command line there."""

    def __init__(self, home: Path, lab: Lab, who: str, *, staff: bool, gradebook: Path) -> None:
        self.home, self.lab, self.who, self.gradebook = home, lab, who, gradebook
        self.course = home / "course"
        (self.course if staff else home).mkdir(parents=True)
        self.environment = {
            "HOME": str(home),
            "PATH": PATH,
            "JUPYTER_CONFIG_DIR": str(home / ".jupyter"),
            "JUPYTER_DATA_DIR": str(home / ".local"),
            "JUPYTER_CONFIG_PATH": str(server_environment.JUPYTER),
            "JUPYTERHUB_API_TOKEN": lab.token(who, COURSE),
            "KIRZL_LAB_SERVICE_URL": f"{lab.url}/services/lab/",
            "KIRZL_LAB_SPACE": COURSE,
            "KIRZL_LAB_KIND": "course",
            "KIRZL_LAB_STAFF": "1" if staff else "",
            "KIRZL_LAB_HOME_URL": "/hub/home",
        }

    def run(self, *command: str, status: int = 0) -> str:
        """Run `nbgrader COMMAND`, which must end with `status`; what it logged."""
        self.lab.now += timedelta(seconds=1)
        with self.at_work():
            app, log = NbGraderApp.instance(), StringIO()
            try:
                app.initialize(list(command))
                app.init_logging(logging.StreamHandler, [log], color=False, subapps=True)
                with suppress(NoStart):
                    app.start()
                ended = 0
            except SystemExit as end:
                ended = int(end.code or 0)
            finally:
                said = log.getvalue()
                app.reset()
                NbGraderApp.clear_instance()
        assert ended == status, said
        return said

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The process is in this home, with the environment of the person's server."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.chdir(self.home)
            yield

    def listed(self, *options: str) -> list[str]:
        """The lines of `nbgrader list`, without its heading."""
        lines = [line.split("] ", 1)[1] for line in self.run("list", *options).splitlines()]
        assert lines[0].endswith(" assignments:"), lines
        return lines[1:]

    def write(self, path: str, text: str = "") -> Path:
        """A file below the home."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def due(self, assignment: str, when: str) -> None:
        """Set in the gradebook when an assignment is due, in UTC."""
        file = self.course / "gradebook.db"
        if not file.exists():
            shutil.copyfile(self.gradebook, file)
        with Gradebook(f"sqlite:///{file}") as gradebook:
            gradebook.update_or_create_assignment(assignment, duedate=when)

    def release(self, assignment: str, *options: str, **files: str) -> str:
        """Put files, `p1_ipynb` for p1.ipynb, where generated assignments are, and release them."""
        for name, text in (files or {"p1_ipynb": notebook("released")}).items():
            self.write(f"course/release/{assignment}/{name.replace('_', '.')}", text)
        return self.run("release_assignment", assignment, *options)

    def fetch_and_submit(self, assignment: str) -> None:
        """Fetch it and hand it in."""
        self.run("fetch_assignment", assignment)
        self.run("submit", assignment)

    def timestamp(self, folder: str) -> str:
        """The time in a collected folder."""
        return (self.home / folder / "timestamp.txt").read_text()


def notebook(text: str) -> str:
    """A notebook with one cell."""
    cell = new_code_cell(text)
    cell["id"] = "one"
    return str(nbformat.writes(new_notebook(cells=[cell])))


@pytest.fixture
def lab(courses_template: Path, tmp_path: Path) -> Iterator[Lab]:
    """A lab of one test."""
    (tmp_path / "lab").mkdir()
    with running(courses_template, tmp_path / "lab") as lab:
        yield lab


@pytest.fixture(scope="session")
def empty_gradebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gradebook for tests to copy: nbgrader starts a process to make one."""
    file = tmp_path_factory.mktemp("gradebook") / "gradebook.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", PATH)
        Gradebook(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def desks(lab: Lab, tmp_path: Path, empty_gradebook: Path) -> Callable[[str], Desk]:
    """Makes the desks of people."""
    return lambda who: Desk(
        tmp_path / "homes" / who, lab, who, staff=who in (INSTRUCTOR, ASSISTANT), gradebook=empty_gradebook
    )


@pytest.fixture
def teacher(desks: Callable[[str], Desk]) -> Desk:
    """An instructor."""
    return desks(INSTRUCTOR)


@pytest.fixture
def student(desks: Callable[[str], Desk]) -> Desk:
    """A student."""
    return desks(STUDENT)


@pytest.fixture
def colleague(desks: Callable[[str], Desk]) -> Desk:
    """Another student."""
    return desks(COLLEAGUE)


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits between tries are noted and take no time."""
    waited: list[float] = []
    monkeypatch.setattr("kirzl_lab.courses.in_server.service.sleep", waited.append)
    return waited


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """nbgrader and the lab service on a port: none of this is done in a moment."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.laptop)
