"""A lab for the tests of courses: two institutions, people who have logged in, one course that the page made."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url, select, update

from kirzl_lab.catalog.models import CourseFile
from kirzl_lab.courses import life
from kirzl_lab.courses.gradebook import Gradebooks, gradebooks
from kirzl_lab.store.database import Store
from kirzl_lab.store.tables import Identity, InstitutionRow, Person

NOW = datetime(2026, 10, 12, 8, 0, tzinfo=UTC)
SIZES = ("cpu-small", "cpu-medium")
LECTURER, STUDENT, BLOCKED, NAMELESS = "lecturer-1111", "student-2222", "blocked-3333", "nameless-4444"


def course_file(**changes: object) -> CourseFile:
    """A course file."""
    given: dict[str, object] = {
        "title": {"de": "Statistik", "en": "Statistics"},
        "term": "2026/27 winter",
        "starts": "2026-10-12",
        "ends": "2027-02-05",
        "sizes": ["cpu-small"],
        "default_size": "cpu-small",
    }
    return CourseFile.model_validate(given | changes)


async def person(store: Store, hub_name: str) -> Person:
    """Somebody whom the lab knows."""
    async with store.reading() as session:
        return (await session.scalars(select(Person).where(Person.hub_name == hub_name))).one()


async def log_in(store: Store, hub_name: str, institution: str, **claims: str) -> None:
    """Let the lab know somebody."""
    async with store.writing() as session:
        known = Person(hub_name=hub_name, display_name=hub_name.title(), created_at=NOW)
        session.add(known)
        await session.flush()
        session.add(
            Identity(
                person_id=known.id,
                institution_name=institution,
                issuer=f"https://login.{institution}.example",
                subject=f"sub-{hub_name}",
                claims={claim: [value] for claim, value in claims.items()},
                created_at=NOW,
                last_login_at=NOW,
            )
        )


@pytest.fixture
async def lab(any_store: Store) -> Store:
    """The lab, with `stat-1` in it, which `LECTURER` made."""
    async with any_store.writing() as session:
        for name in ("uni", "uas"):
            session.add(InstitutionRow(name=name, issuer=f"https://login.{name}.example", title_de=name, title_en=name))
    await log_in(
        any_store, LECTURER, "uni", email="lecturer@uni.example", eduperson_scoped_affiliation="faculty@uni.example"
    )
    await log_in(any_store, STUDENT, "uni", email="student@uni.example", matriculation_number="1000001")
    await log_in(any_store, BLOCKED, "uas", email="blocked@uas.example")
    await log_in(any_store, NAMELESS, "uas", eduperson_scoped_affiliation="faculty@uas.example")
    lecturer = await person(any_store, LECTURER)
    async with any_store.writing() as session:
        await session.execute(update(Person).where(Person.hub_name == BLOCKED).values(blocked_at=NOW))
        await life.create(session, "stat-1", course_file(), SIZES, by=lecturer, now=NOW - timedelta(days=30))
    return any_store


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
    """The address of a fresh lab database in PostgreSQL; roles that gradebooks made there go with it."""
    postgres = request.getfixturevalue("postgres")
    name = postgres.create(request.getfixturevalue("postgres_template"))
    yield postgres.url(name)
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")
