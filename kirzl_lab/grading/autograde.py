"""nbgrader's autograde, set up for one submission in a folder of its own. Used by the processes of the steps alone.

nbgrader works on a course folder, changes the working directory and writes to the log of its process: so each step is
a process, and `work` is a course folder that holds this submission and nothing else.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any, ClassVar

# jsonschema would load a grammar of web addresses for 1.7 s; no schema of a notebook has such addresses.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

from nbgrader.api import (
    Assignment,
    Base,
    BaseCell,
    Course,
    Gradebook,
    GradeCell,
    MissingEntry,
    Notebook,
    SolutionCell,
    SourceCell,
    TaskCell,
)
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import Execute, NbGraderPreprocessor
from sqlalchemy import create_engine, insert, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool
from traitlets.config import Config

from kirzl_lab.grading.records import Score, ToGrade
from kirzl_lab.problems import GradebookAway, GradeReplaced, NotGradable

SQLITE_PATIENCE_S = 30
"""How long to wait for another writer: formgrader, or a person's `nbgrader`."""


class ForgetTags(NbGraderPreprocessor):  # type: ignore[misc] # nbgrader has no types
    """Takes every cell's tags away. nbclient leaves out cells with the tag `skip-execution`, and tests without output pass."""

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> tuple[Any, Any]:
        """The cell as it is run."""
        cell.metadata.pop("tags", None)
        return cell, resources


class Prepare(Autograde):  # type: ignore[misc] # nbgrader has no types
    """Autograde up to execution. The files stay writable, as they are for the code that runs next in nbgrader."""

    autograde_preprocessors: ClassVar[list[Any]] = [ForgetTags]

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
    with _told(of):
        gradebook = _copied(of, work / "assignment.db") if kind is Prepare else gradebook_url(of)
        converter = kind(coursedir=_course(of, work, config, gradebook), config=config, force=True)
        if kind is Finish:
            converter.autograde_preprocessors = [one for one in converter.autograde_preprocessors if one is not Execute]
        converter.start()
    return folder(work, "autograded", of)


def convert_feedback(of: ToGrade, work: Path) -> Path:
    """Make pages from `folder(work, "autograded", of)` and the gradebook; the folder that they are in.

    Raises `NotGradable` and `GradebookAway`; why is in the log.
    """
    config = Config()
    with _told(of):
        GenerateFeedback(coursedir=_course(of, work, config, gradebook_url(of)), config=config, force=True).start()
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


def _copied(of: ToGrade, file: Path) -> str:
    """The address of a new gradebook that has the assignment and nobody's work.

    nbgrader notes a submission before it runs it. With the real gradebook its grade would stand under the time of a
    submission that may never be graded. Raises `MissingEntry` and `OperationalError`.
    """
    address = f"sqlite:///{file}"
    copy = create_engine(address, poolclass=NullPool)
    Base.metadata.create_all(copy)  # for a new gradebook nbgrader would start a program, which takes seconds
    with Gradebook(gradebook_url(of), of.course) as real, copy.begin() as connection:
        assignment = real.find_assignment(of.assignment).id
        notebooks = select(Notebook.id).where(Notebook.assignment_id == assignment)
        cells = select(BaseCell.id).where(BaseCell.notebook_id.in_(notebooks))
        tables = {
            Course: Course.id == of.course,
            Assignment: Assignment.id == assignment,
            Notebook: Notebook.assignment_id == assignment,
            BaseCell: BaseCell.notebook_id.in_(notebooks),
            SourceCell: SourceCell.notebook_id.in_(notebooks),
            **{kind: kind.__table__.c.id.in_(cells) for kind in (GradeCell, SolutionCell, TaskCell)},
        }
        for kind, wanted in tables.items():
            rows = [dict(row) for row in real.db.execute(select(kind.__table__).where(wanted)).mappings()]
            if rows:
                connection.execute(insert(kind.__table__), rows)
    return address


def _course(of: ToGrade, work: Path, config: Config, gradebook: str) -> CourseDirectory:
    return CourseDirectory(
        config=config,
        root=str(work),
        course_id=of.course,
        assignment_id=of.assignment,
        student_id=of.student,
        db_url=gradebook,
    )


@contextmanager
def _told(of: ToGrade) -> Iterator[None]:
    try:
        yield
    except (NbGraderException, MissingEntry) as error:
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
