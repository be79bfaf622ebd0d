"""Servers without a right: since when, why, and what stays of their end."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from kirzl_lab.catalog.models import Course
from kirzl_lab.store.apply import apply
from kirzl_lab.store.database import Store
from kirzl_lab.store.lost import BLOCK_GRACE, Loss, Reason, ends, losses, write_end
from kirzl_lab.store.people import block
from kirzl_lab.store.tables import AuditEntry, ServerBinding, Space
from tests.store.conftest import ISSUERS, NOW, bind, catalogue, course, log_in

ROW = ("a", "nr", "1", "student")
OTHER_ROW = ("a", "email", "member1@a.example", "student")
LATER = NOW + timedelta(hours=1)
LATEST = NOW + timedelta(hours=2)


@pytest.fixture
async def member1(any_store: Store) -> int:
    """A member of the course ml, by two rows, with a server there; and somebody else, who must not matter."""
    await wanted(any_store, NOW, course("ml", ROW, OTHER_ROW, ("a", "nr", "2", "student")))
    for name, values in (("member2", ["2"]), ("member1", ["1", "member1@a.example"])):
        person = await log_in(any_store, name, "a", ISSUERS["a"])
        for value in values:
            await bind(any_store, person, value)
        async with any_store.writing() as session:
            space = (await session.scalars(select(Space))).one()
            session.add(
                ServerBinding(
                    person_id=person,
                    server_name="server",
                    space_id=space.id,
                    purpose="work",
                    created_at=NOW,
                    last_start_at=NOW,
                )
            )
    return person


async def wanted(store: Store, at: Any, *courses: Course) -> None:
    await apply(store, catalogue(*courses), ISSUERS, now=at)


async def lost(store: Store, *names: str) -> list[tuple[str, str, Reason, Any]]:
    async with store.reading() as session:
        found = await losses(session, names or ("member1", "member2"))
    return [(loss.hub_name, loss.space, loss.reason, loss.at) for loss in found]


MEMBER2 = ("a", "nr", "2", "student")


async def test_a_member_has_lost_nothing(any_store: Store, member1: int) -> None:
    assert await lost(any_store) == []


async def test_one_row_of_two_is_enough(any_store: Store, member1: int) -> None:
    await wanted(any_store, LATER, course("ml", ROW, MEMBER2))
    assert await lost(any_store) == []


async def test_who_is_removed_has_lost_it_when_the_last_row_went(any_store: Store, member1: int) -> None:
    await wanted(any_store, LATER, course("ml", ROW, MEMBER2))
    await wanted(any_store, LATEST, course("ml", MEMBER2))
    assert await lost(any_store) == [("member1", "ml", Reason.LEFT, LATEST)]
    await wanted(any_store, LATEST + timedelta(hours=1), course("ml", MEMBER2))
    assert await lost(any_store) == [("member1", "ml", Reason.LEFT, LATEST)], "applied again, the moment stays"


async def test_who_comes_back_has_lost_nothing(any_store: Store, member1: int) -> None:
    await wanted(any_store, LATER, course("ml", MEMBER2))
    await wanted(any_store, LATEST, course("ml", ROW, MEMBER2))
    assert await lost(any_store) == []


async def test_an_archived_space_is_lost_for_all(any_store: Store, member1: int) -> None:
    await wanted(any_store, LATER)
    assert await lost(any_store) == [(name, "ml", Reason.ARCHIVED, LATER) for name in ("member1", "member2")]
    await wanted(any_store, LATEST, course("ml", MEMBER2))
    assert await lost(any_store) == [("member1", "ml", Reason.LEFT, LATEST)]


async def test_what_happened_first_counts_and_a_block_before_all(any_store: Store, member1: int) -> None:
    await wanted(any_store, LATER, course("ml", MEMBER2))
    await wanted(any_store, LATEST)
    assert (await lost(any_store, "member1"))[0][2:] == (Reason.LEFT, LATER)
    async with any_store.writing() as session:
        await block(session, "member1", "op", LATEST)
    assert (await lost(any_store, "member1"))[0][2:] == (Reason.BLOCKED, LATEST)


async def test_a_server_of_somebody_who_never_was_a_member_was_never_right(any_store: Store, member1: int) -> None:
    async with any_store.writing() as session:
        session.add(Space(name="other", kind="course", title_de="x", title_en="x", spec={}, created_at=NOW))
        await session.flush()
        space = (await session.scalars(select(Space.id).where(Space.name == "other"))).one()
        await session.execute(update(ServerBinding).where(ServerBinding.person_id == member1).values(space_id=space))
    assert await lost(any_store) == [("member1", "other", Reason.LEFT, NOW)]


async def runs_a_staff_server(store: Store, person: int, *, staff: bool | None = True) -> None:
    async with store.writing() as session:
        await session.execute(update(ServerBinding).where(ServerBinding.person_id == person).values(staff=staff))


ASSISTANT, INSTRUCTOR = (("a", "nr", "1", role) for role in ("assistant", "instructor"))


async def test_who_runs_the_space_no_more_has_lost_the_server_with_its_files(any_store: Store, member1: int) -> None:
    await wanted(any_store, NOW, course("ml", INSTRUCTOR, MEMBER2))
    await runs_a_staff_server(any_store, member1)
    await wanted(any_store, LATER, course("ml", ASSISTANT, MEMBER2))
    assert await lost(any_store) == [], "another role that runs it"
    await wanted(any_store, LATEST, course("ml", ROW, MEMBER2))
    assert await lost(any_store) == [("member1", "ml", Reason.DEMOTED, LATEST)]
    await wanted(any_store, LATEST + timedelta(hours=1), course("ml", (*ROW, "Mon 10:00"), MEMBER2))
    assert await lost(any_store) == [("member1", "ml", Reason.DEMOTED, LATEST)], "another section moves nothing"
    await wanted(any_store, LATEST + timedelta(hours=2), course("ml", ASSISTANT, MEMBER2))
    assert await lost(any_store) == []


@pytest.mark.parametrize("staff", [False, None])
async def test_a_server_started_as_a_student_stays_when_the_role_goes(
    any_store: Store, member1: int, staff: bool | None
) -> None:
    await wanted(any_store, NOW, course("ml", INSTRUCTOR, MEMBER2))
    await runs_a_staff_server(any_store, member1, staff=staff)
    await wanted(any_store, LATER, course("ml", ROW, MEMBER2))
    assert await lost(any_store) == []


async def test_who_keeps_a_student_row_is_demoted_when_the_other_row_goes(any_store: Store, member1: int) -> None:
    await wanted(any_store, NOW, course("ml", INSTRUCTOR, OTHER_ROW, MEMBER2))
    await runs_a_staff_server(any_store, member1)
    await wanted(any_store, LATER, course("ml", OTHER_ROW, MEMBER2))
    assert await lost(any_store) == [("member1", "ml", Reason.DEMOTED, LATER)]


async def test_another_row_that_goes_later_gives_no_new_grace(any_store: Store, member1: int) -> None:
    await wanted(any_store, NOW, course("ml", INSTRUCTOR, OTHER_ROW, MEMBER2))
    await runs_a_staff_server(any_store, member1)
    await wanted(any_store, LATER, course("ml", ROW, OTHER_ROW, MEMBER2))
    await wanted(any_store, LATEST, course("ml", ROW, MEMBER2))
    assert await lost(any_store) == [("member1", "ml", Reason.DEMOTED, LATER)]


async def test_who_comes_back_as_a_student_is_demoted_since_then(any_store: Store, member1: int) -> None:
    await wanted(any_store, NOW, course("ml", INSTRUCTOR, MEMBER2))
    await runs_a_staff_server(any_store, member1)
    await wanted(any_store, LATER, course("ml", MEMBER2))
    await wanted(any_store, LATEST, course("ml", ROW, MEMBER2))
    assert await lost(any_store) == [("member1", "ml", Reason.DEMOTED, LATEST)]


async def test_an_end_of_the_space_and_a_block_count_before_the_role(any_store: Store, member1: int) -> None:
    await wanted(any_store, NOW, course("ml", INSTRUCTOR, MEMBER2))
    await runs_a_staff_server(any_store, member1)
    await wanted(any_store, LATER, course("ml", ROW, MEMBER2))
    await wanted(any_store, LATEST)
    assert (await lost(any_store, "member1"))[0][2:] == (Reason.ARCHIVED, LATEST)
    async with any_store.writing() as session:
        await block(session, "member1", "op", LATEST)
    assert (await lost(any_store, "member1"))[0][2:] == (Reason.BLOCKED, LATEST)


async def test_names_that_nobody_can_have(any_store: Store, member1: int) -> None:
    assert await lost(any_store, "an\x00na", "\ud800", "") == []


def test_the_grace_is_the_labs_and_a_block_has_none() -> None:
    loss = Loss("member1", "server", "work", "ml", "course", None, Reason.LEFT, NOW, 1, 1)  # type: ignore[arg-type]
    assert loss.ends_at(10) == NOW + timedelta(minutes=10)
    blocked = Loss("member1", "server", "work", "ml", "course", None, Reason.BLOCKED, NOW, 1, 1)  # type: ignore[arg-type]
    assert blocked.ends_at(1440) == NOW + BLOCK_GRACE


async def test_an_end_is_written_down_once_for_each_loss(any_store: Store, member1: int) -> None:
    await wanted(any_store, LATER, course("ml", MEMBER2))
    for minutes in (10, 11):
        async with any_store.writing() as session:
            (loss,) = await losses(session, ["member1"])
            await write_end(session, loss, LATER + timedelta(minutes=minutes))
    await wanted(any_store, LATEST, course("ml", ROW, MEMBER2))
    await wanted(any_store, LATEST + timedelta(hours=1), course("ml", MEMBER2))
    async with any_store.writing() as session:
        (loss,) = await losses(session, ["member1"])
        await write_end(session, loss, LATEST + timedelta(hours=2))
    async with any_store.reading() as session:
        entries = (await session.scalars(select(AuditEntry).where(AuditEntry.actor == "lab"))).all()
        assert [(entry.at, entry.action, entry.person_id, entry.detail) for entry in entries] == [
            (at, "server-stopped", member1, {"server": "server", "reason": "left"})
            for at in (LATER + timedelta(minutes=10), LATEST + timedelta(hours=2))
        ]
        assert [end.at for end in await ends(session, member1, LATEST)] == [LATEST + timedelta(hours=2)]
