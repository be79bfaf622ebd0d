"""Uploads under way in this process: how many there may be, and what looks at them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from kirzl_lab.problems import ArchiveNotAccepted, Phrase, TooManyUploads, UploadsFull
from kirzl_lab.store.archives import ArchiveRefused, Limits, Manifest, inspect

AT_ONCE = 400
"""Uploads of one process: each has a connection and a file open, of which a process usually may have 1,024."""
EACH = 4
"""Uploads of one person at the same moment."""
TURNS = 8
"""Uploads that are taken in at the same moment. Others wait in line: together they all would take as long as the last."""
TURN_S = 2.0
"""How long an upload keeps others waiting: one that takes longer goes on beside those whose turn it is then."""
LOOKED_AT = 2
"""Archives that are looked at in the same moment: it takes a processor."""


class Uploads:
    """The uploads under way in this process."""

    def __init__(self) -> None:
        self._under_way: Counter[int] = Counter()
        self._turns = asyncio.Semaphore(TURNS)
        self._looking = asyncio.Semaphore(LOOKED_AT)

    @contextmanager
    def one_of(self, person_id: int) -> Iterator[None]:
        """Count an upload of that person for the time of the block. Raises `TooManyUploads` and `UploadsFull`."""
        if self._under_way[person_id] >= EACH:
            raise TooManyUploads(limit=EACH)
        if self._under_way.total() >= AT_ONCE:
            raise UploadsFull()
        self._under_way[person_id] += 1
        try:
            yield
        finally:
            self._under_way[person_id] -= 1
            self._under_way += Counter()  # forgets those who have none

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait in line; it is this upload's turn for the time of the block, or for `TURN_S`."""
        await self._turns.acquire()
        with ExitStack() as ending:
            ending.callback(self._turns.release)  # once: what a stack has called back is not in it any more
            ending.callback(asyncio.get_running_loop().call_later(TURN_S, ending.close).cancel)
            yield

    async def look(self, file: Path, limits: Limits) -> Manifest:
        """What is in the archive. Raises `ArchiveNotAccepted`."""
        async with self._looking:
            try:
                return await asyncio.to_thread(inspect, file, limits)
            except ArchiveRefused as refused:
                raise ArchiveNotAccepted(reason=Phrase(refused.message, refused.fields)) from refused
