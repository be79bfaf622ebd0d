"""The connection to the lab database: one async engine, sessions for reading and for writing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

BUSY_TIMEOUT_MS = 5000
"""How long SQLite waits for another process that writes."""


class Store:
    """The lab's memory. Make one for each process and event loop; `close` it at the end."""

    def __init__(self, url: str) -> None:
        """`url` is a SQLAlchemy address: `sqlite+aiosqlite:///FILE` or `postgresql+psycopg://...`."""
        self.engine = create_async_engine(url)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that sees one moment of the database and changes nothing."""
        async with self._sessions() as session:
            yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A session whose changes are committed together when its block ends, or not at all when it raises."""
        async with self._sessions.begin() as session:
            # SQLite cannot turn a read into a write while another process writes: take the write lock first.
            await session.connection(execution_options={"lab_writes": True})
            yield session

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def _prepare_sqlite(connection: DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours, below
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("lab_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
