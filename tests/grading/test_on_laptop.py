"""The executor of a laptop lab: what it does with a folder that nobody can pack."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from kirzl_lab.grading import laptop
from kirzl_lab.grading.on_laptop import OnLaptop
from kirzl_lab.grading.outcomes import Limits
from kirzl_lab.grading.tasks import State
from kirzl_lab.grading.tools import Tools
from kirzl_lab.store import archives
from tests.grading.test_runs import SHA, Class, course

__all__ = ["course"]


async def test_files_that_nobody_can_pack_are_the_submissions_fault(
    course: Class, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (task,) = await course.tasks(run := await course.begin(["student1"]))
    assert await course.move(task, State.QUEUED, State.PREPARED, prepared_sha256=SHA)

    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "a\nb").touch()

    async def execute(prepared: Path, executed: Path, limits: Limits) -> laptop.Outcome:
        shutil.copytree(odd, executed)
        return laptop.Outcome(None, "ran")

    async def keep(folder: Path) -> Any:
        return archives.pack(folder, tmp_path / "packed").sha256

    monkeypatch.setattr(laptop, "execute", execute)
    tools = Tools(
        store=course.store,
        keep=keep,
        fetch=AsyncMock(),
        gradebook=AsyncMock(),
        folder=tmp_path / "tasks",
        clock=lambda: datetime(2026, 11, 24, 9, tzinfo=UTC),
    )
    executor = OnLaptop(tools, 1, Limits())
    await executor.look(await course.tasks(run))
    (running,) = executor._running.values()
    await running
    (ended,) = await course.tasks(run)
    assert (ended.state, ended.reason) == (State.FAILED, "output")
    assert ended.log.startswith("ran\n")
