"""Fetch an assignment, and the feedback to what was handed in."""

import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from nbgrader.exchange.abc import ExchangeFetchAssignment, ExchangeFetchFeedback

from kirzl_lab.courses.in_server.exchange import LabExchange, beside, timestamp_of
from kirzl_lab.courses.in_server.service import path_of


class FetchAssignment(LabExchange, ExchangeFetchAssignment):
    """A copy of a released assignment, to work on."""

    def init_src(self) -> None:
        """The assignment must be released."""
        released = [each["name"] for each in self.service.assignments(self.course) if each["released"]]
        if self.assignment not in released:
            self.not_found(f"Assignment not found: {self.course} {self.assignment}", self.assignment, released)

    def init_dest(self) -> None:
        """There must be no copy yet, unless missing files are to be replaced."""
        self.dest_path = self.work_path(self.course, self.assignment)
        if self.dest_path.is_dir() and not self.replace_missing_files:
            self.fail(f"You already have a copy of the assignment in this directory: {self.dest_path.name}")

    def copy_files(self) -> None:
        """Fetch it."""
        self.log.info("Source: %s %s", self.course, self.assignment)
        self.log.info("Destination: %s", self.dest_path)
        with beside(self.dest_path) as temporary:
            files = self.brought(self.course, path_of(self.assignment, "release"), temporary)
            if self.dest_path.is_dir():
                self._copy_missing(files)
            else:
                files.rename(self.dest_path)
        self.log.info("Fetched as: %s %s", self.course, self.assignment)

    def _copy_missing(self, files: Path) -> None:
        for source in sorted(files.rglob("*")):
            to = self.dest_path / source.relative_to(files)
            if os.path.lexists(to):
                continue
            shown = os.path.relpath(to)
            if source.is_dir():
                self.log.warning("Creating missing directory '%s'", shown)
                to.mkdir()
            elif to.parent.is_dir():
                self.log.warning("Replacing missing file '%s'", shown)
                shutil.copy2(source, to)


class FetchFeedback(LabExchange, ExchangeFetchFeedback):
    """The feedback to all that the person handed in, or to one assignment."""

    def init_src(self) -> None:
        """Find out for which submissions there is feedback."""
        self.submissions: list[dict[str, Any]] = []
        for assignment in self.service.assignments(self.course):
            if self.assignment not in ("", "*", assignment["name"]):
                continue
            for submission in assignment["submissions"]:
                told = "Found" if submission["feedback_at"] else "Could not find"
                self.log.info(
                    "%s feedback for '%s/%s' submitted at %s",
                    told,
                    self.course,
                    assignment["name"],
                    timestamp_of(submission),
                )
                if submission["feedback_at"]:
                    self.submissions.append(submission)

    def init_dest(self) -> None:
        """Each submission has a folder of its own."""

    def copy_files(self) -> None:
        """Fetch it."""
        for submission in self.submissions:
            folder = self.work_path(self.course, submission["assignment"]) / "feedback" / timestamp_of(submission)
            with beside(folder) as temporary:
                files = self.brought(self.course, f"/submissions/{submission['id']}/feedback", temporary)
                folder.mkdir(exist_ok=True)
                at = datetime.fromisoformat(submission["feedback_at"]).timestamp()
                for file in sorted(files.rglob("*.html")):
                    # By its time a list can tell whether there is newer feedback.
                    os.utime(file, (at, at))
                    file.replace(folder / file.name)
                    self.log.info("Fetched feedback: %s", folder / file.name)
