"""Names in formgrader: nbgrader's gradebook knows ids of students, and its pages would show "None, None" beside them."""

from collections.abc import Mapping
from typing import Any

from nbgrader.api import Gradebook
from sqlalchemy.exc import SQLAlchemyError


def name_students(gradebook: str, course: str, names: Mapping[str, str], log: Any) -> None:
    """Give students without a name in the gradebook at this address theirs; `names` are by hub name.

    The whole name stands in place of the last name, since nobody can tell where a name divides, and the hub name beside
    it. What somebody wrote there stays. A gradebook that cannot be written now is written next time.
    """
    try:
        with Gradebook(gradebook, course) as book:
            named = {student.id for student in book.students if student.last_name or student.first_name}
            for hub_name, name in names.items():
                if hub_name not in named:
                    book.update_or_create_student(hub_name, last_name=name, first_name=hub_name)
    except SQLAlchemyError as error:
        log.warning("Students could not be named in the gradebook: %s", error)
