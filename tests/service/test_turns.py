"""Uploads take turns: so many at once, in the order in which they came, and nobody who is slow is in the way for long."""

import asyncio

import pytest

from kirzl_lab.service import uploads
from kirzl_lab.service.uploads import TURNS, Uploads
from tests.service.test_loops import until


class Line:
    """Uploads that wait for their turn, and keep it until they are told to end."""

    def __init__(self) -> None:
        self.uploads = Uploads()
        self.begun: list[int] = []
        self.ended = [asyncio.Event() for _ in range(4 * TURNS)]

    def come(self, number: int) -> "asyncio.Task[None]":
        return asyncio.create_task(self._upload(number))

    async def _upload(self, number: int) -> None:
        async with self.uploads.turn():
            self.begun.append(number)
            await self.ended[number].wait()


async def settled() -> None:
    """Whoever can go on has done so."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_so_many_at_once_and_the_others_in_the_order_in_which_they_came() -> None:
    line = Line()
    tasks = [line.come(number) for number in range(TURNS + 3)]
    await settled()
    assert line.begun == list(range(TURNS))
    for number in (3, 0):
        line.ended[number].set()
        await settled()
    assert line.begun == list(range(TURNS + 2))
    for event in line.ended:
        event.set()
    await asyncio.gather(*tasks)
    assert line.begun == list(range(TURNS + 3))


async def test_who_is_slow_lets_the_next_one_go_and_gives_its_turn_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line()
    monkeypatch.setattr(uploads, "TURN_S", 0.01)
    slow = [line.come(number) for number in range(TURNS)]
    await until(lambda: len(line.begun) == TURNS, "the slow ones to begin")
    monkeypatch.setattr(uploads, "TURN_S", 3600)
    others = [line.come(number) for number in range(TURNS, 3 * TURNS)]
    await until(lambda: len(line.begun) == 2 * TURNS, "the next ones to begin")
    for number in range(TURNS):
        line.ended[number].set()
    await asyncio.gather(*slow)
    await settled()
    assert line.begun == list(range(2 * TURNS)), "the slow ones had given their turns back before"
    for event in line.ended:
        event.set()
    await asyncio.gather(*others)


async def test_who_leaves_the_line_takes_no_turn_with_them() -> None:
    line = Line()
    tasks = [line.come(number) for number in range(TURNS)]
    await settled()
    waiting = line.come(TURNS)
    await settled()
    waiting.cancel()
    tasks[0].cancel()
    tasks.append(line.come(TURNS + 1))
    await settled()
    assert line.begun == [*range(TURNS), TURNS + 1]
    for event in line.ended:
        event.set()
    await asyncio.gather(*tasks, return_exceptions=True)
