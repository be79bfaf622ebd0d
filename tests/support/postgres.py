"""A real PostgreSQL, Debian's, for as long as it is needed."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from pwd import getpwnam

import psycopg

UNSAFE_BUT_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""Options for tests, which lose nothing when the power fails."""


class MissingPostgresError(Exception):
    """This machine has none."""


class Postgres:
    """A PostgreSQL of our own, on a socket in its own folder. `database` makes a database from a migrated template."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)

    def url(self, database: str) -> str:
        """The address of `database` for SQLAlchemy."""
        return f"postgresql+psycopg://lab@/{database}?host={self._folder}"

    def run(self, statement: str) -> None:
        """Run one statement as the superuser, outside a transaction."""
        with psycopg.connect(f"host={self._folder} user=lab dbname=postgres", autocommit=True) as connection:
            connection.execute(statement)

    def create(self, template: str = "template1") -> str:
        """The name of a new database."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name


@contextmanager
def running_postgres(*options: str) -> Iterator[Postgres]:
    """Debian's PostgreSQL with these options; stopped at the end of the block, also when that is a SIGKILL.

    Raises `MissingPostgresError`.
    """
    found = sorted(
        Path("/usr/lib/postgresql").glob("[0-9]*/bin/postgres"), key=lambda program: float(program.parents[1].name)
    )
    if not found:
        raise MissingPostgresError("Debian's PostgreSQL is missing (apt-get install postgresql)")
    programs = found[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="lab-postgres-"))
    # PostgreSQL refuses to run as root; setpriv also asks the kernel to end it (SIGQUIT: at once) when we die.
    as_user = ["setpriv", "--pdeathsig", "QUIT"]
    if os.geteuid() == 0:
        user = getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user += ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    data, log = folder / "data", folder / "log"
    initdb: list[str | Path] = [
        programs / "initdb",
        "-D",
        data,
        "-U",
        "lab",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        "-N",
    ]
    subprocess.run([*as_user, *initdb], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    where = [f"unix_socket_directories={folder}", "listen_addresses=", "shared_buffers=32MB", "max_connections=60"]
    start: list[str | Path] = [
        programs / "postgres",
        "-D",
        data,
        *(word for option in (*where, *options) for word in ("-c", option)),
    ]
    with log.open("w") as output:
        server = subprocess.Popen([*as_user, *start], cwd=folder, stdout=output, stderr=output)
    try:
        _wait_until_ready(programs, folder, server, log)
        yield Postgres(folder)
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait(timeout=20)
        shutil.rmtree(folder)


def _wait_until_ready(programs: Path, folder: Path, server: "subprocess.Popen[bytes]", log: Path) -> None:
    ready: list[str | Path] = [programs / "pg_isready", "-q", "-h", folder, "-t", "1"]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise AssertionError(f"PostgreSQL did not start:\n{log.read_text()}")
        if subprocess.run(ready, check=False).returncode == 0:
            return
        time.sleep(0.02)
    raise AssertionError(f"PostgreSQL does not answer:\n{log.read_text()}")
