"""The connection to the lab database: one async engine, sessions for reading and for writing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_sessionmaker, create_async_engine

PATIENCE_S = 5.0
"""How long a writer waits for others on SQLite before it gives up."""
TRY_MS = 100
"""How long one try to write takes on SQLite: a caller with a limit of its own gets away between two tries."""

AWAY = (TimeoutError, PoolTimeout, OperationalError, InterfaceError)
"""What a database that is away raises. Everything else is a mistake of ours, and must look like one."""


class Store:
    """The lab's memory. Make one for each process and event loop; `close` it at the end."""

    def __init__(self, url: str) -> None:
        """`url` is a SQLAlchemy address: `sqlite+aiosqlite:///FILE` or `postgresql+psycopg://...`."""
        # A PostgreSQL that restarted leaves dead connections behind: look before use, so that nobody sees them.
        # Errors quote no parameters: they are people's data, and errors are logged.
        self.engine = create_async_engine(url, pool_pre_ping=not url.startswith("sqlite"), hide_parameters=True)
        self._sqlite = self.engine.dialect.name == "sqlite"
        self._turn = asyncio.Lock()
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        if self._sqlite:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that sees one moment of the database and changes nothing."""
        async with self._sessions() as session:
            if not self._sqlite:
                one_moment = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
                await session.connection(execution_options=one_moment)
            yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A session whose changes are committed together when its block ends, or not at all when it raises.

        Not to be nested. On SQLite, which has one writer at a time, raises TimeoutError when others write for longer
        than `PATIENCE_S`.
        """
        async with AsyncExitStack() as stack:
            if self._sqlite:
                async with asyncio.timeout(PATIENCE_S):
                    # Writers of this process stand in line without a connection: readers may need those.
                    await stack.enter_async_context(self._turn)
                    connection = await stack.enter_async_context(self._write_lock())
                session = self._sessions(bind=connection, join_transaction_mode="control_fully")
            else:
                session = self._sessions()
            async with session, session.begin():
                yield session

    @asynccontextmanager
    async def _write_lock(self) -> AsyncIterator[AsyncConnection]:
        """A connection with SQLite's write lock, which cannot be had later than at the begin of a transaction."""
        while True:
            async with self.engine.connect() as connection:
                await connection.execution_options(lab_writes=True)
                try:
                    await connection.begin()
                except OperationalError as error:
                    if "locked" not in str(error.orig):
                        raise
                    continue
                yield connection
                return

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def _prepare_sqlite(connection: DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours, below
    # SQLite's own lower() knows ASCII only, and searches ignore case in every alphabet.
    connection.create_function("lower", 1, _lower, deterministic=True)
    cursor = connection.cursor()
    # FULL, not NORMAL: a hub name that was handed out must not be forgotten when the power fails. (`migrate` set WAL.)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("lab_writes")
    connection.exec_driver_sql(f"PRAGMA busy_timeout={TRY_MS if writes else PATIENCE_S * 1000:.0f}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
