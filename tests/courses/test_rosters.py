"""Rosters: previewed, changed as a whole, bound at once."""

import asyncio
from collections.abc import Mapping

import pytest
from sqlalchemy import func, select

from kirzl_lab.catalog.models import Role
from kirzl_lab.courses import rosters
from kirzl_lab.federation.roster import bind_space
from kirzl_lab.problems import LastInstructor, RosterChanged, UnknownRosterRow
from kirzl_lab.store.apply import apply
from kirzl_lab.store.database import Store
from kirzl_lab.store.difference import Change, Place, Promise
from kirzl_lab.store.members import member_of_course
from kirzl_lab.store.tables import AuditEntry, Membership, RosterEntry, Space
from tests.courses.conftest import BLOCKED, LECTURER, NOW, STUDENT, log_in, person

LECTURER_ROW: Promise = ("uni", "email", "lecturer@uni.example")
STUDENT_ROW: Promise = ("uni", "matriculation_number", "1000001")
NEWCOMER_ROW: Promise = ("uas", "email", "newcomer@uas.example")


async def space_of(lab: Store, name: str = "stat-1") -> Space:
    async with lab.reading() as session:
        return (await session.scalars(select(Space).where(Space.name == name))).one()


async def put(lab: Store, wanted: Mapping[Promise, Place]) -> tuple[Change, ...]:
    space = await space_of(lab)
    async with lab.writing() as session:
        return await rosters.set_rows(session, space, wanted, actor=LECTURER, now=NOW, bind=bind_space)


async def remove(lab: Store, *promises: Promise) -> None:
    space = await space_of(lab)
    async with lab.writing() as session:
        roster = await rosters.roster_of(session, space)
        ids = [row.id for row in roster.rows if row.promise in promises]
        await rosters.remove_rows(session, space, ids, actor=LECTURER, now=NOW, bind=bind_space)


async def role_of(lab: Store, hub_name: str) -> Role | None:
    known = await person(lab, hub_name)
    async with lab.reading() as session:
        member = await member_of_course(session, known.id, "stat-1")
    return member.role if member else None


async def promises(lab: Store) -> dict[Promise, Place]:
    async with lab.reading() as session:
        return (await rosters.roster_of(session, await space_of(lab))).promises


async def test_somebody_who_has_logged_in_before_is_a_member_at_once(lab: Store) -> None:
    assert await role_of(lab, STUDENT) is None
    changes = await put(lab, {STUDENT_ROW: ("student", "A"), NEWCOMER_ROW: ("student", "")})
    assert [change.action.value for change in changes] == ["roster-added", "roster-added"]
    assert await role_of(lab, STUDENT) is Role.STUDENT
    async with lab.reading() as session:
        waiting = await session.scalars(select(RosterEntry.value).where(RosterEntry.bound_person_id.is_(None)))
        assert list(waiting) == ["newcomer@uas.example"]
        actors = await session.scalars(select(AuditEntry.actor).where(AuditEntry.action == "roster-added"))
        assert set(actors) == {LECTURER}


async def test_no_row_binds_for_somebody_blocked_nor_to_two(lab: Store) -> None:
    await log_in(lab, "student-again", "uni", matriculation_number="1000001")
    await put(lab, {("uas", "email", "blocked@uas.example"): ("student", ""), STUDENT_ROW: ("student", "")})
    assert await role_of(lab, BLOCKED) is None
    assert (await role_of(lab, STUDENT), await role_of(lab, "student-again")) == (Role.STUDENT, None)
    async with lab.reading() as session:
        conflicts = await session.scalars(select(AuditEntry.actor).where(AuditEntry.action == "roster-conflict"))
        assert list(conflicts) == ["student-again"]


async def test_another_role_counts_at_once(lab: Store) -> None:
    await put(lab, {STUDENT_ROW: ("student", "")})
    await put(lab, {STUDENT_ROW: ("assistant", "A")})
    assert await role_of(lab, STUDENT) is Role.ASSISTANT


async def test_whoever_is_removed_has_no_place_and_the_same_one_when_they_come_back(lab: Store) -> None:
    await put(lab, {STUDENT_ROW: ("student", "A")})
    await remove(lab, STUDENT_ROW)
    assert await role_of(lab, STUDENT) is None
    async with lab.reading() as session:
        row = (await session.scalars(select(RosterEntry).where(RosterEntry.value == STUDENT_ROW[2]))).one()
    assert (row.removed_at, row.bound_person_id) == (NOW, (await person(lab, STUDENT)).id)
    await put(lab, {STUDENT_ROW: ("student", "A")})
    assert await role_of(lab, STUDENT) is Role.STUDENT


async def test_the_last_instructor_stays(lab: Store) -> None:
    await put(lab, {NEWCOMER_ROW: ("instructor", "")})  # has not logged in: could look after nothing
    with pytest.raises(LastInstructor):
        await remove(lab, LECTURER_ROW)
    with pytest.raises(LastInstructor):
        await put(lab, {LECTURER_ROW: ("student", "")})
    assert await role_of(lab, LECTURER) is Role.INSTRUCTOR
    await put(lab, {STUDENT_ROW: ("instructor", "")})
    await remove(lab, LECTURER_ROW)
    assert await role_of(lab, LECTURER) is None


async def test_an_upload_adds_and_changes_or_is_the_whole_roster(lab: Store) -> None:
    await put(lab, {STUDENT_ROW: ("student", ""), NEWCOMER_ROW: ("assistant", "")})
    space = await space_of(lab)
    wanted: dict[Promise, Place] = {STUDENT_ROW: ("student", "B")}
    for complete, left in (False, {LECTURER_ROW, STUDENT_ROW, NEWCOMER_ROW}), (True, {LECTURER_ROW, STUDENT_ROW}):
        async with lab.writing() as session:
            roster = await rosters.roster_of(session, space)
            await rosters.upload(
                session, space, wanted, complete=complete, mark=roster.mark, actor=LECTURER, now=NOW, bind=bind_space
            )
        assert set(await promises(lab)) == left
    assert (await promises(lab))[STUDENT_ROW] == ("student", "B")


async def test_a_preview_that_is_out_of_date_is_refused_and_changes_nothing(lab: Store) -> None:
    space = await space_of(lab)
    async with lab.reading() as session:
        mark = (await rosters.roster_of(session, space)).mark
    await put(lab, {STUDENT_ROW: ("student", "")})
    with pytest.raises(RosterChanged):
        async with lab.writing() as session:
            await rosters.upload(
                session, space, {NEWCOMER_ROW: ("student", "")}, complete=True, mark=mark, actor=LECTURER, now=NOW, bind=bind_space
            )  # fmt: skip
    assert set(await promises(lab)) == {LECTURER_ROW, STUDENT_ROW}


async def test_a_login_does_not_make_a_preview_out_of_date(lab: Store) -> None:
    await put(lab, {NEWCOMER_ROW: ("student", "")})
    space = await space_of(lab)
    async with lab.reading() as session:
        mark = (await rosters.roster_of(session, space)).mark
    await log_in(lab, "newcomer-5555", "uas", email="newcomer@uas.example")
    async with lab.writing() as session:
        assert await bind_space(session, space.id, NOW) == 1
    async with lab.reading() as session:
        assert (await rosters.roster_of(session, space)).mark == mark


async def test_a_row_of_another_course_is_none(lab: Store) -> None:
    space = await space_of(lab)
    async with lab.writing() as session:
        with pytest.raises(UnknownRosterRow):
            await rosters.change_row(session, space, 4711, ("student", ""), actor=LECTURER, now=NOW, bind=bind_space)


async def test_two_who_change_it_at_once_both_get_their_way(lab: Store) -> None:
    rows: list[dict[Promise, Place]] = [
        {("uas", "email", f"s{number}@uas.example"): ("student", "")} for number in range(8)
    ]
    await asyncio.gather(
        *(put(lab, each) for each in rows),
        put(lab, {STUDENT_ROW: ("student", "")}),
        put(lab, {STUDENT_ROW: ("student", "")}),
    )
    assert len(await promises(lab)) == 1 + 8 + 1
    async with lab.reading() as session:
        count = select(func.count()).select_from(Membership)
        assert (await session.execute(count)).scalar_one() == 2


async def test_apply_leaves_rosters_alone_that_no_file_has(lab: Store) -> None:
    from tests.service.sample import CATALOGUE

    await put(lab, {STUDENT_ROW: ("student", "")})
    before = await promises(lab)
    issuers = {name: f"https://login.{name}.example" for name in ("uni", "uas")}
    await apply(lab, CATALOGUE, issuers, now=NOW)
    assert await apply(lab, CATALOGUE, issuers, now=NOW) == []
    assert await promises(lab) == before
    assert (await space_of(lab)).archived_at is None
