"""What the REST API of the exchange answers and can be asked for."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, PlainSerializer

from kirzl_lab.catalog.models import Role, Text
from kirzl_lab.courses.exchange import ASSIGNMENT
from kirzl_lab.service.models import Answer, Asked, Word, blank


def _sensible(moment: datetime) -> datetime:
    """Databases and calendars have ends, and a zone may move a moment beyond them."""
    if not datetime(2000, 1, 1, tzinfo=UTC) <= moment <= datetime(2199, 12, 31, tzinfo=UTC):
        raise ValueError("expected a moment between 2000 and 2199")
    return moment.astimezone(UTC)


def _to_the_microsecond(moment: datetime) -> str:
    """Always the same number of digits, so that what sorts texts sorts moments."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


Precise = Annotated[datetime, PlainSerializer(_to_the_microsecond)]
CourseName = Annotated[str, Path(description="The course's name.")]
AssignmentName = Annotated[
    str, Path(description="The assignment's name.", pattern=f"^(?:{ASSIGNMENT})$", max_length=64)
]
SubmissionNumber = Annotated[int, Path(description="The submission's id.")]
Due = Annotated[
    AwareDatetime | None,
    AfterValidator(lambda moment: None if moment is None else _sensible(moment)),
    Query(description="When it is due, in ISO 8601 with a zone; without it, never."),
]
Force = Annotated[bool, Query(description="Whether to replace a release that is there.")]


class CourseAnswer(Answer):
    """A course that the person is in."""

    name: str
    title: Text
    term: str
    role: Role = Field(description="The person's role; student from a server that previews.")
    section: str = Field(description="The person's group within it, if any.")
    archived_at: datetime | None = Field(description="Since when it is only to be read.")


class CoursesAnswer(Answer):
    """The person's courses, by name."""

    courses: list[CourseAnswer]


class SubmissionAnswer(Answer):
    """What somebody handed in."""

    id: int
    assignment: str = Field(description="Name of the assignment.")
    student: str = Field(description="Hub name of who handed it in.")
    student_name: str
    submitted_at: Precise = Field(
        description="The lab's time, in UTC; no two submissions of a person to an assignment have the same."
    )
    late: bool = Field(description="Whether it was handed in after it was due.")
    sha256: str = Field(description="SHA-256 of the archive, in hexadecimal.")
    size: int = Field(description="Size of the archive, in bytes.")
    files: int = Field(description="How many files are in it.")
    notebooks: list[str] = Field(description="Names of its notebooks, without `.ipynb`.")
    feedback_at: datetime | None = Field(description="When feedback on it was released; empty before.")


class OwnSubmission(SubmissionAnswer):
    """What the person handed in."""

    receipt: str = Field(description="Signed by the lab; `kirzl-lab receipt verify` checks it.")


class AssignmentAnswer(Answer):
    """An assignment of a course."""

    name: str
    due_at: datetime | None
    released_at: datetime | None = Field(description="When it was released last; empty once it is withdrawn.")
    released: bool = Field(description="Whether it can be fetched and handed in.")
    notebooks: list[str] = Field(description="Names of its notebooks, without `.ipynb`.")
    release_sha256: str | None = Field(description="SHA-256 of what students fetch.")
    source_sha256: str | None = Field(description="SHA-256 of what it is made from; for staff alone.")
    submissions: list[OwnSubmission] = Field(description="What the person handed in for it, oldest first.")


class AssignmentsAnswer(Answer):
    """The assignments of a course, by name."""

    assignments: list[AssignmentAnswer]


class SubmissionsAsked(Asked):
    """Which submissions."""

    assignment: Annotated[Word | None, BeforeValidator(blank)] = Field(
        default=None, description="Only those for the assignment with this name."
    )
    student: Annotated[Word | None, BeforeValidator(blank)] = Field(
        default=None, description="Only those of the person with this hub name."
    )


class SubmissionsAnswer(Answer):
    """A page of the submissions of a course, oldest first."""

    submissions: list[SubmissionAnswer]
    page: int = Field(description="Which page this is, counted from 1.")
    pages: int = Field(description="How many pages there are.")
    per_page: int
    total: int = Field(description="How many submissions there are on all pages.")
