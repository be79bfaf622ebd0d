"""What the REST API of courses and rosters answers and can be asked for."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kirzl_lab.catalog.models import CourseFile, Promise, Role, Text
from kirzl_lab.courses.roster_lines import State
from kirzl_lab.service.models import Answer, Asked, Day, Search, Word, blank
from kirzl_lab.store.difference import Change

RowNumber = Annotated[int, Path(ge=1, le=2**31 - 1, description="The row's id.")]
Complete = Annotated[
    bool, Query(description="Whether the file is the whole roster: then who is not in it goes, but no instructor.")
]
Mark = Annotated[str, Query(min_length=32, max_length=32, description="The `mark` of the preview.")]


class Sent(BaseModel):
    """A body of a request: nothing in it that is not understood."""

    model_config = ConfigDict(extra="forbid")


class NewCourse(Sent):
    """A course to make."""

    name: str = Field(max_length=100, description="At most 24 characters of a to z, 0 to 9 and single hyphens.")
    course: CourseFile


class Copy(Sent):
    """A course to make from another one. Without `starts`, its days move by `weeks`."""

    name: str = Field(max_length=100, description="The new course's name.")
    term: str = Field(min_length=1, max_length=500, description="The term of the new course.")
    title: Text | None = Field(default=None, description="Its title; without one, that of the original.")
    weeks: int = Field(default=0, ge=-520, le=520, description="How many weeks its days lie behind the original's.")
    starts: Day | None = Field(default=None, description="Its first day: the others move by as many days.")


class CourseDetails(Answer):
    """A course that the person is in."""

    name: str
    course: CourseFile
    role: Role
    section: str
    managed_by: str | None = Field(description="The file that describes it; without one it can be changed here.")
    created_at: datetime
    archived_at: datetime | None = Field(description="Since when it is only to be read.")
    delete_after: datetime | None = Field(description="Until when it can be restored, once it is deleted.")


class RosterAsked(Asked):
    """Which rows of a roster."""

    search: Search = Field(default="", description="A part of a value or of a name.")
    section: Annotated[Word | None, BeforeValidator(blank)] = Field(default=None, description="Only this section.")
    role: Annotated[Role | None, BeforeValidator(blank)] = Field(default=None, description="Only this role.")
    state: Annotated[State | None, BeforeValidator(blank)] = Field(default=None, description="Only rows in this state.")


class RosterLineAnswer(Answer):
    """A row of a roster."""

    id: int
    institution: str
    claim: str
    value: str
    role: Role
    section: str
    created_at: datetime
    state: State = Field(
        description="`waiting` for a first login, `bound`, or `conflict`: bound, and said of others, too."
    )
    person: str | None = Field(description="Hub name of whom it is bound to.")
    person_name: str | None
    bound_at: datetime | None
    also: list[str] = Field(description="Names of others of whom an institution said the same.")


class NewRow(Promise):
    """A row to add, or to give another role or section."""

    role: Role = Field(default=Role.STUDENT, description="`student`, `assistant` or `instructor`.")
    section: str = Field(default="", max_length=60, description="Group within the course, if any.")


class RowPlace(Sent):
    """What a row gives."""

    role: Role = Field(description="`student`, `assistant` or `instructor`.")
    section: str = Field(default="", max_length=60, description="Group within the course, if any.")


class UploadAsked(BaseModel):
    """What counts for a file that does not say it."""

    complete: bool = Field(
        default=False,
        description="Whether the file is the whole roster: then who is not in it goes, but no instructor.",
    )
    institution: Annotated[Word | None, BeforeValidator(blank)] = Field(
        default=None, description="The institution of rows in which none is named."
    )
    role: Role = Field(default=Role.STUDENT, description="The role of rows in which none is named.")


class MistakeAnswer(Answer):
    """What is wrong on a line of a file."""

    line: int = Field(description="Counted from 1; 0 is the file as a whole.")
    message: str


class ChangeAnswer(Answer):
    """What happens to a row."""

    action: str = Field(description="A verb of the audit: `roster-added`, `roster-changed`, `roster-removed` ...")
    institution: str
    claim: str
    value: str
    role: list[str] | str = Field(description="Before and after, where it changes.")
    section: list[str] | str = Field(description="Before and after, where it changes.")


class ChangesAnswer(Answer):
    """What was changed."""

    changes: list[ChangeAnswer]


class PreviewAnswer(ChangesAnswer):
    """What an upload would change."""

    mistakes: list[MistakeAnswer] = Field(description="With one of these, nothing of the file can be used.")
    mark: str = Field(description="What the roster is now: send it along to do exactly this.")
    rows: int = Field(description="How many rows the file has.")
    left_out: list[str] = Field(description="Columns of the file that mean nothing here.")
    encoding: str


def change_answer(change: Change) -> ChangeAnswer:
    """A change as the API tells it."""
    detail: dict[str, Any] = change.detail
    return ChangeAnswer(
        action=change.action.value,
        institution=change.institution or "",
        claim=detail["claim"],
        value=detail["value"],
        role=detail["role"],
        section=detail["section"],
    )
