"""Runs prepared submissions as processes of this machine: as whoever runs the lab, within limits, behind no wall."""

import asyncio
import logging
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

from kirzl_lab.grading import laptop, runs
from kirzl_lab.grading.outcomes import Limits, Reason
from kirzl_lab.grading.tasks import State, Task
from kirzl_lab.grading.tools import PASSING, Tools
from kirzl_lab.store.archives import ArchiveRefused

LOG = logging.getLogger(__name__)


class OnLaptop:
    """An `Executor`. An attempt that no process of this lab runs any more is given up, and the next one begins."""

    def __init__(self, tools: Tools, at_once: int, limits: Limits) -> None:
        self._tools = tools
        self._at_once = at_once
        self._limits = limits
        self._running: dict[tuple[int, int], asyncio.Task[None]] = {}

    async def look(self, tasks: Collection[Task]) -> None:
        """End what is not wanted any more, take up what was left by another process, and begin what is next."""
        wanted = {(task.id, task.attempt) for task in tasks}
        for key in self._running.keys() - wanted:
            self._running[key].cancel()
        for task in tasks:
            if task.state is State.EXECUTING and (task.id, task.attempt) not in self._running:
                async with self._tools.store.writing() as session:
                    await runs.again(session, task, self._tools.clock())
        for task in tasks:
            key = (task.id, task.attempt)
            if task.state is State.PREPARED and key not in self._running and len(self._running) < self._at_once:
                self._running[key] = asyncio.create_task(self._run(task))

    async def close(self) -> None:
        """End everything that runs."""
        for running in self._running.values():
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _run(self, task: Task) -> None:
        try:
            async with self._tools.store.writing() as session:
                if not await runs.move(session, task, State.PREPARED, State.EXECUTING, self._tools.clock()):
                    return
            self._tools.folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=f"run-{task.id}-", dir=self._tools.folder) as folder:
                await self._execute(task, Path(folder))
        except PASSING as problem:
            LOG.warning("Task %i is run again: %s", task.id, problem)
        except Exception:
            LOG.exception("Task %i of %s could not be run", task.id, task.course)
            async with self._tools.store.writing() as session:
                now = self._tools.clock()
                await runs.move(session, task, State.EXECUTING, State.FAILED, now, reason="grading-broke")
        finally:
            self._running.pop((task.id, task.attempt), None)

    async def _execute(self, task: Task, folder: Path) -> None:
        assert task.prepared_sha256  # noqa: S101 - the way to this state, for mypy
        prepared, executed = folder / "prepared", folder / "executed"
        await self._tools.fetch(task.prepared_sha256, prepared)
        outcome = await laptop.execute(prepared, executed, self._limits)
        reason, log = outcome.reason, f"{task.log}\n{outcome.log}".strip()
        sha256 = None
        if reason is None:
            try:
                sha256 = await self._tools.keep(executed)
            except ArchiveRefused as refused:
                reason, log = Reason.OUTPUT, f"{log}\n{refused}".strip()
        to = State.EXECUTED if reason is None else State.FAILED
        brought = {"executed_sha256": sha256, "reason": reason.value if reason else None}
        async with self._tools.store.writing() as session:
            await runs.move(session, task, State.EXECUTING, to, self._tools.clock(), log=log, **brought)
