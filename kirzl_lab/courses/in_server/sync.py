"""The course folder follows the lab: what was released, handed in, graded and given back is there for people who run it.

See `course_folder` for what is brought and what stays as it is.
"""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.ioloop import IOLoop
from tornado.web import authenticated

from kirzl_lab.courses.in_server import loading
from kirzl_lab.courses.in_server.configuration import SPACE, course_folder

ADDRESS = "kirzl-lab/course-folder"
"""POST brings the folder up to date and tells how many folders were brought."""

DELAY_S = 3.0
"""After a server has started: the page that somebody waits for comes first."""


def follow(environment: Mapping[str, str], log: Any) -> int:
    """Bring the course folder of this server up to date; see `CourseFolder.follow`. It blocks."""
    loading.load()
    from kirzl_lab.courses.in_server.course_folder import CourseFolder  # noqa: PLC0415 - brings nbgrader in
    from kirzl_lab.courses.in_server.service import LabService  # noqa: PLC0415 - brings httpx in

    with LabService(environment) as service:
        return CourseFolder(course_folder(environment), environment[SPACE], service, log).follow()


def followed(environment: Mapping[str, str], log: Any) -> None:
    """`follow`, where the server is of use without it: the next page, start or click tries again."""
    try:
        count = follow(environment, log)
    except Exception as error:
        log.warning("The course folder could not be brought up to date: %s", error)
    else:
        if count:
            log.info("The course folder is up to date: %d folders came", count)


def begin(server: Any, environment: Mapping[str, str]) -> None:
    """Follow in the background once the server has started, and whenever somebody asks."""

    IOLoop.current().call_later(
        DELAY_S,
        lambda: threading.Thread(
            target=followed, args=(environment, server.log), name="course-folder", daemon=True
        ).start(),
    )
    address = url_path_join(server.base_url, ADDRESS)
    server.web_app.add_handlers(".*$", [(address, FolderHandler, {"environment": environment})])


class FolderHandler(APIHandler):
    """Brings the course folder up to date when somebody asks for it."""

    def initialize(self, environment: Mapping[str, str]) -> None:
        """Each server has one environment."""
        self.environment = environment

    @authenticated
    async def post(self) -> None:
        """How many folders came, or words on why not all could."""
        from kirzl_lab.courses.in_server.service import ServiceError  # noqa: PLC0415 - brings httpx in

        try:
            count = await asyncio.to_thread(follow, self.environment, self.log)
        except ServiceError as error:
            self.set_status(503)
            self.finish({"success": False, "value": str(error)})
        else:
            self.finish({"success": True, "value": count})
