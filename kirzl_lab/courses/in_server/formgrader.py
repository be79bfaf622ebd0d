"""nbgrader's formgrader in the server of people who run a course: loaded when it is opened for the first time.

What takes long there, because it goes over the exchange, runs in a thread: nbgrader's own handlers would stop the
server meanwhile. Its pages may be shown in a frame of the same server, which is how JupyterLab shows them.
"""

import asyncio
import json
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado.routing import Matcher, PathMatches, Rule
from tornado.web import HTTPError, authenticated

SAME_SERVER = "frame-ancestors 'self'"

LONG = {
    "release": "release_assignment",
    "unrelease": "unrelease",
    "collect": "collect",
    "release_feedback": "release_feedback",
}
"""Last step of formgrader's address -> the method of nbgrader's API behind it."""


class Formgrader:
    """Of one server."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.loaded = False
        self._loading = asyncio.Lock()

    async def load(self) -> None:
        """Load it unless it is."""
        async with self._loading:
            if self.loaded:
                return
            await asyncio.to_thread(_import)
            _add(self.server)
            self.loaded = True


class NotLoaded(Matcher):
    """Matches addresses of formgrader while it is not loaded."""

    def __init__(self, formgrader: Formgrader, pattern: str) -> None:
        self._formgrader = formgrader
        self._path = PathMatches(pattern)

    def match(self, request: Any) -> dict[str, Any] | None:
        """The parameters of the handler, or None."""
        return None if self._formgrader.loaded else self._path.match(request)


class First(JupyterHandler):
    """The first request: loads formgrader, then sends the client to the same address again."""

    def initialize(self, formgrader: Formgrader) -> None:
        """Each server has one."""
        self.formgrader = formgrader

    @authenticated
    async def prepare(self) -> None:
        """Load it, whatever the method."""
        await super().prepare()
        try:
            await self.formgrader.load()
        except Exception as error:
            self.log.exception("Formgrader cannot be loaded")
            raise HTTPError(503, "Formgrader cannot be loaded: the server's log says why") from error
        self.redirect(self.request.uri or "", status=307)


class LongAction(JupyterHandler):
    """Release, withdraw, collect or release feedback, from formgrader's buttons."""

    @authenticated
    async def post(self, assignment: str, *rest: str) -> None:
        """Do it; the answer is nbgrader's own."""
        student, action = (rest[0], rest[1]) if len(rest) == 2 else (None, rest[0])
        told = await asyncio.to_thread(_act, LONG[action], assignment, student)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(told))


def install(server: Any) -> None:
    """Load formgrader when it is opened."""
    formgrader = Formgrader(server)
    pattern = url_path_join(server.base_url, "/formgrader(?:/.*)?")
    server.web_app.add_handlers(".*$", [Rule(NotLoaded(formgrader, pattern), First, {"formgrader": formgrader})])


def _import() -> None:
    import nbgrader.server_extensions.formgrader.formgrader  # noqa: F401, PLC0415 - seconds, in a thread


def _add(server: Any) -> None:
    """Add formgrader's addresses, as its own `load_jupyter_server_extension` does."""
    from nbgrader.server_extensions.formgrader import apihandlers, handlers  # noqa: PLC0415
    from nbgrader.server_extensions.formgrader.formgrader import FormgradeExtension  # noqa: PLC0415
    from tornado.web import StaticFileHandler  # noqa: PLC0415

    extension = FormgradeExtension(parent=server)
    extension.root_dir = server.root_dir
    extension.log = server.log
    extension.initialize([])
    extension.init_tornado_settings(server.web_app)
    assignment = r"/formgrader/api/assignment/([^/]+)"
    routes: list[tuple[Any, ...]] = [
        (rf"{assignment}/(release|unrelease|collect|release_feedback)", LongAction),
        (rf"{assignment}/([^/]+)/(release_feedback)", LongAction),
        *(
            (pattern, _framed(handler))
            for pattern, handler in [*handlers.default_handlers, *apihandlers.default_handlers]
        ),
        (r"/formgrader/static/(.*)", StaticFileHandler, {"path": handlers.static_path}),
        (r"/formgrader/.*", _framed(handlers.Template404)),
    ]
    server.web_app.add_handlers(".*$", [(url_path_join(server.base_url, pattern), *rest) for pattern, *rest in routes])


def _framed(handler: type[Any]) -> type[Any]:
    """The handler, whose pages may be shown in a frame of this server: JupyterHub forbids it for all of them."""

    def set_default_headers(self: Any) -> None:
        handler.set_default_headers(self)
        self.set_header("Content-Security-Policy", SAME_SERVER)

    return type(handler.__name__, (handler,), {"set_default_headers": set_default_headers})


def _act(method: str, assignment: str, student: str | None) -> Any:
    """What a method of nbgrader's API returns, on objects of its own: formgrader's are used meanwhile."""
    from nbgrader.apps import NbGrader  # noqa: PLC0415
    from nbgrader.apps.api import NbGraderAPI  # noqa: PLC0415
    from nbgrader.coursedir import CourseDirectory  # noqa: PLC0415

    app = NbGrader()
    app.load_config_file()
    api = NbGraderAPI(CourseDirectory(config=app.config), config=app.config)
    return getattr(api, method)(assignment, *([student] if student else []))
