"""nbgrader's autograde, set up for one submission in a folder of its own. Used by the processes of the steps alone.

nbgrader works on a course folder, changes the working directory and writes to the log of its process: so each step is
a process, and `work` is a course folder that holds this submission and nothing else.
"""

import shutil
import sys
from datetime import UTC
from pathlib import Path
from typing import Any, ClassVar

# jsonschema would load a grammar of web addresses for 1.7 s; no schema of a notebook has such addresses.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import Execute
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from traitlets.config import Config

from kirzl_lab.grading.records import Score, ToGrade
from kirzl_lab.problems import GradebookAway, GradeReplaced, NotGradable

SQLITE_PATIENCE_S = 30
"""How long to wait for another writer: formgrader, or a person's `nbgrader`."""


class Prepare(Autograde):  # type: ignore[misc] # nbgrader has no types
    """Autograde up to execution. The files stay writable, as they are for the code that runs next in nbgrader."""

    autograde_preprocessors: ClassVar[list[Any]] = []

    def set_permissions(self, assignment_id: str, student_id: str) -> None:
        """Left to the last step."""


class Finish(Autograde):  # type: ignore[misc] # nbgrader has no types
    """Autograde from execution on: the cells are those of `Prepare`, so nothing is sanitized again."""

    sanitize_preprocessors: ClassVar[list[Any]] = []


def folder(work: Path, step: str, of: ToGrade) -> Path:
    """Where nbgrader looks for the submission in that step (`submitted`, `autograded`)."""
    return work / step / of.student / of.assignment


def convert(kind: type[Autograde], of: ToGrade, work: Path, source: Path | None = None) -> Path:
    """Run the converter over `folder(work, "submitted", of)`; the folder that it made.

    `source` is the assignment's folder with the course's own files, which replace those of the same name; notebooks
    in it are not read. Raises `NotGradable` and `GradebookAway`; why is in the log.
    """
    timestamp = folder(work, "submitted", of) / "timestamp.txt"  # whatever the student, or their code, wrote there
    if timestamp.is_dir():
        shutil.rmtree(timestamp)
    timestamp.write_text(of.timestamp, "utf-8")
    if source is not None:
        (work / "source").mkdir()
        (work / "source" / of.assignment).symlink_to(source.absolute(), target_is_directory=True)
    config = Config()
    for name, value in of.options.items():
        section, option = name.split(".")
        config[section][option] = value
    converter = kind(coursedir=_course(of, work, config), config=config, force=True)
    if kind is Finish:
        converter.autograde_preprocessors = [one for one in converter.autograde_preprocessors if one is not Execute]
    _run(converter, of)
    return folder(work, "autograded", of)


def convert_feedback(of: ToGrade, work: Path) -> Path:
    """Make pages from `folder(work, "autograded", of)` and the gradebook; the folder that they are in.

    Raises `NotGradable` and `GradebookAway`; why is in the log.
    """
    config = Config()
    _run(GenerateFeedback(coursedir=_course(of, work, config), config=config, force=True), of)
    return folder(work, "feedback", of)


def must_be_in_gradebook(of: ToGrade) -> None:
    """Raises `GradeReplaced` unless the gradebook's grade is that of this submission; `GradebookAway`."""
    submitted_at = of.submitted_at.astimezone(UTC).replace(tzinfo=None)  # as nbgrader stores it
    try:
        with Gradebook(gradebook_url(of), of.course) as gradebook:
            if gradebook.find_submission(of.assignment, of.student).timestamp != submitted_at:
                raise GradeReplaced
    except MissingEntry as error:
        raise GradeReplaced from error
    except OperationalError as error:
        raise GradebookAway from error


def _course(of: ToGrade, work: Path, config: Config) -> CourseDirectory:
    return CourseDirectory(
        config=config,
        root=str(work),
        course_id=of.course,
        assignment_id=of.assignment,
        student_id=of.student,
        db_url=gradebook_url(of),
    )


def _run(converter: Any, of: ToGrade) -> None:
    try:
        converter.start()
    except NbGraderException as error:
        if isinstance(error.__context__, OperationalError):
            raise GradebookAway from error
        raise NotGradable(assignment=of.assignment) from error
    except OperationalError as error:
        raise GradebookAway from error


def score(of: ToGrade) -> Score:
    """What the gradebook says of the submission now."""
    with Gradebook(gradebook_url(of), of.course) as gradebook:
        found = gradebook.find_submission(of.assignment, of.student)
        return Score(
            float(found.score),
            float(found.max_score),
            bool(found.needs_manual_grade),
            float(found.late_submission_penalty),
        )


def gradebook_url(of: ToGrade) -> str:
    """The address for nbgrader, which does not wait long for SQLite by itself."""
    url = make_url(of.gradebook)
    if url.get_backend_name() == "sqlite":
        url = url.update_query_dict({"timeout": str(SQLITE_PATIENCE_S)})
    return url.render_as_string(hide_password=False)
