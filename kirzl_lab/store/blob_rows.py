"""Which blobs are needed: the table `blobs`, and the removal of what is in the store and needed by nothing.

A blob is kept first, its row is written in the same transaction as what needs it. In between nothing needs it, and a
removal may take it: whoever writes a row looks once more, while removals wait.
"""

from datetime import datetime, timedelta

from sqlalchemy import Exists, delete, exists, or_, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.store.blobs import Blob, Blobs, Draft
from kirzl_lab.store.course_tables import BlobRow
from kirzl_lab.store.database import Store
from kirzl_lab.store.locks import Lock
from kirzl_lab.store.tables import Base

LEFT_ALONE = timedelta(hours=1)
"""How long a blob without a row stays: somebody may be about to write it. Longer than any upload takes."""


async def need(session: AsyncSession, blobs: Blobs, draft: Draft, blob: Blob, now: datetime) -> str:
    """Write in the caller's transaction that the blob is needed; it was kept from the draft. Returns its SHA-256."""
    await _lock(session, Lock.BLOBS_WRITTEN)
    if not await blobs.has(blob.sha256):
        await blobs.keep(draft)
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    row = insert(BlobRow).values(sha256=blob.sha256, size=blob.size, created_at=now)
    # Needed from now on by somebody else: an old row that nothing points to must not go before that is written.
    await session.execute(row.on_conflict_do_update(index_elements=["sha256"], set_={"created_at": now}))
    return blob.sha256


async def remove_unneeded(store: Store, blobs: Blobs, now: datetime) -> int:
    """Remove rows that nothing points to, blobs without a row, and drafts that were left. Returns how many blobs went.

    What is younger than `LEFT_ALONE` stays. May be killed at any moment, and may run in several processes.
    """
    before, removed = now - LEFT_ALONE, 0
    async with store.writing() as session:
        await _lock(session, Lock.BLOBS_REMOVED)
        await session.execute(delete(BlobRow).where(BlobRow.created_at < before, ~or_(*_uses())))
    async for batch in blobs.old(before):
        async with store.reading() as session:
            candidates = await _without_row(session, batch)
        if not candidates:  # as nearly always: nobody who hands in has to wait
            continue
        async with store.writing() as session:
            await _lock(session, Lock.BLOBS_REMOVED)
            unneeded = await _without_row(session, candidates)
            await blobs.remove(unneeded)
            removed += len(unneeded)
    await blobs.remove_drafts(before)
    return removed


async def _without_row(session: AsyncSession, batch: list[str]) -> list[str]:
    needed = set(await session.scalars(select(BlobRow.sha256).where(BlobRow.sha256.in_(batch))))
    return [sha256 for sha256 in batch if sha256 not in needed]


def _uses() -> list[Exists]:
    """For each column that points to a blob: whether one of its rows points to this one."""
    columns = [key.parent for table in Base.metadata.tables.values() for key in table.foreign_keys]
    return [
        exists().where(column == BlobRow.sha256)
        for column in columns
        if any(key.column is BlobRow.__table__.c.sha256 for key in column.foreign_keys)
    ]


async def _lock(session: AsyncSession, lock: Lock) -> None:
    """Until the transaction ends. On SQLite a session that writes is alone already."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(text(lock))
