"""Migrations: up from empty, no drift, one at a time, all or nothing, never backwards."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, make_url, text
from sqlalchemy.pool import NullPool

from kirzl_lab.problems import NewerDatabase
from kirzl_lab.store import course_tables  # noqa: F401 - its tables are in Base.metadata now
from kirzl_lab.store import migrate as migrate_module
from kirzl_lab.store.migrate import migrate
from kirzl_lab.store.tables import Base

ROOT = Path(__file__).parents[2]
MIGRATE = "import sys; from kirzl_lab.store.migrate import migrate; print('go', flush=True); migrate(sys.argv[1])"

STOP_IN_THE_MIDDLE = """
import os, signal
from alembic.operations import Operations
create_index = Operations.create_index
def stop(self, name, *rest, **options):
    create_index(self, name, *rest, **options)
    if name == "ix_servers_space_id":
        """


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database without any table, on each of the two databases in turn."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'a b%20.sqlite'}"
        return
    postgres = request.getfixturevalue("postgres")
    name = postgres.create()
    yield postgres.url(name)
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")


def connected(url: str) -> Connection:
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        address = address.set(drivername="sqlite")
    return create_engine(address, poolclass=NullPool).connect()


def tables(url: str) -> set[str]:
    with connected(url) as connection:
        return set(inspect(connection).get_table_names())


def migrating(url: str, code: str = MIGRATE) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, url],
        cwd="/",
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_up_from_empty_gives_exactly_the_tables(empty_url: str) -> None:
    migrate(empty_url)
    with connected(empty_url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
    migrate(empty_url)
    assert tables(empty_url) == {*Base.metadata.tables, "alembic_version"}


def test_a_difference_would_be_noticed(empty_url: str) -> None:
    migrate(empty_url)
    with connected(empty_url) as connection:
        connection.execute(text("ALTER TABLE persons ADD COLUMN shoe_size INTEGER"))
        connection.execute(text("DROP INDEX uq_roster_rows_site"))
        connection.commit()
        found = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert {difference[0] for difference in found} == {"remove_column", "add_index"}


def test_a_lab_of_the_first_step_keeps_what_it_knows(empty_url: str) -> None:
    with migrate_module._own_transaction(empty_url) as connection:
        command.upgrade(migrate_module._config(connection), "0001")
        for statement in (
            "INSERT INTO persons (id, hub_name, display_name, created_at) VALUES (7, 'member1', 'Member 1', :now)",
            "INSERT INTO institutions (name, demo, title_de, title_en) VALUES ('a', false, 'A', 'A')",
            "INSERT INTO identities (person_id, institution_name, issuer, subject, claims, created_at, last_login_at)"
            " VALUES (7, 'a', 'https://a.example', 's', '{}', :now, :now)",
            "INSERT INTO spaces (id, name, kind, title_de, title_en, spec, created_at)"
            " VALUES (5, 'ml', 'course', 'ML', 'ML', '{}', :now)",
            "INSERT INTO servers (person_id, server_name, space_id, purpose, last_size, created_at, last_start_at)"
            " VALUES (7, 'mine', 5, 'work', 'small', :now, :now)",
            "INSERT INTO audit (at, actor, action, detail, note) VALUES (:now, 'member1', 'login', '{}', '')",
        ):
            connection.execute(text(statement), {"now": "2026-11-01 12:00:00"})
    migrate(empty_url)
    with connected(empty_url) as connection:
        servers = connection.execute(text("SELECT person_id, server_name, space_id, purpose FROM servers")).all()
        assert servers == [(7, "mine", 5, "work")]
        assert connection.execute(text("SELECT subject, dropped FROM identities")).all() == [("s", None)]
        assert connection.execute(text("SELECT actor FROM audit")).scalars().all() == ["member1"]


def test_steps_form_one_line() -> None:
    scripts = ScriptDirectory(str(migrate_module.FOLDER))
    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1


@pytest.mark.slow
def test_many_processes_at_once_take_turns(empty_url: str) -> None:
    processes = [migrating(empty_url) for _ in range(4)]
    ends = [(process.communicate(timeout=60), process.returncode) for process in processes]
    assert [code for _, code in ends] == [0] * 4, ends
    assert tables(empty_url) == {*Base.metadata.tables, "alembic_version"}


@pytest.mark.slow
@pytest.mark.parametrize("end", ["raise SystemExit('the disk is full')", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_migration_that_ends_in_the_middle_leaves_nothing_and_is_taken_up_again(empty_url: str, end: str) -> None:
    process = migrating(empty_url, STOP_IN_THE_MIDDLE + end + "\nOperations.create_index = stop\n" + MIGRATE)
    process.communicate(timeout=60)
    assert process.returncode == (1 if "disk" in end else -signal.SIGKILL)
    assert tables(empty_url) == set()
    migrate(empty_url)
    with connected(empty_url) as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 0.05, 0.1, 0.2, 0.4])
def test_sigkill_at_any_moment_leaves_all_or_nothing(empty_url: str, seconds: float) -> None:
    process = migrating(empty_url)
    assert process.stdout is not None
    process.stdout.readline()
    # The moment is the point of the test, so this is a wait for time and for nothing else.
    time.sleep(seconds)
    process.kill()
    process.communicate(timeout=60)
    assert tables(empty_url) in (set(), {*Base.metadata.tables, "alembic_version"})
    migrate(empty_url)
    assert tables(empty_url) == {*Base.metadata.tables, "alembic_version"}


def test_a_database_from_a_newer_lab_is_refused(empty_url: str) -> None:
    migrate(empty_url)
    with connected(empty_url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.commit()
    with pytest.raises(NewerDatabase, match="newer version of the lab \\(step 9999 is unknown here\\)"):
        migrate(empty_url)
    with connected(empty_url) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
