"""What tests of every room may ask for: a fresh lab database, on SQLite or on both databases."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from pwd import getpwnam

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from kirzl_lab.store.database import Store
from kirzl_lab.store.migrate import migrate
from tests.support.fixtures import demo_lab, person
from tests.support.s3 import s3

__all__ = ["demo_lab", "person", "s3"]

# A failure prints its seed and the line that plays it again. No deadline: cores may be shared.
_patient = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", _patient, max_examples=50)
settings.register_profile("ci", _patient, max_examples=200)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where a cluster runs already, tests can use it and leave it."""
    parser.addoption(
        "--keep-cluster", action="store_true", help="use the cluster that runs, and leave it; without what ends it"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several processes (`make test`), one has everything about the cluster, the others share the rest by file.

    There is one cluster, and what it leaves behind is counted; what it has to wait for, the others do not.
    """
    of_cluster = [item for item in items if item.get_closest_marker("cluster")]
    rest = [item for item in items if not item.get_closest_marker("cluster")]
    for item in of_cluster:
        item.add_marker(pytest.mark.xdist_group("cluster"))
    for item in rest:
        item.add_marker(pytest.mark.xdist_group(str(item.path)))
    items[:] = of_cluster + rest


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file without a connection, for tests to copy."""
    file = tmp_path_factory.mktemp("template") / "lab.sqlite"
    migrate(f"sqlite+aiosqlite:///{file}")
    return file


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The address of a fresh lab database on SQLite."""
    file = tmp_path / "lab.sqlite"
    shutil.copyfile(sqlite_template, file)
    return f"sqlite+aiosqlite:///{file}"


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    """A fresh lab database on SQLite."""
    store = Store(sqlite_url)
    yield store
    await store.close()


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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Debian's PostgreSQL, started for this run of the tests and stopped at its end, also when that is a SIGKILL."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("[0-9]*/bin/postgres"), key=lambda program: float(program.parents[1].name)
    )
    if not found:
        missing = "Debian's PostgreSQL is missing (apt-get install postgresql): its store tests are left out"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
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
    unsafe_but_quick = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60")
    options = [f"unix_socket_directories={folder}", "listen_addresses=", "shared_buffers=32MB", *unsafe_but_quick]
    start: list[str | Path] = [
        programs / "postgres",
        "-D",
        data,
        *(word for option in options for word in ("-c", option)),
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
            pytest.fail(f"PostgreSQL did not start:\n{log.read_text()}")
        if subprocess.run(ready, check=False).returncode == 0:
            return
        time.sleep(0.02)
    pytest.fail(f"PostgreSQL does not answer:\n{log.read_text()}")


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """The name of a migrated database, for tests to copy."""
    name = postgres.create()
    migrate(postgres.url(name))
    return name


@pytest.fixture
def postgres_url(postgres: Postgres, postgres_template: str) -> Iterator[str]:
    """The address of a fresh lab database on PostgreSQL."""
    name = postgres.create(postgres_template)
    yield postgres.url(name)
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def any_url(request: pytest.FixtureRequest) -> str:
    """The address of a fresh lab database, on each of the two databases in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def any_store(any_url: str) -> AsyncIterator[Store]:
    """A fresh lab database, on each of the two databases in turn."""
    store = Store(any_url)
    yield store
    await store.close()
