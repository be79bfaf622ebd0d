"""What the exchange asks of a course's gradebook."""

from datetime import datetime
from pathlib import Path
from typing import Any

SQLITE = "sqlite:///"


def due_date(coursedir: Any) -> datetime | None:
    """When the assignment of the course folder is due, in UTC and without a zone; None where nobody said so.

    It makes no gradebook where there is none.
    """
    url: str = coursedir.db_url
    if url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).is_file():
        return None
    from nbgrader.api import Gradebook, MissingEntry  # noqa: PLC0415 - brings SQLAlchemy in

    with Gradebook(url, coursedir.course_id) as gradebook:
        try:
            due: datetime | None = gradebook.find_assignment(coursedir.assignment_id).duedate
        except MissingEntry:
            return None
        return due
