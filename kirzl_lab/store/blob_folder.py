"""Blobs in a folder of a file system that all processes of the lab see."""

import os
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from kirzl_lab.problems import FileLost
from kirzl_lab.store.blobs import BATCH, PART, Blob, Draft, Spool, Threads, changed

SPOOL = ".drafts"


class DirectoryBlobs:
    """Blobs in a folder, each at `aa/bb/SHA256` after the first letters of its name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._run = Threads()
        self._spool = Spool(folder / SPOOL, self._run)  # in the same file system: a draft is linked, not copied
        self.draft = self._spool.draft
        self.remove_drafts = self._spool.remove_drafts

    async def keep(self, draft: Draft) -> Blob:
        """See `Blobs.keep`."""
        blob = await draft.finish()
        await self._run(self._link, draft.path, blob.sha256)
        return blob

    async def has(self, sha256: str) -> bool:
        """See `Blobs.has`."""
        return await self._run(self._path(sha256).exists)

    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        """See `Blobs.read`."""
        return self._parts(await self._run(self._open, sha256))

    async def old(self, before: datetime) -> AsyncIterator[list[str]]:
        """See `Blobs.old`."""
        for first in range(256):
            folder = self._folder / f"{first:02x}"
            found = await self._run(self._older, folder, before.timestamp())
            for start in range(0, len(found), BATCH):
                yield found[start : start + BATCH]

    async def remove(self, sha256s: Collection[str]) -> None:
        """See `Blobs.remove`."""
        for sha256 in sha256s:
            await self._run(self._path(sha256).unlink, True)

    def close(self) -> None:
        """See `Blobs.close`."""
        self._run.close()

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256[2:4] / sha256

    def _open(self, sha256: str) -> BinaryIO:
        try:
            return self._path(sha256).open("rb")
        except FileNotFoundError as error:
            if self._folder.is_dir():  # else it is the whole disk that is away
                raise FileLost() from error
            raise

    def _link(self, draft: Path, sha256: str) -> None:
        target = self._path(sha256)
        if not target.exists():
            _sync(draft)
            for folder in (target.parent.parent, target.parent):
                if not folder.is_dir():
                    folder.mkdir(mode=0o700, exist_ok=True)
                    _sync(folder.parent)
            with suppress(FileExistsError):
                os.link(draft, target)
        # Also when somebody else has linked it: they may not have come so far yet.
        _sync(target.parent)

    async def _parts(self, file: BinaryIO) -> AsyncIterator[bytes]:
        with file:
            while part := await self._run(file.read, PART):
                yield part

    def _older(self, folder: Path, before: float) -> list[str]:
        if not folder.is_dir():
            return []
        return [path.name for path in folder.glob("??/*") if changed(path) < before]


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
