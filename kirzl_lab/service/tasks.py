"""The task endpoint as a process of its own: graders reach it and nothing else of the lab.

`uvicorn kirzl_lab.service.tasks:app_from_environment --factory`.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI

from kirzl_lab import logs
from kirzl_lab.service.app import app_for, opened_state
from kirzl_lab.service.models import Health
from kirzl_lab.service.routes import tasks
from kirzl_lab.service.state import Place, ServiceState
from kirzl_lab.settings import Settings

NOWHERE = Place(api_url="", api_token="", client_id="", prefix="/", hub_prefix="/hub/", service_name="lab")
"""No hub is asked and nobody logs in here."""


def app_from_environment(environment: Mapping[str, str] = os.environ) -> FastAPI:
    """The application for `Settings`. Raises `MissingSettingError`."""
    logs.configure(environment)
    settings = Settings.from_environment(environment)

    @asynccontextmanager
    async def opened() -> AsyncIterator[ServiceState]:
        async with opened_state(settings, NOWHERE) as state:
            yield state

    app = app_for(NOWHERE, opened, (tasks.router,))
    app.add_api_route("/health", Health, name="health", include_in_schema=False)
    return app
