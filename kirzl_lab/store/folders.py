"""Folders in the blob store: packed into an archive, and unpacked again."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from kirzl_lab.store import archives
from kirzl_lab.store.archives import Limits
from kirzl_lab.store.blob_rows import need
from kirzl_lab.store.blobs import Blobs
from kirzl_lab.store.database import Store

CHUNK = 1 << 20


class Folders:
    """Keeps and fetches folders of the lab's own. Raises `StorageFull` and `StorageAway`."""

    def __init__(self, store: Store, blobs: Blobs, clock: Callable[[], datetime], limits: Limits) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._limits = limits

    async def keep(self, folder: Path) -> str:
        """Keep the folder and remember in the lab database that it is needed; its SHA-256.

        Something must point to it within the hour, or it is removed again. Raises `ArchiveRefused` as well.
        """
        with TemporaryDirectory(dir=folder.parent) as scratch:
            packed = Path(scratch, "packed.tar.gz")
            await asyncio.to_thread(archives.pack, folder, packed, limits=self._limits)
            async with self._blobs.draft() as draft:
                with await asyncio.to_thread(packed.open, "rb") as file:
                    while chunk := await asyncio.to_thread(file.read, CHUNK):
                        await draft.write(chunk)
                blob = await self._blobs.keep(draft)
                async with self._store.writing() as session:
                    return await need(session, self._blobs, draft, blob, self._clock())

    async def fetch(self, sha256: str, folder: Path) -> None:
        """Unpack the blob into the new folder. Raises `ArchiveRefused` as well, for what others sent."""
        with TemporaryDirectory(dir=folder.parent) as scratch:
            packed = Path(scratch, "packed.tar.gz")
            with await asyncio.to_thread(packed.open, "wb") as file:
                async for chunk in await self._blobs.read(sha256):
                    await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(archives.unpack, packed, folder, self._limits)
