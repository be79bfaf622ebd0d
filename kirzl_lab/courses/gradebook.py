"""Where the gradebook of a course is, and who may open it.

A laptop has a SQLite file for each course; a cluster has a schema for each course beside the lab's own tables in
PostgreSQL (`kirzl_lab.courses.gradebook_roles`). Everything here blocks: call it in a thread.
"""

import fcntl
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import NullPool

from kirzl_lab.catalog.models import is_space_name
from kirzl_lab.courses.gradebook_roles import GradebookSchemas
from kirzl_lab.courses.gradebook_tables import bring_up_to_date, is_up_to_date

PATIENCE_S = 30


class Gradebooks(Protocol):
    """The gradebooks of a lab's courses."""

    def prepare(self, course: str) -> None:
        """Make the gradebook of `course`, or bring it up to date; many processes may do so at once."""

    def lab_url(self, course: str) -> str:
        """The SQLAlchemy address with which the lab itself opens the gradebook, for instance as nbgrader's `db_url`."""

    def staff_url(self, course: str, hub_name: str) -> str:
        """The address for a server of somebody who runs the course; on PostgreSQL a login of their own, with a new password."""

    def reconcile_logins(self, course: str, staff: Collection[str]) -> list[str]:
        """End the logins of everybody but `staff` (hub names), with their sessions; returns the logins that are gone."""

    def remove(self, course: str) -> None:
        """Remove the gradebook of an erased course, with everybody's login to it. Nothing happens when there is none."""

    def reading(self, course: str) -> AbstractContextManager[Connection]:
        """A connection that sees one moment of the gradebook and changes nothing; the gradebook is made if there is none."""

    def close(self) -> None:
        """Close every connection."""


def gradebooks(data: Path, database: URL) -> Gradebooks:
    """The gradebooks of the lab with that data folder (absolute) and that lab database."""
    if database.get_backend_name() == "postgresql":
        return GradebookSchemas(database)
    return GradebookFiles(data / "gradebooks")


class GradebookFiles:
    """SQLite files, one a course. Whoever may read the folder may read them: a laptop has one trusted person."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prepared: set[str] = set()

    def prepare(self, course: str) -> None:
        """Make the file of `course`, or bring it up to date. Raises `NewerDatabase`."""
        file = self.file(course)
        if file.exists():
            with _opened(file, "BEGIN", _prepare_reading) as connection:
                if is_up_to_date(connection):
                    return  # without waiting for whoever writes
        file.parent.mkdir(parents=True, exist_ok=True)
        with (file.parent / "gradebook.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with _opened(file, "BEGIN IMMEDIATE", _prepare_writing) as connection:
                bring_up_to_date(connection, course)
                connection.commit()

    def lab_url(self, course: str) -> str:
        """The address of the file."""
        return URL.create("sqlite", database=str(self.file(course))).render_as_string()

    def staff_url(self, course: str, hub_name: str) -> str:
        """The address of the file, the same for everybody."""
        self._prepare_once(course)
        return self.lab_url(course)

    def reconcile_logins(self, course: str, staff: Collection[str]) -> list[str]:
        """There are no logins to a file."""
        return []

    def remove(self, course: str) -> None:
        """Remove the folder of the file."""
        self._prepared.discard(course)
        shutil.rmtree(self.file(course).parent, ignore_errors=True)

    @contextmanager
    def reading(self, course: str) -> Iterator[Connection]:
        """A connection to the file that changes nothing."""
        self._prepare_once(course)
        with _opened(self.file(course), "BEGIN", _prepare_reading) as connection:
            yield connection

    def close(self) -> None:
        """Nothing is held."""

    def file(self, course: str) -> Path:
        """The SQLite file of `course`. Raises ValueError for what is no name of a course."""
        if not is_space_name(course):
            raise ValueError(f"{course!r} is no name of a course")
        return self._folder / course / "gradebook.db"

    def _prepare_once(self, course: str) -> None:
        if course not in self._prepared or not self.file(course).exists():
            self.prepare(course)
            self._prepared.add(course)


@contextmanager
def _opened(file: Path, begin: str, connected: Callable[[DBAPIConnection, object], None]) -> Iterator[Connection]:
    url = URL.create("sqlite", database=str(file))  # not as text: a folder may have a ? or a % in its name
    engine: Engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": PATIENCE_S})
    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    with engine.connect() as connection:
        yield connection


def _prepare_writing(connection: DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours: Python's driver begins no transaction before CREATE TABLE
    connection.execute("PRAGMA journal_mode=WAL")  # readers do not wait for the grader, nor it for them


def _prepare_reading(connection: DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA query_only=ON")
