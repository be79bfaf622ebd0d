"""The service on a loopback port for a real browser, with the hub's static files and a hub that logs people in.

The hub of the site asks no questions: whoever comes to log in is the person of the cookie `who`.
"""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import httpx
import uvicorn
from jupyterhub._data import DATA_FILES_PATH
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from kirzl_lab.cli.ports import free_port
from kirzl_lab.look import STATIC
from kirzl_lab.service.app import app_for
from kirzl_lab.service.state import ServiceState
from kirzl_lab.settings import Settings
from kirzl_lab.store.database import Store
from tests.service.conftest import PLACE
from tests.service.fake_hub import FakeHub
from tests.service.sample import CATALOGUE, NOW, OPERATOR, STUDENT, fill_crowd


@contextmanager
def running_site(
    template: Path,
    folder: Path,
    hub: FakeHub,
    *,
    crowd: bool = True,
    more: Callable[[ServiceState], Awaitable[None]] | None = None,
) -> Iterator[str]:
    """The address of a site, while the block runs, on a copy of the lab database in `template`, with `more` in it."""
    file, port = folder / "lab.sqlite", free_port()
    shutil.copyfile(template, file)
    url = f"http://127.0.0.1:{port}"
    hub.start(STUDENT, "ml-101")
    hub.start(OPERATOR, "ml-101", ready=False, pending="stop")

    @asynccontextmanager
    async def opened() -> AsyncIterator[ServiceState]:
        store = Store(f"sqlite+aiosqlite:///{file}")
        if crowd:
            await fill_crowd(store)
        settings = Settings(hub_config=folder, courses=folder, data=folder, database_url="", public_url=url)
        async with httpx.AsyncClient(transport=hub.transport()) as client:
            state = ServiceState(settings, PLACE, CATALOGUE, store, client, clock=lambda: NOW)
            if more is not None:
                await more(state)
            yield state
        await store.close()

    service = app_for(PLACE, opened)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with service.router.lifespan_context(service):
            yield

    async def authorize(request: Request) -> Response:
        question = {name: values[0] for name, values in parse_qs(request.url.query).items()}
        who = request.cookies.get("who", OPERATOR)
        hub.codes["code"] = (hub.give_token(who, f"session-{who}"), question["code_challenge"])
        back = urlencode({"state": question["state"], "code": "code"})
        return RedirectResponse(f"{question['redirect_uri']}?{back}", status_code=302)

    site = Starlette(
        routes=[
            Route("/hub/api/oauth2/authorize", authorize),
            Mount("/hub/static", StaticFiles(directory=Path(DATA_FILES_PATH) / "static")),
            Mount("/hub/lab-static", StaticFiles(directory=STATIC)),
            Mount("/", service),
        ],
        lifespan=lifespan,
    )
    server = uvicorn.Server(uvicorn.Config(site, host="127.0.0.1", port=port, log_level="warning", lifespan="on"))
    started = threading.Event()
    startup = server.startup

    async def tell_start(*args: object, **kwargs: object) -> None:
        await startup(*args, **kwargs)  # type: ignore[arg-type]
        started.set()

    server.startup = tell_start  # type: ignore[method-assign]
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    try:
        assert started.wait(30), "the site did not start"
        yield url
    finally:
        server.should_exit = True
        thread.join(10)
