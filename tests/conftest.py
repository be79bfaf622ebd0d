"""What tests of every room may ask for: a fresh lab database, on SQLite or on both databases."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from kirzl_lab.store.database import Store
from kirzl_lab.store.migrate import migrate
from tests.support.fixtures import demo_lab, person
from tests.support.postgres import UNSAFE_BUT_QUICK, MissingPostgresError, Postgres, running_postgres
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


ABOUT_THE_CLUSTER = (
    "tests/cluster/",
    "tests/docs/test_how_tos.py",
    "tests/helm/",
    "tests/images/",
    "tests/service/test_nothing_lost.py",
    "tests/store/test_blobs.py",
    "tests/store/test_s3.py",
)
"""Where tests marked `cluster` are: with several processes, one runs all of these. There is one cluster, and what it
leaves behind is counted."""


class ByPlace(LoadScopeScheduling):  # type: ignore[misc] # it publishes no types
    """One process has everything about the cluster, the others share the rest by file (`make test`)."""

    def _split_scope(self, nodeid: str) -> str:
        return "cluster" if nodeid.startswith(ABOUT_THE_CLUSTER) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByPlace:
    """xdist's own groups by mark do not work with this pytest."""
    return ByPlace(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first. Raises `UsageError` for a test of the cluster in another place."""
    lost = {
        item.nodeid
        for item in items
        if item.get_closest_marker("cluster") and not item.nodeid.startswith(ABOUT_THE_CLUSTER)
    }
    if lost:
        raise pytest.UsageError(f"ABOUT_THE_CLUSTER in tests/conftest.py lacks the place of {sorted(lost)}")
    items.sort(key=lambda item: not item.nodeid.startswith(ABOUT_THE_CLUSTER))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before the first test that needs it, and in `make test` alone: Kubernetes and the images of the lab."""
    if "KIRZL_LAB_TESTS_BUILD" in os.environ and item.get_closest_marker("cluster") and (said := _built()):
        pytest.fail(said, pytrace=False)


@cache
def _built() -> str:
    """Empty, or why it could not be built."""
    done = subprocess.run(
        ["make", "--no-print-directory", "tools", "images"],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return f"make tools images: {done.stdout[-3000:]}" if done.returncode else ""


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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for the whole test run."""
    try:
        with running_postgres(*UNSAFE_BUT_QUICK) as running:
            yield running
    except MissingPostgresError as missing:
        left_out = f"{missing}: its store tests are left out"
        pytest.fail(left_out) if os.environ.get("CI") else pytest.skip(left_out)


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
