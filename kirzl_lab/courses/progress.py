"""How far everybody is with an assignment: a row for each person, from what the lab and the gradebook know. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kirzl_lab.courses.exchange import is_late
from kirzl_lab.courses.exchange_lists import AssignmentLine
from kirzl_lab.courses.gradebook_view import Grading
from kirzl_lab.courses.handed_in import Attempt, Student


class Stage(StrEnum):
    """How far somebody's work on an assignment has come; the first that fits."""

    GRADING = "grading"
    """In a grading run that goes on."""
    FAILED = "failed"
    """Grading their newest submission failed."""
    MISSING = "missing"
    SUBMITTED = "submitted"
    NEEDS_MANUAL_GRADE = "needs-manual-grade"
    GRADED = "graded"
    RELEASED = "released"
    """Graded, and feedback on what was graded is released."""


class OwnStage(StrEnum):
    """How far one's own work has come."""

    OPEN = "open"
    MISSED = "missed"
    SUBMITTED = "submitted"
    LATE = "late"
    FEEDBACK = "feedback"


@dataclass(frozen=True, slots=True)
class Tasked:
    """The grading of a submission in the last run that it was in."""

    submission_id: int
    open: bool
    failed: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """One person and their work on the assignment."""

    student: Student
    stage: Stage
    times: int
    """How often they handed it in."""
    last: Attempt | None
    late: bool
    """Whether the last was."""
    grading: Grading | None
    newer: bool
    """Whether something was handed in after what was graded."""
    feedback_waits: bool
    """Whether feedback is being made for them."""
    feedback_problem: str | None
    """Why it could not be made the last time, as a slug."""


def own_stage(line: AssignmentLine, now: datetime) -> OwnStage:
    """How far a person's own work on the assignment has come."""
    if any(one.feedback_at for one in line.submissions):
        return OwnStage.FEEDBACK
    if line.submissions:
        return OwnStage.LATE if line.submissions[-1].late else OwnStage.SUBMITTED
    return OwnStage.MISSED if is_late(now, line.due_at) else OwnStage.OPEN


def standings(
    students: Iterable[Student],
    attempts: Mapping[str, list[Attempt]],
    gradings: Mapping[str, Grading],
    tasked: Mapping[int, Tasked],
    due_at: datetime | None,
) -> list[Standing]:
    """A row for each student of the course and for whoever else handed the assignment in, in the order of `students`.

    `attempts` (oldest first) and `gradings` are by hub name, `tasked` by submission.
    """
    rows = []
    for student in students:
        mine, grading = attempts.get(student.hub_name, []), gradings.get(student.hub_name)
        if student.enrolled or mine or grading:
            rows.append(_standing(student, mine, grading, tasked, due_at))
    return rows


def counts(rows: Iterable[Standing]) -> Counter[Stage]:
    """How many are in each stage."""
    return Counter(row.stage for row in rows)


def ordered(rows: Iterable[Standing], sort: str, descending: bool) -> list[Standing]:
    """The rows by `submitted` or `score`; those without one come last. Other orders are those of `rows` already."""
    rows = list(rows)
    if sort == "submitted":
        has = [row for row in rows if row.last]
        has.sort(key=lambda row: row.last.submitted_at if row.last else datetime.min, reverse=descending)
        return has + [row for row in rows if not row.last]
    if sort == "score":
        has = [row for row in rows if row.grading]
        has.sort(key=lambda row: row.grading.score if row.grading else 0.0, reverse=descending)
        return has + [row for row in rows if not row.grading]
    return rows


def _standing(
    student: Student,
    mine: list[Attempt],
    grading: Grading | None,
    tasked: Mapping[int, Tasked],
    due_at: datetime | None,
) -> Standing:
    last = mine[-1] if mine else None
    graded_at = grading.submitted_at if grading else None
    return Standing(
        student=student,
        stage=_stage(mine, grading, tasked),
        times=len(mine),
        last=last,
        late=last is not None and is_late(last.submitted_at, due_at),
        grading=grading,
        newer=last is not None and graded_at is not None and last.submitted_at > graded_at,
        feedback_waits=any(one.feedback_asked for one in mine),
        feedback_problem=next((one.feedback_problem for one in reversed(mine) if one.feedback_problem), None),
    )


def _stage(mine: list[Attempt], grading: Grading | None, tasked: Mapping[int, Tasked]) -> Stage:
    task = tasked.get(mine[-1].id) if mine else None
    if task and task.open:
        return Stage.GRADING
    if task and task.failed:
        return Stage.FAILED
    if grading is None:
        return Stage.SUBMITTED if mine else Stage.MISSING
    if grading.needs_manual_grade:
        return Stage.NEEDS_MANUAL_GRADE
    with_feedback = {one.submitted_at for one in mine if one.feedback_at}
    return Stage.RELEASED if grading.submitted_at in with_feedback else Stage.GRADED
