"""Collect what was handed in into the course folder. For people who run the course."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbgrader.exchange.abc import ExchangeCollect

from kirzl_lab.courses.in_server.exchange import LabExchange, beside, put, timestamp_of, when, write_timestamp
from kirzl_lab.courses.in_server.gradebook import due_date

Submission = dict[str, Any]


class Collect(LabExchange, ExchangeCollect):
    """The last submission of each student; with `before_duedate` the last that was in time, where there is one."""

    def init_src(self) -> None:
        """Choose the submissions."""
        student = "" if self.coursedir.student_id in ("", "*") else self.coursedir.student_id
        found = self.service.submissions(self.course, self.assignment, student)
        due = due_date(self.coursedir) if self.before_duedate else None
        self.chosen = choose(found, due)

    def init_dest(self) -> None:
        """Each student has a folder of their own."""

    def copy_files(self) -> None:
        """Collect them."""
        if not self.chosen:
            self.log.warning("No submissions of '%s' for course '%s' to collect", self.assignment, self.course)
        else:
            self.log.info(
                "Processing %s submissions of '%s' for course '%s'", len(self.chosen), self.assignment, self.course
            )
        for submission in self.chosen:
            self._collect(submission)

    def _collect(self, submission: Submission) -> None:
        student = submission["student"]
        folder = submitted_folder(self.coursedir, student, self.assignment)
        if not folder.is_dir():
            self.log.info("Collecting submission: %s %s", student, self.assignment)
        elif self._is_wanted(self.coursedir.get_existing_timestamp(str(folder)), when(submission)):
            self.log.info("Updating submission: %s %s", student, self.assignment)
        elif self.update:
            self.log.info("No newer submission to collect: %s %s", student, self.assignment)
            return
        else:
            self.log.info("Submission already exists, use --update to update: %s %s", student, self.assignment)
            return
        with beside(folder) as temporary:
            files = self.brought(self.course, f"/submissions/{submission['id']}/files", temporary)
            write_timestamp(files, timestamp_of(submission))
            put(files, folder)

    def _is_wanted(self, there: datetime | None, at: datetime) -> bool:
        """Whether a submission takes the place of the one that is there."""
        have = there.replace(tzinfo=UTC) if there else None
        return (self.update and (have is None or at > have)) or (self.before_duedate and have != at)


def choose(submissions: list[Submission], due: datetime | None) -> list[Submission]:
    """One submission for each student, by their names: the last by `due` (UTC), or the last of all without one."""
    by_student: dict[str, list[Submission]] = {}
    for submission in sorted(submissions, key=when):
        by_student.setdefault(submission["student"], []).append(submission)
    limit = due.replace(tzinfo=UTC) if due else None
    chosen = []
    for _student, theirs in sorted(by_student.items()):
        in_time = [each for each in theirs if limit is None or when(each) <= limit]
        chosen.append((in_time or theirs)[-1])
    return chosen


def submitted_folder(coursedir: Any, student: str, assignment: str) -> Path:
    """Where nbgrader looks for what a student handed in."""
    return Path(coursedir.format_path(coursedir.submitted_directory, student, assignment))
