"""nbgrader's formgrader in the server of people who run a course: loaded when it is opened for the first time.

What takes long there, because it goes over the exchange, runs in a thread: nbgrader's own handlers would stop the
server meanwhile. Its pages may be shown in a frame of the same server, which is how JupyterLab shows them. Those that
list what there is bring the course folder up to date first: submissions may have been graded from the lab's pages.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado.routing import Matcher, PathMatches, Rule
from tornado.web import HTTPError, authenticated

from kirzl_lab.courses.in_server import loading, sync

GRADEBOOK = "nbgrader_gradebook"
"""Where nbgrader's formgrader keeps its gradebook among the server's settings."""
SAME_SERVER = "frame-ancestors 'self'"

LONG = {
    "release": "release_assignment",
    "unrelease": "unrelease",
    "collect": "collect",
    "release_feedback": "release_feedback",
}
"""Last step of formgrader's address -> the method of nbgrader's API behind it."""

LISTS = re.compile(r"/formgrader/(manage_|gradebook)")
"""Where pages are that list what there is."""

READ_BY_PAGES = "text/plain; charset=UTF-8"
"""Formgrader's pages parse answers themselves: told that one is JSON, jQuery does it first, and they show nothing."""

IN_JUPYTERLAB = 'base_url.replace(/[/]formgrader$/, "") + "/lab/tree/"'
LINKS = {'"/notebooks/"': IN_JUPYTERLAB, '"/edit/"': IN_JUPYTERLAB, '"/tree/"': IN_JUPYTERLAB}
"""Where formgrader's pages lead to files when JupyterLab is not around them: upstream to pages at the root of the host."""

WITHOUT_MATHJAX = """
window.addEventListener("DOMContentLoaded", () => {
    if (!(window.MathJax && window.MathJax.Hub)) {
        window.MathJax = {Hub: {Startup: {signal: {Interest: (told) => told("End")}}}};
    }
});
"""
"""MathJax comes from elsewhere. Where a browser cannot get it, the page of a submission would stop halfway."""


class Formgrader:
    """Of one server."""

    def __init__(self, server: Any, environment: Mapping[str, str]) -> None:
        self.server = server
        self.environment = environment
        self.loaded = False
        self._loading = asyncio.Lock()

    async def load(self) -> None:
        """Load it unless it is."""
        async with self._loading:
            if self.loaded:
                return
            await asyncio.to_thread(loading.load)
            _add(self.server, self.environment)
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
    async def get(self) -> None:
        """Load it."""
        try:
            await self.formgrader.load()
        except Exception as error:
            self.log.exception("Formgrader cannot be loaded")
            raise HTTPError(503, "Formgrader cannot be loaded: the server's log says why") from error
        self.redirect(self.request.uri or "", status=307)

    post = put = delete = get


class LongAction(JupyterHandler):
    """Release, withdraw, collect or release feedback, from formgrader's buttons."""

    @authenticated
    async def post(self, assignment: str, *rest: str) -> None:
        """Do it; the answer is nbgrader's own."""
        student, action = (rest[0], rest[1]) if len(rest) == 2 else (None, rest[0])
        told = await asyncio.to_thread(_act, LONG[action], assignment, student)
        self.set_header("Content-Type", READ_BY_PAGES)
        self.finish(json.dumps(told))


class GradeAction(JupyterHandler):
    """Grade, from formgrader's button: the lab runs the submission, and the server goes on meanwhile."""

    @authenticated
    async def post(self, assignment: str, student: str) -> None:
        """Do it; the answer is as nbgrader's."""
        told = await asyncio.to_thread(_grade, assignment, student, self.log)
        self.set_header("Content-Type", READ_BY_PAGES)
        self.finish(json.dumps(told))


class Script(JupyterHandler):
    """The script of all pages: upstream's, which knows where files are in this server, and may miss MathJax."""

    @authenticated
    def get(self) -> None:
        """The script."""
        from nbgrader.server_extensions.formgrader import handlers  # noqa: PLC0415

        script = Path(handlers.static_path, "js", "utils.js").read_text(encoding="utf-8")
        for upstream, ours in LINKS.items():
            script = script.replace(upstream, ours)
        self.set_header("Content-Type", "text/javascript; charset=UTF-8")
        self.finish(script + WITHOUT_MATHJAX)


def install(server: Any, environment: Mapping[str, str]) -> None:
    """Load formgrader when it is opened."""
    formgrader = Formgrader(server, environment)
    pattern = url_path_join(server.base_url, "/formgrader(?:/.*)?")
    server.web_app.add_handlers(".*$", [Rule(NotLoaded(formgrader, pattern), First, {"formgrader": formgrader})])


def _add(server: Any, environment: Mapping[str, str]) -> None:
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
        (r"/formgrader/api/submission/([^/]+)/([^/]+)/autograde", GradeAction),
        *(
            (pattern, healing(_framed(_followed(handler, environment) if LISTS.match(pattern) else handler)), *rest)
            for pattern, handler, *rest in [*handlers.default_handlers, *apihandlers.default_handlers]
        ),
        (r"/formgrader/static/js/utils\.js", Script),
        (r"/formgrader/static/(.*)", StaticFileHandler, {"path": handlers.static_path}),
        (r"/formgrader/.*", _framed(handlers.Template404)),
    ]
    server.web_app.add_handlers(".*$", [(url_path_join(server.base_url, pattern), *rest) for pattern, *rest in routes])


def healing(handler: type[Any]) -> type[Any]:
    """The handler of formgrader, which begins with a gradebook that answers and ends without a transaction.

    nbgrader keeps one session for all requests: once its connection is cut, every request fails for good, and between
    requests it would stay in a transaction, which keeps PostgreSQL from cleaning up and shows old grades of others.
    """
    if not issubclass(handler, JupyterHandler):  # of files of its own
        return handler

    async def prepare(self: Any) -> None:
        await handler.prepare(self)
        drop_broken_gradebook(self.settings)

    def on_finish(self: Any) -> None:
        gradebook = self.settings.get(GRADEBOOK)
        if gradebook is not None:
            with suppress(Exception):  # what cannot be ended is found and dropped by the next request
                gradebook.db.rollback()
        handler.on_finish(self)

    return type(handler.__name__, (handler,), {"prepare": prepare, "on_finish": on_finish})


def drop_broken_gradebook(settings: dict[str, Any]) -> None:
    """Forget formgrader's gradebook if it does not answer: nbgrader then opens a new one."""
    gradebook = settings.get(GRADEBOOK)
    if gradebook is None:
        return
    try:
        gradebook.db.connection().exec_driver_sql("SELECT 1")
    except Exception:  # whatever is wrong with it: its classes are SQLAlchemy's, which is loaded with formgrader alone
        settings[GRADEBOOK] = None
        with suppress(Exception):
            gradebook.close()


def _followed(handler: type[Any], environment: Mapping[str, str]) -> type[Any]:
    """The handler, whose page shows what the lab has at that moment; what the folder had when the lab is away."""

    async def prepare(self: Any) -> None:
        await handler.prepare(self)
        if self.current_user and not self._finished:
            await asyncio.to_thread(sync.followed, environment, self.log)

    return type(handler.__name__, (handler,), {"prepare": prepare})


def _framed(handler: type[Any]) -> type[Any]:
    """The handler, whose pages may be shown in a frame of this server: JupyterHub forbids it for all of them.

    What else its policy says stays: files of students are shown in a sandbox.
    """
    policy = getattr(handler, "content_security_policy", None)
    if policy is None:  # of files of its own
        return handler

    def content_security_policy(self: Any) -> str:
        parts = (part.strip() for part in policy.fget(self).split(";"))
        return "; ".join([SAME_SERVER, *(part for part in parts if not part.startswith("frame-ancestors"))])

    return type(handler.__name__, (handler,), {"content_security_policy": property(content_security_policy)})


def _act(method: str, assignment: str, student: str | None) -> Any:
    """What a method of nbgrader's API returns, on objects of its own: formgrader's are used meanwhile."""
    from nbgrader.apps import NbGrader  # noqa: PLC0415
    from nbgrader.apps.api import NbGraderAPI  # noqa: PLC0415
    from nbgrader.coursedir import CourseDirectory  # noqa: PLC0415

    app = NbGrader()
    app.load_config_file()
    api = NbGraderAPI(CourseDirectory(config=app.config), config=app.config)
    return getattr(api, method)(assignment, *([student] if student else []))


def _grade(assignment: str, student: str, log: Any) -> dict[str, Any]:
    """Whether it was graded, and the log that formgrader shows."""
    from kirzl_lab.courses.in_server import grading  # noqa: PLC0415 - brings nbgrader in
    from kirzl_lab.courses.in_server.service import ServiceError  # noqa: PLC0415
    from kirzl_lab.store.archives import ArchiveRefused  # noqa: PLC0415

    lines: list[str] = []
    try:
        whole, text = grading.told(grading.grade(assignment, student, lines.append, log))
    except (ServiceError, ArchiveRefused, OSError) as error:
        return {"success": False, "log": "\n".join(lines), "error": str(error)}
    said = "\n".join([*lines, text])
    return {"success": True, "log": said} if whole else {"success": False, "log": said, "error": text}
