"""What nbgrader's Assignment List and Course List ask for. Everything here blocks: handlers run it in a thread.

Answers are nbgrader's: `{"success": true, "value": ...}`, or `false` with words that say what to do next. nbgrader's own
code for it changes the working directory of the whole server meanwhile, which threads must not.
"""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nbgrader.apps import NbGrader
from nbgrader.auth import Authenticator
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange import ExchangeError, ExchangeFactory

from kirzl_lab.courses.in_server.configuration import SPACE, for_staff
from kirzl_lab.courses.in_server.service import LabService, ServiceError

Told = dict[str, Any]

BROKEN = (
    "Something went wrong in this server. Please try again; if it stays like this, tell the people who run the course."
)
ELSEWHERE = "My spaces"
"""Said of a course beside its link: where it can be opened."""


class FrontEnds:
    """For one server, whose root folder is `root`."""

    def __init__(self, root: str, log: Any, environment: Mapping[str, str] = os.environ) -> None:
        self._root = root
        self._log = log
        self._environment = environment
        self._acting = threading.Lock()

    def assignments(self, course: str) -> Told:
        """What is released in the course, and what the person handed in."""
        return self._told(lambda: self._assignments(course))

    def courses(self) -> Told:
        """Names of courses whose assignments can be listed here: the one of this server."""
        return {"success": True, "value": [self._environment[SPACE]]}

    def act(self, action: str, course: str, assignment: str) -> Told:
        """`fetch`, `submit` or `fetch_feedback`, then the list anew. Clicks that come at once wait for each other."""

        def acted() -> list[Told]:
            with self._acting:
                self._operation(action, course, assignment).start()
            return self._assignments(course)

        return self._told(acted)

    def formgraders(self, base_url: str) -> Told:
        """The courses of the person and where to open them: this one, and all others from My spaces."""
        told = self._told(lambda: self._course_servers(base_url))
        # The Course List shows `message` of what it is given.
        return told if told["success"] else {"success": False, "value": {"message": told["value"]}}

    # -- how ---------------------------------------------------------------------------------------------------

    def _assignments(self, course: str) -> list[Told]:
        released = self._operation("list", course).start()
        for each in released:
            if each["status"] == "fetched":
                for shown in (each, *each["notebooks"]):
                    shown["path"] = os.path.relpath(shown["path"], self._root)
        submitted = self._operation("list_submitted", course).start()
        for submission in (line for each in submitted for line in each["submissions"]):
            if submission["local_feedback_path"]:
                submission["local_feedback_path"] = os.path.relpath(submission["local_feedback_path"], self._root)
        return [*released, *sorted(submitted, key=lambda each: str(each["assignment_id"]))]

    def _course_servers(self, base_url: str) -> list[Told]:
        with LabService(self._environment) as service:
            courses = [space["name"] for space in service.spaces() if space["kind"] == "course"]
        return [self._course_server(name, base_url) for name in sorted(courses)]

    def _course_server(self, name: str, base_url: str) -> Told:
        if name != self._environment[SPACE]:
            return {"course_id": name, "url": self._environment.get("KIRZL_LAB_HOME_URL", ""), "kind": ELSEWHERE}
        if for_staff(self._environment):
            return {"course_id": name, "url": f"{base_url}formgrader", "kind": "local"}
        return {"course_id": name, "url": f"{base_url}lab", "kind": "this server"}

    def _operation(self, action: str, course: str, assignment: str = "") -> Any:
        app = NbGrader()
        app.load_config_file()
        config = app.config
        config.CourseDirectory.course_id = course
        config.CourseDirectory.assignment_id = assignment
        config.Exchange.assignment_dir = str(Path(self._root, config.Exchange.get("assignment_dir", "")))
        config.ExchangeList.cached = action == "list_submitted"
        factory = ExchangeFactory(config=config)
        make = {"fetch": factory.FetchAssignment, "submit": factory.Submit, "fetch_feedback": factory.FetchFeedback}
        return make.get(action, factory.List)(
            coursedir=CourseDirectory(config=config), authenticator=Authenticator(config=config), config=config
        )

    def _told(self, do: Callable[[], list[Told]]) -> Told:
        try:
            return {"success": True, "value": do()}
        except (ExchangeError, ServiceError) as error:
            return {"success": False, "value": str(error)}
        except Exception:
            self._log.exception("An answer for nbgrader's lists could not be made")
            return {"success": False, "value": BROKEN}
