"""Archives that come in: streamed to a draft, looked at, kept. No database session is open meanwhile.

Guarantees: memory is bounded by the uploads at once, each with a small buffer, whatever comes; an upload that stands
still or drips ends; one that breaks off, is too large or is refused leaves nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from kirzl_lab.courses.exchange import MIB, Received
from kirzl_lab.problems import NotAnArchive, UploadBroken, UploadTooLarge, UploadTooSlow
from kirzl_lab.service.access import admit, viewer_of
from kirzl_lab.service.state import state_of
from kirzl_lab.store.archives import Limits
from kirzl_lab.store.blobs import Draft

IDLE_S = 30.0
"""How long an upload may stand still."""
WHOLE_S = 900.0
"""How long an upload may take: 100 MiB at a megabit a second."""
DECIDED_FOR_S = 5.0
"""How long it counts that somebody may do this: after a slower upload it is decided anew."""


@asynccontextmanager
async def receive(request: Request, limits: Limits) -> AsyncIterator[Received]:
    """The archive in the body, kept; its row is to be written within the block.

    Raises `NotAnArchive`, `UploadTooLarge`, `UploadBroken`, `UploadTooSlow`, `ArchiveNotAccepted`, `TooManyUploads`,
    `UploadsFull`, `StorageFull` and `StorageAway`; after a slow upload also what stands against the request by then.
    """
    began = asyncio.get_running_loop().time()
    async with _receive(request, limits, viewer_of(request).person_id) as received:
        if asyncio.get_running_loop().time() - began > DECIDED_FOR_S:
            await admit(request, Response())  # who lost the right in the meantime has sent nothing
        yield received


@asynccontextmanager
async def receive_for_task(request: Request, limits: Limits, task_id: int) -> AsyncIterator[Received]:
    """The same for what a grader reports, which is no person's upload."""
    async with _receive(request, limits, -task_id) as received:
        yield received


@asynccontextmanager
async def _receive(request: Request, limits: Limits, whose: int) -> AsyncIterator[Received]:
    state = state_of(request)
    check_head(request, limits)
    with state.uploads.one_of(whose):
        async with state.uploads.turn(), state.blobs.draft() as draft:
            await _take(request, draft, limits.packed)
            at = state.clock()
            blob = await draft.finish()
            manifest = await state.uploads.look(draft.path, limits)
            await state.blobs.keep(draft)
            yield Received(draft, blob, manifest, at)


def check_head(request: Request, limits: Limits) -> None:
    """Refuse by its headers what need not be read. Raises `NotAnArchive` and `UploadTooLarge`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/gzip", "application/x-gzip", "application/octet-stream"):
        raise NotAnArchive()
    told = request.headers.get("content-length", "")
    if told.isascii() and told.isdigit() and int(told[:20]) > limits.packed:
        raise UploadTooLarge(limit=limits.packed // MIB)


async def _take(request: Request, draft: Draft, limit: int) -> None:
    try:
        async with asyncio.timeout(WHOLE_S):
            stream = aiter(request.stream())
            while True:
                async with asyncio.timeout(IDLE_S):
                    part = await anext(stream, None)
                if part is None:
                    return
                if draft.size + len(part) > limit:
                    raise UploadTooLarge(limit=limit // MIB)
                await draft.write(part)
    except TimeoutError as error:
        raise UploadTooSlow() from error
    except ClientDisconnect as error:
        raise UploadBroken() from error
