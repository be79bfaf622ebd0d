"""What a start does, told as it does it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from enum import StrEnum
from typing import Any


class Telling:
    """The steps of one server's start, for everybody who listens; each step is told once."""

    def __init__(self, percent: Mapping[Any, int]) -> None:
        self._percent = percent
        self._steps: tuple[StrEnum, ...] = ()
        self._told_all = False
        self._changed = asyncio.Event()

    def begin(self) -> None:
        """A start begins: forget the one before."""
        self._steps, self._told_all = (), False

    def tell(self, step: StrEnum) -> None:
        """The start has come to this step."""
        if step not in self._steps:
            self._steps = (*self._steps, step)
            self._wake()

    def has_told(self, step: StrEnum) -> bool:
        """Whether the start has come to this step."""
        return step in self._steps

    def end(self) -> None:
        """The start is over, well or not: listeners are let go."""
        self._told_all = True
        self._wake()

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """JupyterHub's progress messages, from the first step on, until the start is over."""
        told = 0
        while True:
            changed = self._changed
            for step in self._steps[told:]:
                told += 1  # not len(): a step may come while this one is being sent
                yield {"progress": self._percent[step], "message": step.value}
            if self._told_all:
                return
            await changed.wait()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
