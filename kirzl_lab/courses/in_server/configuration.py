"""nbgrader's configuration in a course's server; `jupyter/nbgrader_config.py` of the spawner's folder calls it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SPACE = "KIRZL_LAB_SPACE"
KIND = "KIRZL_LAB_KIND"
"""What the server's space is for: `course`, or something without nbgrader."""
STAFF = "KIRZL_LAB_STAFF"
"""Set where somebody who runs the space works in it, and does not look at it as a student."""
TIMEZONE = "KIRZL_LAB_TIMEZONE"
"""The course's, in which formgrader takes and shows due dates: UTC would be one that nobody thinks in."""
GRADEBOOK = "KIRZL_LAB_GRADEBOOK"
"""SQLAlchemy address of the course's gradebook, where the lab has one for whoever runs the course."""

OPERATIONS = {
    "exchange": "LabExchange",
    "fetch_assignment": "FetchAssignment",
    "fetch_feedback": "FetchFeedback",
    "release_assignment": "ReleaseAssignment",
    "release_feedback": "ReleaseFeedback",
    "list": "List",
    "submit": "Submit",
    "collect": "Collect",
}
"""Trait of `ExchangeFactory` -> the class of our plugin."""

COURSE_FOLDER = "course"
"""The folder of the course below the home of people who run it."""


def configure(c: Any, environment: Mapping[str, str]) -> None:
    """Tell nbgrader of the course of this server; nothing in servers of other spaces."""
    if not in_course(environment):
        return
    c.CourseDirectory.course_id = environment[SPACE]
    for name, operation in OPERATIONS.items():
        setattr(c.ExchangeFactory, name, f"kirzl_lab.courses.in_server.plugin.{operation}")
    if for_staff(environment):
        c.CourseDirectory.root = str(course_folder(environment))
        if timezone := environment.get(TIMEZONE):
            c.NbGraderAPI.timezone = timezone
        if gradebook := environment.get(GRADEBOOK):
            c.CourseDirectory.db_url = gradebook
        _grade_in_the_lab()


def _grade_in_the_lab() -> None:
    """Let `nbgrader autograde` have submissions run by the lab: nbgrader has no setting for what its command starts."""
    from nbgrader.apps import autogradeapp  # noqa: PLC0415 - brings nbgrader in, which reads this

    from kirzl_lab.courses.in_server.grading import LabAutograde  # noqa: PLC0415

    autogradeapp.Autograde = LabAutograde


def in_course(environment: Mapping[str, str]) -> bool:
    """Whether this is the server of a course."""
    return environment.get(KIND) == "course" and bool(environment.get(SPACE))


def for_staff(environment: Mapping[str, str]) -> bool:
    """Whether this is the server of somebody who runs the course, to work and not to preview."""
    return in_course(environment) and environment.get(STAFF) == "1"


def course_folder(environment: Mapping[str, str]) -> Path:
    """The folder of the course, for people who run it."""
    return Path(environment["HOME"], COURSE_FOLDER)
