"""Makes the feedback that was asked for and releases it, a few at a time, so that grading goes on beside it."""

import asyncio
import logging
from pathlib import Path
from tempfile import TemporaryDirectory

from kirzl_lab.grading import releases, steps
from kirzl_lab.grading.records import ToGrade
from kirzl_lab.grading.releases import Wish
from kirzl_lab.grading.tools import PASSING, Paused, Tools
from kirzl_lab.problems import GradingBroke, GradingOvertaken, Problem

LOG = logging.getLogger(__name__)


class FeedbackWork:
    """The memory of a loop: which wishes this process is working on. It may be killed at any moment."""

    def __init__(self, tools: Tools, turn: asyncio.Semaphore, at_once: int) -> None:
        """`turn` is shared with others that use this machine, `at_once` is how many wishes are begun at a time."""
        self._tools = tools
        self._turn = turn
        self._at_once = at_once
        self._busy: dict[Wish, asyncio.Task[None]] = {}
        self._paused = Paused[int]()
        """Submissions."""

    async def look(self) -> bool:
        """See to the oldest wishes; whether there is any. Waits for none of them."""
        async with self._tools.store.reading() as session:
            besides = {wish.submission_id for wish in self._busy} | self._paused.now()
            found = await releases.wishes(session, self._at_once - len(self._busy), besides=besides)
        for wish in found:
            self._busy[wish] = asyncio.create_task(self._do(wish))
        return bool(besides or found)

    async def close(self) -> None:
        """Let go of everything. What was being worked on is taken up by the next process."""
        for busy in self._busy.values():
            busy.cancel()
        await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def _do(self, wish: Wish) -> None:
        try:
            async with self._turn:
                self._tools.folder.mkdir(parents=True, exist_ok=True)
                with TemporaryDirectory(prefix=f"feedback-{wish.submission_id}-", dir=self._tools.folder) as folder:
                    await self._make(wish, Path(folder))
        except PASSING as problem:
            LOG.warning("Feedback on submission %i waits: %s", wish.submission_id, problem)
            self._paused.add(wish.submission_id)
        except GradingOvertaken:
            LOG.info("Feedback on submission %i is not wanted any more", wish.submission_id)
        except Problem as problem:
            LOG.warning("No feedback on submission %i: %s\n%s", wish.submission_id, problem, problem.fields.get("log"))
            await self._give_up(wish, problem.slug)
        except Exception:
            LOG.exception("Feedback on submission %i of %s broke", wish.submission_id, wish.course)
            await self._give_up(wish, GradingBroke.slug)
        finally:
            self._busy.pop(wish, None)

    async def _make(self, wish: Wish, folder: Path) -> None:
        graded, pages = folder / "graded", folder / "pages"
        await self._tools.fetch(wish.graded_sha256, graded)
        of = ToGrade(
            course=wish.course,
            assignment=wish.assignment,
            student=wish.student,
            submitted_at=wish.submitted_at,
            gradebook=await self._tools.gradebook(wish.course),
        )

        async def still_wanted() -> bool:
            async with self._tools.store.reading() as session:
                return await releases.is_wanted(session, wish)

        await steps.feedback(of, graded, pages, still_wanted=still_wanted)
        sha256 = await self._tools.keep(pages)
        async with self._tools.store.writing() as session:
            if not await releases.meet(session, wish, sha256, self._tools.clock()):
                raise GradingOvertaken

    async def _give_up(self, wish: Wish, slug: str) -> None:
        async with self._tools.store.writing() as session:
            await releases.give_up(session, wish, slug)
