"""What My spaces knows of a space that somebody has lost."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from kirzl_lab.hub.lost import TOLD_FOR, Lost, lost_by
from kirzl_lab.store.apply import apply
from kirzl_lab.store.database import Store
from kirzl_lab.store.lost import Reason, losses, write_end
from kirzl_lab.store.tables import ServerBinding, Space
from tests.store.conftest import ISSUERS, NOW, bind, catalogue, course, log_in

ROW = ("a", "nr", "1", "student")
LATER = NOW + timedelta(hours=1)
GRACE = 10


@pytest.fixture
async def member1(store: Store) -> int:
    """A member of the course ml, with a server there."""
    await apply(store, catalogue(course("ml", ROW)), ISSUERS, now=NOW)
    person = await log_in(store, "member1", "a", ISSUERS["a"])
    await bind(store, person, "1")
    async with store.writing() as session:
        space = (await session.scalars(select(Space.id))).one()
        session.add(ServerBinding(person_id=person, server_name="s", space_id=space, purpose="work", created_at=NOW))
    return person


async def looked_at(store: Store, person: int, now: datetime) -> list[Lost]:
    async with store.reading() as session:
        return list(await lost_by(session, "member1", person, now, GRACE))


async def end(store: Store, at: datetime) -> None:
    async with store.writing() as session:
        for loss in await losses(session, ["member1"]):
            await write_end(session, loss, at)


async def test_a_member_is_told_nothing(store: Store, member1: int) -> None:
    assert await looked_at(store, member1, LATER) == []


async def test_until_when_a_server_goes_on(store: Store, member1: int) -> None:
    await apply(store, catalogue(), ISSUERS, now=LATER)
    (lost,) = await looked_at(store, member1, LATER)
    assert (lost.loss.reason, lost.loss.title.en, lost.loss.kind) == (Reason.ARCHIVED, "ml", "course")
    assert (lost.ends_at, lost.ended_at) == (LATER + timedelta(minutes=GRACE), None)


async def test_an_end_is_told_for_a_week(store: Store, member1: int) -> None:
    await apply(store, catalogue(course("ml")), ISSUERS, now=LATER)
    ended = LATER + timedelta(minutes=GRACE)
    await end(store, ended)
    assert [lost.ended_at for lost in await looked_at(store, member1, ended + TOLD_FOR)] == [ended]
    after = ended + TOLD_FOR + timedelta(seconds=1)
    assert [lost.ended_at for lost in await looked_at(store, member1, after)] == [None]


async def test_the_end_of_an_earlier_loss_is_no_news(store: Store, member1: int) -> None:
    await apply(store, catalogue(course("ml")), ISSUERS, now=LATER)
    await end(store, LATER + timedelta(minutes=GRACE))
    await apply(store, catalogue(course("ml", ROW)), ISSUERS, now=LATER + timedelta(hours=1))
    again = LATER + timedelta(hours=2)
    await apply(store, catalogue(course("ml")), ISSUERS, now=again)
    assert [lost.ended_at for lost in await looked_at(store, member1, again)] == [None]
