"""Brings the lab database to the tables that this version of the lab expects. Run before anything else starts.

Guarantees: all steps happen in one transaction, or none; two processes that migrate at once take turns; a database
at the newest step is left as it is; a database from a newer lab is refused. Works from any folder, without a
configuration file.
"""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.pool import NullPool

from kirzl_lab.problems import NewerDatabase
from kirzl_lab.store.locks import MIGRATION

FOLDER = Path(__file__).parent / "migrations"
TURN_TIMEOUT_S = 120
"""How long SQLite waits for a process that writes before the migration gives up."""


def migrate(url: str) -> None:
    """Take every step that the database at `url` lacks; `url` is written as for `Store`.

    Raises `NewerDatabase` when the database has steps that this version of the lab does not know.
    """
    with _own_transaction(url) as connection:
        config = _config(connection)
        _refuse_newer(connection, ScriptDirectory.from_config(config))
        command.upgrade(config, "head")


def is_current(url: str) -> bool:
    """Whether the database at `url` has every step that this version of the lab expects.

    Raises `NewerDatabase` as `migrate` does, and SQLAlchemy's `OperationalError` when the database does not answer.
    """
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        address = URL.create("sqlite", database=address.database)
    with create_engine(address, poolclass=NullPool).connect() as connection:
        scripts = ScriptDirectory.from_config(_config(connection))
        _refuse_newer(connection, scripts)
        return set(MigrationContext.configure(connection).get_current_heads()) == set(scripts.get_heads())


def write_step(message: str) -> Path:
    """Write a new step from the difference between the tables and the newest step, for a developer to read and mend."""
    with _own_transaction("sqlite://") as connection:
        config = _config(connection)
        command.upgrade(config, "head")
        number = len(list((FOLDER / "versions").glob("[0-9]*.py"))) + 1
        script = command.revision(config, message, autogenerate=True, rev_id=f"{number:04}")
    return Path(cast(Script, script).path)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    unknown = sorted(set(MigrationContext.configure(connection).get_current_heads()) - known)
    if unknown:
        raise NewerDatabase(step=", ".join(unknown))


@contextmanager
def _own_transaction(url: str) -> Iterator[Connection]:
    """A connection in a transaction that nobody else migrates in."""
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        with _sqlite_turn(address.database), _sqlite_engine(address.database) as connection:
            yield connection
        return
    engine = create_engine(address, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION})")
        yield connection


@contextmanager
def _sqlite_turn(database: str | None) -> Iterator[None]:
    """Wait for our turn at a lock beside the file: SQLite's own waiting does not cover the switch of a new file to WAL."""
    if not database:
        yield
        return
    with Path(f"{database}.migrating").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _sqlite_engine(database: str | None) -> Iterator[Connection]:
    url = URL.create("sqlite", database=database)  # not as text: a folder may have a ? or a % in its name
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": TURN_TIMEOUT_S})
    # Python's driver begins no transaction before CREATE TABLE: BEGIN is ours, so that a killed migration leaves nothing.
    event.listen(engine, "connect", _sqlite_by_hand)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as connection:
        yield connection


def _sqlite_by_hand(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    # Steps that rebuild a table need foreign keys off, which only works outside a transaction; off is the default.
    connection.execute("PRAGMA journal_mode=WAL")
