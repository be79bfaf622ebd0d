"""Grade, from formgrader's button and from `nbgrader autograde` in a terminal: student code runs where the lab runs it.

Everything here blocks: callers have threads. Who stops waiting loses nothing: the run goes on, and what it gives is in
the course's gradebook, and in its folder when the server starts the next time.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from nbgrader.converters import Autograde, NbGraderException

from kirzl_lab.courses.in_server.configuration import SPACE, course_folder
from kirzl_lab.courses.in_server.course_folder import CourseFolder
from kirzl_lab.courses.in_server.service import LabService, ServiceError
from kirzl_lab.store.archives import ArchiveRefused

PAUSE_S = 1.0
"""Between two looks at a run."""
STILL_S = 1200.0
"""How long a run may be where it is: longer than one submission may take."""
STILL = (
    "Nothing has been graded for {minutes:.0f} minutes. The run goes on by itself: see how far it is on the page of the "
    "assignment, and tell the people who run the lab if it stays like this."
)
EVERYBODY = "*"
"""nbgrader's student id for all."""


def grade(
    assignment: str,
    student: str,
    say: Callable[[str], None],
    log: Any,
    environment: Mapping[str, str] = os.environ,
) -> list[dict[str, Any]]:
    """Grade the newest submission of the student, or of everybody; the tasks of the run, once it is over.

    `say` is told how far it is. Graded folders are in the course folder then. Raises `ServiceError`, `ArchiveRefused`
    and `OSError`.
    """
    course = environment[SPACE]
    with LabService(environment) as service:
        run = service.grade(course, assignment, None if student == EVERYBODY else [student])
        over, moved = -1, time.monotonic()
        while True:
            if run["over"] != over:
                over, moved = run["over"], time.monotonic()
                say(f"{over} of {run['total']} submissions of {assignment} are graded")
            if run["finished_at"]:
                break
            if time.monotonic() - moved > STILL_S:
                raise ServiceError(STILL.format(minutes=STILL_S / 60))
            time.sleep(PAUSE_S)  # the service tells only who asks
            run = service.run(course, run["id"])
        CourseFolder(course_folder(environment), course, service, log).follow()
    return list(run["tasks"])


def told(tasks: list[dict[str, Any]]) -> tuple[bool, str]:
    """Whether all were graded, and a line for each in words; what failed has the end of its log."""
    lines = []
    for task in tasks:
        if task["state"] == "done":
            by_hand = ", and there is something to grade by hand" if task["needs_manual_grade"] else ""
            lines.append(f"{task['student']}: {task['score']:g} of {task['max_score']:g} points{by_hand}")
        else:
            lines.append(f"{task['student']}: {task['state']} ({task['reason'] or 'cancelled'})\n{task['log']}")
    return all(task["state"] == "done" for task in tasks), "\n".join(lines)


class LabAutograde(Autograde):
    """What `nbgrader autograde` starts in a server of the lab."""

    def start(self) -> None:
        """Grade, and wait for it. Raises `NbGraderException` where not everything was graded."""
        if self.coursedir.notebook_id != EVERYBODY:
            self.log.warning("In the lab all notebooks of a submission are graded together.")
        try:
            tasks = grade(self.coursedir.assignment_id, self.coursedir.student_id, self.log.info, self.log)
        except (ServiceError, ArchiveRefused, OSError) as error:
            self.log.error("%s", error)
            raise NbGraderException(str(error)) from error
        whole, text = told(tasks)
        (self.log.info if whole else self.log.error)("%s", text)
        if not whole:
            raise NbGraderException("Not everything could be graded: see above, and grade again what failed.")
