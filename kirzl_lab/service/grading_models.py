"""What the REST API of grading answers and can be asked for."""

from datetime import datetime
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from kirzl_lab.grading.runs import Run
from kirzl_lab.grading.tasks import State, Task
from kirzl_lab.service.models import Answer, Word

RunNumber = Annotated[int, Path(description="The run's id.", ge=1, le=2**31 - 1)]


class RunAsked(BaseModel):
    """What to grade."""

    model_config = ConfigDict(extra="forbid")

    students: list[Word] | None = Field(
        default=None,
        max_length=5000,
        description="Hub names of the people whose submissions are graded; without it, all.",
    )


class TaskAnswer(Answer):
    """The grading of one submission."""

    id: int
    student: str = Field(description="Hub name of who handed it in.")
    submission: int = Field(description="The submission's id.")
    state: State = Field(description="How far it is.")
    attempt: int = Field(description="Counted from 1.")
    reason: str | None = Field(description="Why it failed, as a slug.")
    score: float | None = Field(description="Points, once it is done.")
    max_score: float | None
    needs_manual_grade: bool | None = Field(description="Whether somebody has to look at it, once it is done.")
    log: str = Field(description="The end of what its steps wrote.")

    @classmethod
    def of(cls, task: Task) -> "TaskAnswer":
        """The answer about a task."""
        result = task.result or {}
        return cls(
            id=task.id,
            student=task.student,
            submission=task.submission_id,
            state=task.state,
            attempt=task.attempt,
            reason=task.reason,
            score=result.get("score"),
            max_score=result.get("max_score"),
            needs_manual_grade=result.get("needs_manual_grade"),
            log=task.log,
        )


class RunAnswer(Answer):
    """A press of Grade, and how far it is."""

    id: int
    assignment: str
    started_by: str = Field(description="Hub name of who pressed Grade.")
    started_at: datetime
    cancelled_at: datetime | None
    finished_at: datetime | None = Field(description="When the last of its tasks came to an end.")
    total: int = Field(description="How many tasks it has: one for each person's newest submission.")
    over: int = Field(description="How many of them have come to an end.")
    states: dict[State, int] = Field(description="How many are in each state.")

    @classmethod
    def of(cls, run: Run) -> "RunAnswer":
        """The answer about a run."""
        return cls.model_validate(run)


class RunWithTasks(RunAnswer):
    """A run with its tasks."""

    tasks: list[TaskAnswer] = Field(description="By student.")


class RunsAnswer(Answer):
    """The last runs of an assignment, newest first."""

    runs: list[RunAnswer]


class GradedAnswer(Answer):
    """A graded submission."""

    submission: int = Field(description="The submission's id.")
    assignment: str
    student: str = Field(description="Hub name of who handed it in.")
    submitted_at: datetime
    graded_sha256: str = Field(description="SHA-256 of the graded folder, which is nbgrader's `autograded`.")


class GradedListAnswer(Answer):
    """The newest graded folder of each submission of a course."""

    graded: list[GradedAnswer]
