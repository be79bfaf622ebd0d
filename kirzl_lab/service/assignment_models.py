"""What can be asked of an assignment and its grading runs, and what programs are answered."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kirzl_lab.courses.progress import Stage
from kirzl_lab.grading.tasks import State
from kirzl_lab.service.models import Answer, Asked, Search, Word, blank


class AssignmentAsked(Asked):
    """Which people, in which order."""

    search: Search = Field(default="", description="A part of a name or hub name.")
    section: Annotated[Word | None, BeforeValidator(blank)] = Field(default=None, description="Only this section.")
    stage: Annotated[Stage | None, BeforeValidator(blank)] = Field(
        default=None, description="Only people whose work has come this far."
    )
    late: bool = Field(default=False, description="Only people whose last submission was late.")
    sort: Literal["name", "section", "submitted", "score"] = Field(default="name", description="What to sort by.")
    descending: bool = Field(default=False, description="Whether the order is turned around.")

    def sorted(self, sort: str, descending: bool) -> dict[str, Any]:
        """The parameters of the first page of the same list in another order."""
        return self.query(1) | {"page": None, "sort": sort, "descending": descending or None}

    @property
    def filtered(self) -> bool:
        """Whether some people are left out."""
        return bool(self.search or self.section or self.stage or self.late)


class RunTasksAsked(Asked):
    """Which tasks of a run."""

    state: Annotated[State | None, BeforeValidator(blank)] = Field(
        default=None, description="Only tasks in this state."
    )


class FeedbackAsked(BaseModel):
    """Whose feedback to release."""

    model_config = ConfigDict(extra="forbid")

    students: list[Word] | None = Field(
        default=None,
        max_length=5000,
        description="Hub names; their feedback is released even while some of their work waits to be graded by hand. "
        "Without it, everybody whose work is graded completely.",
    )


class FeedbackAskedAnswer(Answer):
    """Feedback that is being made now and released one after the other."""

    asked: int = Field(description="For how many people.")


class FeedbackTrouble(Answer):
    """Feedback that could not be made."""

    student: str = Field(description="Hub name.")
    problem: str = Field(description="Why, as a slug.")


class FeedbackAnswer(Answer):
    """How far the feedback on an assignment is."""

    waiting: list[str] = Field(description="Hub names of the people for whom it is being made.")
    released: list[str] = Field(description="Hub names of the people who can read some.")
    failed: list[FeedbackTrouble] = Field(description="For whom it could not be made the last time.")
