"""List what is released and what was handed in; withdraw what is released."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from nbgrader.exchange.abc import ExchangeList
from traitlets import Bool

from kirzl_lab.courses.in_server.exchange import LabExchange, timestamp_of
from kirzl_lab.courses.in_server.service import ServiceError, path_of

Line = dict[str, Any]
"""An assignment or a submission as nbgrader's front ends read it."""

KEPT = "What was handed in is kept by the lab: it cannot be removed."


class List(LabExchange, ExchangeList):
    """Released assignments; `cached`: what the person handed in; `inbound`: what all did, for people who run the course."""

    as_json = Bool(False, help="Print out assignments as json.").tag(config=True)

    def init_src(self) -> None:
        """Nothing is asked before it is known what is wanted."""

    def init_dest(self) -> None:
        """A list goes nowhere."""

    def copy_files(self) -> None:
        """A list copies nothing."""

    def list_files(self) -> list[Line]:
        """Log and return the list."""
        found = self._found()
        if self.as_json:
            print(json.dumps(found))
        self._tell("Submitted assignments:" if self._handed_in else "Released assignments:", found)
        return found

    def remove_files(self) -> list[Line]:
        """Withdraw what is released; what was handed in stays."""
        if self._handed_in:
            self.fail(KEPT)
        found = self._found()
        self._tell("Removing released assignments:", found)
        for line in found:
            self.service.delete(line["course_id"], path_of(line["assignment_id"], "release"))
        return found

    @property
    def _handed_in(self) -> bool:
        return bool(self.inbound or self.cached)

    def _found(self) -> list[Line]:
        found: list[Line] = []
        for course in self._courses():
            found += self._submitted(course) if self._handed_in else self._released(course)
        return found

    def _courses(self) -> list[str]:
        if self.coursedir.course_id:
            return [str(self.coursedir.course_id)]
        return [space["name"] for space in self.service.spaces() if space["kind"] == "course"]

    def _wanted(self, assignment: str) -> bool:
        return self.assignment in ("", "*", assignment)

    # -- released ----------------------------------------------------------------------------------------------

    def _released(self, course: str) -> list[Line]:
        assignments = sorted(self.service.assignments(course), key=lambda each: str(each["name"]))
        return [
            self._assignment(course, each) for each in assignments if each["released"] and self._wanted(each["name"])
        ]

    def _assignment(self, course: str, assignment: dict[str, Any]) -> Line:
        name, work = assignment["name"], self.work_path(course, assignment["name"])
        fetched = work.is_dir()
        notebooks = (
            sorted(work.glob("*.ipynb")) if fetched else [Path(f"{each}.ipynb") for each in assignment["notebooks"]]
        )
        status = "removed" if self.remove else "fetched" if fetched else "released"
        return {
            "course_id": course,
            "assignment_id": name,
            "status": status,
            "path": str(work) if fetched else "",
            "notebooks": [{"notebook_id": each.stem, "path": str(each)} for each in notebooks],
        }

    # -- handed in ---------------------------------------------------------------------------------------------

    def _submitted(self, course: str) -> list[Line]:
        groups: dict[tuple[str, str], list[Line]] = {}
        for submission in self._submissions(course):
            key = (submission["student"], submission["assignment"])
            groups.setdefault(key, []).append(self._submission(course, submission))
        return [
            {
                "course_id": course,
                "student_id": student,
                "assignment_id": assignment,
                "status": "submitted",
                "submissions": sorted(lines, key=lambda line: str(line["timestamp"])),
            }
            for (student, assignment), lines in sorted(groups.items())
        ]

    def _submissions(self, course: str) -> Iterable[dict[str, Any]]:
        student = "" if self.coursedir.student_id in ("", "*") else str(self.coursedir.student_id)
        if self.inbound:
            try:
                return self.service.submissions(course, self.assignment.strip("*"), student)
            except ServiceError as error:
                if error.status != 403:
                    raise
                # Students see what they handed in themselves.
        return self._own(course, student)

    def _own(self, course: str, student: str) -> Iterator[dict[str, Any]]:
        for assignment in self.service.assignments(course):
            for submission in assignment["submissions"]:
                if self._wanted(assignment["name"]) and student in ("", submission["student"]):
                    yield submission

    def _submission(self, course: str, submission: dict[str, Any]) -> Line:
        timestamp = timestamp_of(submission)
        folder = self.work_path(course, submission["assignment"]) / "feedback" / timestamp
        notebooks = [_notebook(folder, name, submission["feedback_at"]) for name in submission["notebooks"]]
        local = bool(notebooks) and all(each["has_local_feedback"] for each in notebooks)
        return {
            "course_id": course,
            "student_id": submission["student"],
            "assignment_id": submission["assignment"],
            "timestamp": timestamp,
            "status": "submitted",
            "path": "",
            "notebooks": notebooks,
            "has_local_feedback": local,
            "has_exchange_feedback": bool(notebooks) and submission["feedback_at"] is not None,
            "feedback_updated": any(each["feedback_updated"] for each in notebooks),
            "local_feedback_path": str(folder) if local else None,
        }

    # -- words -------------------------------------------------------------------------------------------------

    def _tell(self, title: str, found: list[Line]) -> None:
        self.log.info(title)
        for line in found:
            for each in line.get("submissions", [line]):
                self.log.info(_in_words(each))


def _notebook(folder: Path, name: str, feedback_at: str | None) -> Line:
    page = folder / f"{name}.html"
    local = page.is_file()
    newer = local and feedback_at is not None and datetime.fromisoformat(feedback_at).timestamp() > _fetched_at(page)
    return {
        "notebook_id": name,
        "path": f"{name}.ipynb",
        "has_local_feedback": local,
        "has_exchange_feedback": feedback_at is not None,
        "local_feedback_path": str(page) if local else None,
        "feedback_updated": newer,
    }


def _fetched_at(page: Path) -> float:
    """From when on feedback is newer than this page: fetched pages have the time of their release, and no more digits."""
    return page.stat().st_mtime + 0.001


def _in_words(line: Line) -> str:
    if "timestamp" not in line:
        done = " (already downloaded)" if line["path"] else ""
        return f"{line['course_id']} {line['assignment_id']}{done}"
    if line["has_local_feedback"] and not line["feedback_updated"]:
        state = "feedback already fetched"
    elif line["has_exchange_feedback"]:
        state = "feedback ready to be fetched"
    else:
        state = "no feedback available"
    return f"{line['course_id']} {line['student_id']} {line['assignment_id']} {line['timestamp']} ({state})"
