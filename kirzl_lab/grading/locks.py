"""One at a time: the lock under which a submission's grades are written. It ends with the process that holds it.

On PostgreSQL an advisory lock for each submission; on SQLite one for the whole gradebook, which takes one writer at a
time anyhow and would refuse the second one.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from kirzl_lab.grading.records import ToGrade
from kirzl_lab.problems import GradebookAway


@contextmanager
def grading_lock(of: ToGrade) -> Iterator[None]:
    """Wait until nobody else grades this submission, and keep others from it. Blocks. Raises `GradebookAway`."""
    url = make_url(of.gradebook)
    if url.get_backend_name() == "sqlite":
        with Path(f"{url.database}.grading").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        connection = engine.connect()
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key_of(of)})
    except OperationalError as error:
        raise GradebookAway from error
    with connection:
        yield
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key_of(of)})


def key_of(of: ToGrade) -> int:
    """The number of a submission's advisory lock, 64 bits with a sign."""
    name = "\0".join(("kirzl-lab grading", of.course, of.assignment, of.student))
    return int.from_bytes(sha256(name.encode()).digest()[:8], signed=True)
