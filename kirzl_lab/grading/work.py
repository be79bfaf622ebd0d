"""Takes grading tasks from step to step, again and again, until all have come to an end; feedback as well.

A look is level-triggered: it finds in the lab database what is to be done and does what is missing. So it may be
killed at any moment: what was half done is done once more, and counts once. Prepare and finish are done here, by
`steps`; what runs student code is an `Executor`, on this machine or in a cluster.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import asdict
from itertools import chain, islice, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from kirzl_lab.grading import runs, steps
from kirzl_lab.grading.feedback_work import FeedbackWork
from kirzl_lab.grading.outcomes import Reason
from kirzl_lab.grading.records import ToGrade
from kirzl_lab.grading.tasks import State, Task, is_newest, open_tasks
from kirzl_lab.grading.tools import PASSING, Paused, Tools
from kirzl_lab.problems import GradingOvertaken, Problem
from kirzl_lab.store.archives import ArchiveRefused

LOG = logging.getLogger(__name__)


class Executor(Protocol):
    """Runs prepared submissions where there is nothing to steal."""

    async def look(self, tasks: Collection[Task]) -> None:
        """See to the tasks that are prepared or being executed; they are all that there are."""
        ...

    async def close(self) -> None:
        """End what belongs to this process."""
        ...


def next_ones(tasks: Sequence[Task], room: int) -> list[Task]:
    """Whose turn a trusted step is, at most `room` of them: courses in turn, and in each what is to be finished first."""
    of_courses: dict[str, list[Task]] = {}
    for task in sorted(tasks, key=lambda task: task.state is State.QUEUED):  # keeps the order of those that are alike
        if task.state in (State.QUEUED, State.EXECUTED):
            of_courses.setdefault(task.course, []).append(task)
    in_turn = chain.from_iterable(zip_longest(*of_courses.values()))
    return list(islice((task for task in in_turn if task is not None), max(0, room)))


class Work:
    """The loop's memory: which tasks this process is working on."""

    def __init__(self, tools: Tools, executor: Executor, at_once: int) -> None:
        """`at_once` is how many processes of trusted steps there may be at the same time."""
        self._tools = tools
        self._executor = executor
        self._at_once = at_once
        self._turn = asyncio.Semaphore(at_once)
        self._feedback = FeedbackWork(tools, self._turn, at_once)
        self._busy: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._paused = Paused[tuple[int, int]]()

    async def look(self) -> bool:
        """See to every open task and to feedback; whether there is anything to do. Waits for nothing of it."""
        async with self._tools.store.reading() as session:
            tasks = await open_tasks(session)
        for key in self._busy.keys() - {(task.id, task.attempt) for task in tasks}:
            if not self._busy[key].cancelling():
                self._busy[key].cancel()  # its run was cancelled, or another took its place
        paused = self._busy.keys() | self._paused.now()
        waiting = [task for task in tasks if (task.id, task.attempt) not in paused]
        # As many again stand in line: who has done one step begins the next before anybody looks.
        for task in next_ones(waiting, 2 * self._at_once - len(self._busy)):
            step = self._prepare if task.state is State.QUEUED else self._finish
            self._busy[task.id, task.attempt] = asyncio.create_task(self._do(step, task))
        feedback = await self._feedback.look()
        await self._executor.look([task for task in tasks if task.state in (State.PREPARED, State.EXECUTING)])
        return feedback or bool(tasks)

    async def close(self) -> None:
        """Let go of everything. What was being worked on is taken up by the next process."""
        for busy in self._busy.values():
            busy.cancel()
        await asyncio.gather(*self._busy.values(), return_exceptions=True)
        await self._feedback.close()
        await self._executor.close()

    async def _do(self, step: Callable[[Task, Path], Awaitable[None]], task: Task) -> None:
        try:
            async with self._turn:
                self._tools.folder.mkdir(parents=True, exist_ok=True)
                with TemporaryDirectory(prefix=f"task-{task.id}-", dir=self._tools.folder) as folder:
                    await step(task, Path(folder))
        except PASSING as problem:
            LOG.warning("Task %i waits: %s", task.id, problem)
            self._paused.add((task.id, task.attempt))
        except GradingOvertaken:
            LOG.info("Task %i, attempt %i: another has taken its place", task.id, task.attempt)
            # Where the attempt is still there, a later submission has been graded; nothing is to be done about this one.
            async with self._tools.store.writing() as session:
                await runs.move(session, task, State.EXECUTED, State.CANCELLED, self._tools.clock())
        except Problem as problem:
            await self._fail(task, problem.slug, f"{problem.fields.get('log', '')}\n{problem}".strip())
        except ArchiveRefused as refused:  # files that are too many or too large together, or have odd names
            await self._fail(task, Reason.OUTPUT.value, str(refused))
        except Exception:
            LOG.exception("Task %i of %s broke", task.id, task.course)
            await self._fail(task, "grading-broke", "")
        finally:
            self._busy.pop((task.id, task.attempt), None)

    async def _prepare(self, task: Task, folder: Path) -> None:
        files, prepared = folder / "files", folder / "prepared"
        await self._tools.fetch(task.submission_sha256, files)
        source = None
        if task.source_sha256 is not None:
            source = folder / "source"
            await self._tools.fetch(task.source_sha256, source)
        log = await steps.prepare(await self._to_grade(task), files, prepared, source=source)
        sha256 = await self._tools.keep(prepared)
        await self._move(task, State.QUEUED, State.PREPARED, prepared_sha256=sha256, log=log)

    async def _finish(self, task: Task, folder: Path) -> None:
        assert task.prepared_sha256 and task.executed_sha256  # noqa: S101 - the way to this state, for mypy
        prepared, executed, graded = folder / "prepared", folder / "executed", folder / "graded"
        await self._tools.fetch(task.prepared_sha256, prepared)
        await self._tools.fetch(task.executed_sha256, executed)

        async def still_wanted() -> bool:
            async with self._tools.store.reading() as session:
                return await is_newest(session, task)

        score, log = await steps.finish(
            await self._to_grade(task), prepared, executed, graded, still_wanted=still_wanted
        )
        sha256 = await self._tools.keep(graded)
        await self._move(
            task,
            State.EXECUTED,
            State.DONE,
            graded_sha256=sha256,
            result=asdict(score),
            log=f"{task.log}\n{log}".strip(),
        )

    async def _to_grade(self, task: Task) -> ToGrade:
        return ToGrade(
            course=task.course,
            assignment=task.assignment,
            student=task.student,
            submitted_at=task.submitted_at,
            gradebook=await self._tools.gradebook(task.course),
            options={"LateSubmissionPlugin.penalty_method": task.late_penalty},
        )

    async def _move(self, task: Task, frm: State, to: State, **values: Any) -> None:
        async with self._tools.store.writing() as session:
            if not await runs.move(session, task, frm, to, self._tools.clock(), **values):
                raise GradingOvertaken()

    async def _fail(self, task: Task, reason: str, log: str) -> None:
        async with self._tools.store.writing() as session:
            states = (State.QUEUED, State.EXECUTED)
            await runs.move(session, task, states, State.FAILED, self._tools.clock(), reason=reason, log=log)
