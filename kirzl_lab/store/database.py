"""The connection to the lab database: one async engine, sessions for reading and for writing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

BUSY_TIMEOUT_MS = 5000
"""How long SQLite waits for another process that writes."""


class Store:
    """The lab's memory. Make one for each process and event loop; `close` it at the end."""

    def __init__(self, url: str) -> None:
        """`url` is a SQLAlchemy address: `sqlite+aiosqlite:///FILE` or `postgresql+psycopg://...`."""
        # A PostgreSQL that restarted leaves dead connections behind: look before use, so that nobody sees them.
        self.engine = create_async_engine(url, pool_pre_ping=not url.startswith("sqlite"))
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

        Not to be nested. Raises TimeoutError when writers of this process keep it waiting for as long as writers of
        another one may.
        """
        async with AsyncExitStack() as stack:
            if self._sqlite:
                await self._wait_for_turn(stack)
            session = await stack.enter_async_context(self._sessions.begin())
            # SQLite cannot turn a read into a write while another process writes: take the write lock first.
            await session.connection(execution_options={"lab_writes": True})
            yield session

    async def _wait_for_turn(self, stack: AsyncExitStack) -> None:
        # SQLite has one writer at a time and lets the others try again and again, each on a connection that readers
        # could use. Here they stand in line without one.
        async with asyncio.timeout(BUSY_TIMEOUT_MS / 1000):
            await stack.enter_async_context(self._turn)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def _prepare_sqlite(connection: DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours, below
    # SQLite's own lower() knows ASCII only, and searches ignore case in every alphabet.
    connection.create_function("lower", 1, _lower, deterministic=True)
    cursor = connection.cursor()
    # FULL, not NORMAL: a hub name that was handed out must not be forgotten when the power fails.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("lab_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
