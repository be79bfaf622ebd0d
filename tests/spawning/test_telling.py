"""Steps of a start: each told once, to everybody who listens, in their order."""

import asyncio
from enum import StrEnum

from kirzl_lab.spawning.telling import Telling


class Step(StrEnum):
    FIRST = "first"
    SECOND = "second"


async def heard(telling: Telling) -> list[tuple[int, str]]:
    return [(message["progress"], message["message"]) async for message in telling.messages()]


async def test_everybody_hears_every_step_once() -> None:
    telling = Telling({Step.FIRST: 10, Step.SECOND: 20})
    telling.begin()
    early = asyncio.create_task(heard(telling))
    await asyncio.sleep(0)
    for step in (Step.FIRST, Step.FIRST, Step.SECOND, Step.FIRST):
        telling.tell(step)
    late = asyncio.create_task(heard(telling))
    await asyncio.sleep(0)
    telling.end()
    assert await early == await late == [(10, "first"), (20, "second")]
    assert telling.has_told(Step.SECOND)


async def test_another_start_begins_anew() -> None:
    telling = Telling({Step.FIRST: 10, Step.SECOND: 20})
    telling.tell(Step.FIRST)
    telling.end()
    telling.begin()
    assert not telling.has_told(Step.FIRST)
    telling.tell(Step.SECOND)
    telling.end()
    assert await heard(telling) == [(20, "second")]
