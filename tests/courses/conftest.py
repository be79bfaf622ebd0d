"""Gradebooks as files and in PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from kirzl_lab.courses.gradebook import Gradebooks, gradebooks


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def any_gradebooks(request: pytest.FixtureRequest, tmp_path: Path, any_database: str) -> Iterator[Gradebooks]:
    """The gradebooks of a lab, on each of the two databases in turn."""
    books = gradebooks(tmp_path, make_url(any_database))
    yield books
    books.close()


@pytest.fixture
def any_database(request: pytest.FixtureRequest) -> str:
    """The address of a lab database without tables, on the database that the test is for."""
    if request.node.callspec.params["any_gradebooks"] == "sqlite":
        return "sqlite+aiosqlite://"
    url: str = request.getfixturevalue("postgres_database")
    return url


@pytest.fixture
def postgres_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty database in PostgreSQL; roles that gradebooks made there go with it."""
    postgres = request.getfixturevalue("postgres")
    name = postgres.create()
    yield postgres.url(name)
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")
