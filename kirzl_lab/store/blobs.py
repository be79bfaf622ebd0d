"""Files of the lab by their SHA-256: in a folder, or in an S3 bucket.

Guarantees: a blob is there whole or not at all, whatever ends the process; once `keep` has returned it survives a
power failure; what is written or read never is in memory as a whole and never blocks the event loop; the lab's own
account alone can read the files. Which blobs are needed is in the lab database: see `kirzl_lab.store.blob_rows`.

What comes in is written to a draft on this machine first, so that it can be looked at before it is kept.
"""

import asyncio
import errno
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from kirzl_lab.problems import StorageAway, StorageFull

Result = TypeVar("Result")

PART = 64 * 1024
"""Bytes in memory for each file that is written or read."""
THREADS = 8
"""Files that are written or read at the same moment."""
BATCH = 200
"""Blobs that are looked at together when what nobody needs is removed."""
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class Blob:
    """What a draft has become."""

    sha256: str
    """In hexadecimal, lower case."""
    size: int
    """In bytes."""


class Draft:
    """A file that is being written; gone when its block ends."""

    def __init__(self, path: Path, file: BinaryIO, run: "Threads") -> None:
        self.path = path
        self.size = 0
        """Bytes so far."""
        self._file = file
        self._run = run
        self._digest = hashlib.sha256()
        self._waiting = bytearray()

    async def write(self, data: bytes) -> None:
        """Add `data`. Raises `StorageFull` and `StorageAway`."""
        self._waiting += data
        self.size += len(data)
        if len(self._waiting) >= PART:
            await self._flush()

    async def finish(self) -> Blob:
        """What it is, once all of it is written; its file can be read from then on. Raises as `write` does."""
        await self._flush()
        return Blob(self._digest.hexdigest(), self.size)

    async def _flush(self) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        await self._run(self._add, data)

    def _add(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)
        self._file.flush()


class Blobs(Protocol):
    """Where blobs are. Every method raises `StorageFull` or `StorageAway` when the storage is."""

    def draft(self) -> AbstractAsyncContextManager[Draft]:
        """A new, empty draft for the time of the block."""
        ...

    async def keep(self, draft: Draft) -> Blob:
        """Make the draft a blob, durably; it may be there already. The draft stays until its block ends."""
        ...

    async def has(self, sha256: str) -> bool:
        """Whether there is such a blob."""
        ...

    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        """The blob in parts; `FileLost` at once when it is not there."""
        ...

    def old(self, before: datetime) -> AsyncIterator[list[str]]:
        """Blobs that were kept before that moment, at most `BATCH` at a time."""
        ...

    async def remove(self, sha256s: Collection[str]) -> None:
        """Remove blobs; those that are not there are none to remove."""
        ...

    async def remove_drafts(self, before: datetime) -> int:
        """Remove what a process that was killed has left and nobody wrote to since that moment; how many."""
        ...

    def close(self) -> None:
        """Let the threads go."""
        ...


class Threads:
    """Runs what blocks in threads of its own, and tells the errors of a disk as problems."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")

    async def __call__(self, function: Callable[..., Result], *arguments: object) -> Result:
        """What the function returns. Raises `StorageFull` and `StorageAway`."""
        with telling():
            return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def close(self) -> None:
        """Let them go."""
        self._pool.shutdown(wait=False)


@contextmanager
def telling() -> Iterator[None]:
    """Raise errors of a disk as `StorageFull` and `StorageAway`."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull() from error
        raise StorageAway() from error


class Spool:
    """The drafts of a blob store, in a folder of this machine."""

    def __init__(self, folder: Path, run: Threads) -> None:
        self._folder = folder
        self._run = run

    @asynccontextmanager
    async def draft(self) -> AsyncIterator[Draft]:
        """A new, empty draft for the time of the block."""
        path = self._folder / secrets.token_hex(16)
        file = await self._run(self._create, path)
        try:
            yield Draft(path, file, self._run)
        finally:
            # Not in a thread: it takes microseconds, and must happen when the block was cancelled, too.
            path.unlink(missing_ok=True)
            with suppress(OSError):  # of a full disk: it tries once more to write what has been told as not written
                file.close()

    async def remove_drafts(self, before: datetime) -> int:
        """See `Blobs.remove_drafts`."""
        return await self._run(self._remove, before.timestamp())

    def _create(self, path: Path) -> BinaryIO:
        for folder in (self._folder.parent, self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb", PART)

    def _remove(self, before: float) -> int:
        if not self._folder.is_dir():
            return 0
        left = [path for path in self._folder.iterdir() if changed(path) < before]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)


def changed(path: Path) -> float:
    """When it was written, in seconds since 1970; infinity for one that is gone meanwhile."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return float("inf")
