"""The lecturer's server of a course, in which nbgrader's formgrader is asked what its buttons ask."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from kirzl_lab.cli.demo.front_door import Visitor
from kirzl_lab.cli.exits import Exit, Stop

START_LIMIT_S = 180
LOOK_S = 0.5
PATIENCE = httpx.Timeout(180, connect=5)
"""Seconds: formgrader makes a whole assignment before it answers."""


class Desk:
    """Started when it is asked for the first time, and stopped at the end unless it ran before. Raises `Stop`."""

    def __init__(self, lecturer: Visitor, course: str, size: str) -> None:
        self._lecturer = lecturer
        self._course = course
        self._size = size
        self._server = f"/hub/api/users/{lecturer.hub_name}/servers/{course}"
        self._open = self._started = False

    def __enter__(self) -> Self:
        """Nothing is started yet."""
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Stop what was started."""
        if self._started:
            with _told("could not be stopped"):
                self._lecturer.http.delete(self._server).raise_for_status()

    # -- what formgrader does ------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Bring the course folder up to date with the lab."""
        self._ask("POST", "kirzl-lab/course-folder")

    def make_due(self, assignment: str, due: datetime) -> None:
        """Write the due date into the gradebook."""
        when = due.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        body = {"duedate_notimezone": when, "duedate_timezone": "UTC"}
        self._ask("PUT", f"formgrader/api/assignment/{quote(assignment)}", body)

    def generate(self, assignment: str) -> None:
        """Make what students get, and what the gradebook knows of it."""
        self._act(f"formgrader/api/assignment/{quote(assignment)}/assign")

    def release(self, assignment: str) -> None:
        """Let students fetch it."""
        self._act(f"formgrader/api/assignment/{quote(assignment)}/release")

    def waiting(self, assignment: str, notebook: str) -> dict[str, list[dict[str, Any]]]:
        """Hub name -> the grades of that student's notebook that somebody has to give by hand."""
        path = f"formgrader/api/submitted_notebooks/{quote(assignment)}/{quote(notebook)}"
        found = {}
        for each in self._ask("GET", path):
            if each.get("needs_manual_grade"):
                grades = self._ask("GET", f"formgrader/api/grades?submission_id={each['id']}")
                found[each["student"]] = [grade for grade in grades if grade["needs_manual_grade"]]
        return found

    def give(self, grade: dict[str, Any], score: float) -> None:
        """Grade one cell by hand."""
        self._ask("PUT", f"formgrader/api/grade/{grade['id']}", {"manual_score": score, "extra_credit": None})

    # -- how -----------------------------------------------------------------------------------------------------

    def _act(self, path: str) -> None:
        told = self._ask("POST", path)
        if not told.get("success"):
            lines = str(told.get("error") or told.get("log") or "").strip().splitlines()[-10:]
            raise Stop(Exit.CANNOT, f"nbgrader could not do it ({path}):", tuple(lines))

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        self._be_open()
        with _told("does not do what it is asked to"):
            address = f"/user/{self._lecturer.hub_name}/{self._course}/{path}"
            answer = self._lecturer.http.request(method, address, json=body, timeout=PATIENCE)
            return answer.raise_for_status().json()

    def _be_open(self) -> None:
        if self._open:
            return
        with _told("could not be started"):
            if self._model() is None:
                options = {"space": self._course, "purpose": "work", "size": self._size}
                self._lecturer.http.post(self._server, json={"user_options": options}).raise_for_status()
                self._started = True
            self._wait()
        self._open = True

    def _wait(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while not (model := self._model() or {}).get("ready"):
            if not model or time.monotonic() > deadline:
                raise Stop(Exit.CANNOT, "The lecturer's server did not start: the log of the hub says why.")
            time.sleep(LOOK_S)  # between two looks at what the hub says of the server

    def _model(self) -> dict[str, Any] | None:
        answer = self._lecturer.http.get(f"/hub/api/users/{self._lecturer.hub_name}")
        found: dict[str, Any] | None = answer.raise_for_status().json().get("servers", {}).get(self._course)
        return found


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, ValueError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        said = _words(error)
        raise Stop(Exit.CANNOT, f"The lecturer's server {what} ({why}).", said) from None


def _words(error: Exception) -> tuple[str, ...]:
    if not isinstance(error, httpx.HTTPStatusError):
        return ()
    try:
        return (str(error.response.json()["message"]),)
    except (ValueError, KeyError, TypeError):
        return ()
