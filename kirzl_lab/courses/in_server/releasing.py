"""Release an assignment, and feedback. For people who run the course."""

import re
from datetime import UTC
from pathlib import Path
from typing import Any

from nbgrader.exchange.abc import ExchangeReleaseAssignment, ExchangeReleaseFeedback

from kirzl_lab.courses.in_server.exchange import OURS, TIMESTAMP, LabExchange, beside, timestamp_of
from kirzl_lab.courses.in_server.gradebook import due_date
from kirzl_lab.courses.in_server.service import ServiceError, path_of


class ReleaseAssignment(LabExchange, ExchangeReleaseAssignment):
    """What students fetch, and beside it, for the people who run the course alone, what it was made from."""

    def init_src(self) -> None:
        """The release must have been generated."""
        self.src_path = Path(self._step(self.coursedir.release_directory))
        self.source_path = Path(self._step(self.coursedir.source_directory))
        if self.src_path.is_dir():
            return
        if self.source_path.is_dir():
            self.fail(
                f"Assignment found in '{self.source_path}' but not '{self.src_path}', run `nbgrader generate_assignment` first."
            )
        others = [each.name for each in self.src_path.parent.glob("*") if each.is_dir()]
        self.not_found(f"Assignment not found at: {self.src_path}", self.assignment, others)

    def init_dest(self) -> None:
        """The service knows what is released already."""
        self.released = {each["name"] for each in self.service.assignments(self.course) if each["released"]}

    def copy_files(self) -> None:
        """Release it."""
        if self.assignment in self.released and not self.force:
            self._already_released()
        if self.assignment in self.released:
            self.log.info("Overwriting files: %s %s", self.course, self.assignment)
        self.log.info("Source: %s", self.src_path)
        self.log.info("Destination: %s %s", self.course, self.assignment)
        due = due_date(self.coursedir)
        asked = {"force": "true"} if self.force else {}
        if due is not None:
            asked["due"] = due.replace(tzinfo=UTC).isoformat()
        with beside(self.src_path) as temporary:
            release, source = temporary / "release.tar.gz", temporary / "source.tar.gz"
            self.packed(self.src_path, release, *OURS)
            if self.source_path.is_dir():
                self.packed(self.source_path, source, *OURS)
            # What it was made from first: nothing is released of which the lab has no source.
            if source.is_file():
                self.service.upload("PUT", self.course, path_of(self.assignment, "source"), source)
            try:
                self.service.upload("PUT", self.course, path_of(self.assignment, "release"), release, **asked)
            except ServiceError as error:
                if error.slug == "already-released":
                    self._already_released()
                raise
        self.log.info("Released as: %s %s", self.course, self.assignment)

    def _already_released(self) -> None:
        self.fail(f"Destination already exists, add --force to overwrite: {self.course} {self.assignment}")

    def _step(self, directory: str) -> str:
        return str(self.coursedir.format_path(directory, ".", self.assignment))


class ReleaseFeedback(LabExchange, ExchangeReleaseFeedback):
    """The pages of feedback that were generated, to those whose they are: for all, or for one with `--student`."""

    def init_src(self) -> None:
        """Find the folders of feedback."""
        excluded = set(self.coursedir.student_id_exclude.split(","))
        step, whole = self.coursedir.feedback_directory, self.assignment
        theirs = re.compile(self.coursedir.format_path(step, "(?P<student>[^/]+)", whole, escape=True))
        self.folders: list[tuple[str, Path]] = []
        root = Path(self.coursedir.root)
        wanted = Path(self.coursedir.format_path(step, self.coursedir.student_id or "*", whole)).relative_to(root)
        for folder in sorted(root.glob(str(wanted))):
            match = theirs.fullmatch(str(folder))
            if match is None or not any(folder.glob("*.html")):
                continue
            if match["student"] in excluded:
                self.log.debug("Skipping student '%s'", match["student"])
            else:
                self.folders.append((match["student"], folder))

    def init_dest(self) -> None:
        """Find out which submissions they are about."""
        found = self.service.submissions(self.course, self.assignment) if self.folders else []
        self.by_time = {(each["student"], timestamp_of(each)): each for each in found}

    def copy_files(self) -> None:
        """Release it."""
        for student, folder in self.folders:
            timestamp = _timestamp_in(folder)
            submission: dict[str, Any] | None = self.by_time.get((student, timestamp))
            if submission is None:
                self.log.warning(
                    "No submission of '%s' to '%s' at %s is in the lab: its feedback is not released",
                    student,
                    self.assignment,
                    timestamp or "an unknown time",
                )
                continue
            pages = sorted(folder.glob("*.html"))
            for page in pages:
                self.log.info(
                    "Releasing feedback for student '%s' on assignment '%s/%s/%s' (%s)",
                    student,
                    self.course,
                    self.assignment,
                    page.stem,
                    timestamp,
                )
            with beside(folder) as temporary:
                archive = temporary / "feedback.tar.gz"
                others = [each.name for each in folder.iterdir() if each not in pages]
                self.packed(folder, archive, *others)
                self.service.upload("PUT", self.course, f"/submissions/{submission['id']}/feedback", archive)
            self.log.info("Feedback released to: %s", student)


def _timestamp_in(folder: Path) -> str:
    try:
        return (folder / TIMESTAMP).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
