"""A course in another term: which of its days and due dates become which. Pure."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from kirzl_lab.catalog.models import CourseFile, Text


@dataclass(frozen=True, slots=True)
class NextTerm:
    """What a copy is to be. One of `weeks` and `starts` says how far its days lie behind those of the original."""

    term: str
    title: Text | None = None
    """None keeps the title."""
    weeks: int = 0
    starts: date | None = None
    """The first day; needs an original that has one."""


def days_between(file: CourseFile, then: NextTerm) -> int:
    """How many days the copy lies behind the original. Where the original has no first day, `weeks` counts."""
    if then.starts is not None and file.starts is not None:
        return (then.starts - file.starts).days
    return 7 * then.weeks


def in_term(file: CourseFile, then: NextTerm) -> CourseFile:
    """The course with its days moved, both by the same number. Raises OverflowError for days that no calendar has."""
    days = timedelta(days=days_between(file, then))
    return file.model_copy(
        update={
            "term": then.term,
            "title": then.title or file.title,
            "starts": file.starts + days if file.starts else then.starts,
            "ends": file.ends + days if file.ends else None,
        }
    )


def due_in_term(due: datetime | None, file: CourseFile, then: NextTerm) -> datetime | None:
    """A due date moved by as many days: at the same hour of the course's own time zone, whatever its clocks did."""
    if due is None:
        return None
    there = due.astimezone(file.zone).replace(tzinfo=None) + timedelta(days=days_between(file, then))
    return there.replace(tzinfo=file.zone)
