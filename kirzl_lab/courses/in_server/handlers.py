"""The addresses that nbgrader's front ends in JupyterLab ask: answered in threads, in words that people can use.

They are nbgrader's addresses with nbgrader's answers, in place of the handlers of its server extensions.
"""

import asyncio
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import version
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError, MissingArgumentError, authenticated

from kirzl_lab.courses.in_server import loading
from kirzl_lab.courses.in_server.validating import validated

OTHER_VERSION = (
    "This page is of nbgrader {page}, the server has nbgrader {server}. Reload the page; if it stays like this, stop the "
    "server under My spaces and start it again."
)


class Place:
    """What the handlers share. nbgrader is imported with the first question, in a thread."""

    def __init__(self, server: Any, environment: Mapping[str, str]) -> None:
        self.root: str = server.root_dir
        self.base_url: str = server.base_url
        self.log = server.log
        self._environment = environment

    @cached_property
    def front_ends(self) -> Any:
        """See `front_ends`; ask for it in a thread."""
        loading.load()
        from kirzl_lab.courses.in_server.front_ends import FrontEnds  # noqa: PLC0415 - brings nbgrader in

        return FrontEnds(self.root, self.log, self._environment)


class Handler(APIHandler):
    """An address of one server."""

    def initialize(self, place: Place) -> None:
        """Each server has one place."""
        self.place = place

    async def answer(self, method: str, *arguments: str) -> None:
        """Finish with what a method of the front ends returns."""
        self.finish(await asyncio.to_thread(lambda: getattr(self.place.front_ends, method)(*arguments)))

    def asked(self, name: str) -> str:
        """A value of the query, or of the JSON that was sent."""
        try:
            return str(self.get_argument(name))
        except MissingArgumentError:
            value = (self.get_json_body() or {}).get(name)
            if not isinstance(value, str) or not value:
                raise HTTPError(400, f"{name} is missing") from None
            return value


class Assignments(Handler):
    """What is released and what was handed in."""

    @authenticated
    async def get(self) -> None:
        """The list."""
        await self.answer("assignments", self.asked("course_id"))


class Action(Handler):
    """Fetch an assignment, hand it in, fetch feedback."""

    @authenticated
    async def post(self, action: str) -> None:
        """Do it; the list anew."""
        await self.answer("act", action, self.asked("course_id"), self.asked("assignment_id"))


class Courses(Handler):
    """The courses of the Assignment List."""

    @authenticated
    async def get(self) -> None:
        """Their names."""
        await self.answer("courses")


class Formgraders(Handler):
    """The Course List."""

    @authenticated
    async def get(self) -> None:
        """The courses of the person, and where to open them."""
        await self.answer("formgraders", self.place.base_url)


class Validate(Handler):
    """Run the tests of a notebook that its maker can see."""

    @authenticated
    async def post(self) -> None:
        """What they found."""
        self.finish(await validated(self.place.root, self.asked("path"), self.log))


class Version(Handler):
    """Whether page and server have the same nbgrader."""

    @authenticated
    def get(self) -> None:
        """Success, or what to do."""
        page, server = self.asked("version"), version("nbgrader")
        same = page == server
        self.finish(
            {"success": True} if same else {"success": False, "message": OTHER_VERSION.format(page=page, server=server)}
        )


ADDRESSES = (
    (r"/assignments", Assignments),
    (r"/assignments/(fetch|submit|fetch_feedback)", Action),
    (r"/assignments/validate", Validate),
    (r"/courses", Courses),
    (r"/formgraders", Formgraders),
    (r"/nbgrader_version", Version),
)


def install(server: Any, environment: Mapping[str, str]) -> None:
    """Answer in this server."""
    place = {"place": Place(server, environment)}
    routes = [(url_path_join(server.base_url, address), handler, place) for address, handler in ADDRESSES]
    server.web_app.add_handlers(".*$", routes)
