"""The lab service's application: `uvicorn kirzl_lab.service.app:app_from_environment --factory`."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

import httpx
from fastapi import APIRouter, Depends, FastAPI

from kirzl_lab import logs
from kirzl_lab.catalog.loader import load
from kirzl_lab.service import answers
from kirzl_lab.service.access import admit
from kirzl_lab.service.loops import looping
from kirzl_lab.service.routes import (
    assignments,
    audit,
    course_pages,
    courses,
    exchange,
    feedback,
    gradebook,
    grading,
    login,
    people,
    process,
    roster_pages,
    rosters,
    runs,
    spaces,
    tasks,
)
from kirzl_lab.service.state import Place, ServiceState
from kirzl_lab.service.watching import Watching
from kirzl_lab.settings import Settings
from kirzl_lab.store.database import Store

ROOMS = (
    *(process, login, spaces, courses, course_pages, rosters, roster_pages, exchange, gradebook, grading),
    *(feedback, assignments, runs, people, audit),
)
ROUTERS = tuple(room.router for room in ROOMS)
EVERYTHING = (*ROUTERS, tasks.router)
"""With what graders alone reach, in a process of its own: a task's token is of no use to anybody who reaches this one."""

Opened = Callable[[], AbstractAsyncContextManager[ServiceState]]


def app_from_environment(environment: Mapping[str, str] = os.environ) -> FastAPI:
    """The application for `Settings` and JupyterHub's variables for services. Raises `MissingSettingError`.

    Files, the lab database and the hub are touched when the process starts to serve, not before.
    """
    logs.configure(environment)
    settings, place = Settings.from_environment(environment), Place.from_environment(environment)

    @asynccontextmanager
    async def opened() -> AsyncIterator[ServiceState]:
        async with opened_state(settings, place) as state, looping(state):
            yield state

    return app_for(place, opened)


@asynccontextmanager
async def opened_state(settings: Settings, place: Place) -> AsyncIterator[ServiceState]:
    """What requests share, with everything that it holds open."""
    catalogue = await asyncio.to_thread(load, settings.hub_config, settings.courses)
    store = Store(settings.database_url)
    try:
        # The hub is a neighbour: no proxy of the environment stands between.
        async with httpx.AsyncClient(trust_env=False) as client:
            state = ServiceState(settings, place, catalogue, store, client)
            try:
                yield state
            finally:
                state.blobs.close()
                await asyncio.to_thread(state.gradebooks.close)
    finally:
        await store.close()


def app_for(place: Place, opened: Opened, routers: tuple[APIRouter, ...] = ROUTERS) -> FastAPI:
    """The application at `place`; its state is `opened` around its life."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opened() as state:
            app.state.service = state
            yield

    app = FastAPI(
        title="KIRZL Lab service",
        description=(
            "What the lab knows, for programs. Send a token of the hub that has the scope "
            f"`{place.scope}` as `Authorization: Bearer ...`. Errors are problem details (RFC 9457)."
        ),
        version=_version(),
        lifespan=lifespan,
        openapi_url=None,  # a route of our own serves it, so that it stands in the table of access
        docs_url=None,  # Swagger's page loads scripts from another host
        redoc_url=None,
        redirect_slashes=False,
    )
    everything = APIRouter(prefix=place.prefix.rstrip("/"), dependencies=[Depends(admit)])
    for router in routers:
        everything.include_router(router)
    app.include_router(everything)
    answers.install(app)
    app.add_middleware(Watching)
    return app


def _version() -> str:
    try:
        return version("kirzl-lab")
    except PackageNotFoundError:
        return "0"
