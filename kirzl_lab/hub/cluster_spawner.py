"""The hub's spawner in a cluster. A module of its own: a laptop has no KubeSpawner."""

import asyncio
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from kirzl_lab.hub.pages import Refused
from kirzl_lab.hub.spawner import LabServer
from kirzl_lab.problems import GradebookAway
from kirzl_lab.settings import Settings
from kirzl_lab.spawning.choice import Choice
from kirzl_lab.spawning.cluster import ClusterSpawner

if TYPE_CHECKING:
    from kirzl_lab.courses.gradebook import Gradebooks

GRADEBOOK = "KIRZL_LAB_GRADEBOOK"
"""What nbgrader in a server is told of the gradebook (`kirzl_lab.courses.in_server.configuration`)."""


@cache
def _gradebooks() -> "Gradebooks":
    from kirzl_lab.courses.gradebook import gradebooks  # noqa: PLC0415 - brings nbgrader in, after the hub has started

    settings = Settings.from_environment()
    return gradebooks(settings.data, make_url(settings.database_url))


def _login(choice: Choice) -> str:
    return _gradebooks().staff_url(choice.space, choice.hub_name)


class ClusterHubSpawner(LabServer, ClusterSpawner):
    """A server of the lab as a pod. One of somebody who runs a course has a login of theirs to its gradebook."""

    _gradebook: str | None = None

    async def decide(self) -> Choice:
        """Judge what is about to start once more; refusals are HTTP errors. Makes the login to the gradebook."""
        choice: Choice = await super().decide()
        self._gradebook = None
        if choice.staff and choice.kind == "course":
            try:
                self._gradebook = await asyncio.to_thread(_login, choice)
            except SQLAlchemyError as error:
                raise Refused(GradebookAway()) from error
        return choice

    def get_env(self) -> dict[str, str]:
        """The environment of the server."""
        env: dict[str, str] = super().get_env()
        return env | ({GRADEBOOK: self._gradebook} if self._gradebook else {})
