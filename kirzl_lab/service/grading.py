"""Grading on a laptop: the loop that a cluster has in its controller runs in the lab service."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from kirzl_lab.courses.gradebook import Gradebooks
from kirzl_lab.grading.on_laptop import OnLaptop
from kirzl_lab.grading.outcomes import Limits
from kirzl_lab.grading.tools import Tools
from kirzl_lab.grading.work import Work
from kirzl_lab.service.state import ServiceState
from kirzl_lab.store import archives
from kirzl_lab.store.folders import Folders

PAUSE_S = 0.5
IDLE_S = 1.0
"""Between two looks, while there is something to do and while there is not."""


def tools_of(state: ServiceState) -> Tools:
    """What grading needs, of this process."""
    folders = Folders(state.store, state.blobs, state.clock, archives.LIMITS)
    return Tools(
        store=state.store,
        keep=folders.keep,
        fetch=folders.fetch,
        gradebook=partial(_gradebook, state.gradebooks),
        folder=Path(state.settings.data) / "grading",
        clock=state.clock,
    )


@asynccontextmanager
async def grading(state: ServiceState) -> AsyncIterator[Callable[[], Awaitable[float]]]:
    """One look, which tells how long to wait for the next; what it began ends with the block."""
    tools, at_once = tools_of(state), os.cpu_count() or 1
    await asyncio.to_thread(shutil.rmtree, tools.folder, ignore_errors=True)  # what a killed service left
    work = Work(tools, OnLaptop(tools, at_once, Limits()), at_once)

    async def look() -> float:
        return PAUSE_S if await work.look() else IDLE_S

    try:
        yield look
    finally:
        await work.close()


async def _gradebook(books: Gradebooks, course: str) -> str:
    await asyncio.to_thread(books.prepare, course)
    return books.lab_url(course)
