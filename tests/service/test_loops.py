"""Servers whose person has lost the space, ended when the grace is over."""

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from kirzl_lab.catalog.models import Catalogue, Role
from kirzl_lab.problems import HubAway, LabDatabaseAway
from kirzl_lab.service.loops import end_gradebook_logins, end_lost_servers, looping
from kirzl_lab.store.apply import apply
from kirzl_lab.store.members import staff_of_courses
from kirzl_lab.store.people import block
from kirzl_lab.store.tables import AuditEntry, Membership, Person, ServerBinding
from tests.service.conftest import Service
from tests.service.sample import CATALOGUE, INSTRUCTOR, ISSUERS, NOW, OPERATOR, STUDENT
from tests.support.waiting import wait_until

GRACE = timedelta(minutes=CATALOGUE.lab.grace_minutes)


def without(person: str) -> Catalogue:
    """The catalogue without that e-mail address in any roster."""
    courses = {
        name: course.model_copy(update={"roster": tuple(row for row in course.roster if row.value != person)})
        for name, course in CATALOGUE.courses.items()
    }
    return CATALOGUE.model_copy(update={"courses": courses})


async def remove_student(service: Service, at: datetime = NOW) -> None:
    await apply(service.store, without("student@uni.example"), ISSUERS, now=at)


async def ended(service: Service) -> list[tuple[datetime, str, dict[str, Any]]]:
    """What the audit says of ends."""
    async with service.store.reading() as session:
        query = select(AuditEntry).where(AuditEntry.action == "server-stopped").order_by(AuditEntry.id)
        return [(entry.at, entry.actor, entry.detail) for entry in await session.scalars(query)]


async def until(condition: Callable[[], bool], what: str) -> None:
    """Let the loop run until the condition holds."""
    await asyncio.to_thread(wait_until, condition, what)


async def test_members_are_left_alone(service: Service) -> None:
    service.hub.start(STUDENT, "ml-101")
    service.hub.start("unknown-to-the-lab", "x")
    assert await end_lost_servers(service.state) == []
    assert await ended(service) == []


async def test_a_server_goes_on_for_the_grace_and_not_longer(service: Service) -> None:
    service.hub.start(STUDENT, "ml-101")
    await remove_student(service)
    service.time.now = NOW + GRACE - timedelta(seconds=1)
    assert await end_lost_servers(service.state) == []
    service.time.now = NOW + GRACE
    (loss,) = await end_lost_servers(service.state)
    assert (loss.hub_name, loss.server_name, loss.space) == (STUDENT, "ml-101", "ml-101")
    assert service.hub.servers[STUDENT] == {}
    assert await ended(service) == [(NOW + GRACE, "lab", {"server": "ml-101", "reason": "left"})]
    assert await end_lost_servers(service.state) == [], "it is done"


async def test_who_comes_back_in_time_keeps_the_server(service: Service) -> None:
    service.hub.start(STUDENT, "ml-101")
    await remove_student(service)
    await apply(service.store, CATALOGUE, ISSUERS, now=NOW + GRACE / 2)
    service.time.now = NOW + 2 * GRACE
    assert await end_lost_servers(service.state) == []


class Books:
    """Gradebooks whose logins were all made; those of one course cannot be ended."""

    def __init__(self, broken: str) -> None:
        self.broken = broken
        self.staff: dict[str, set[str]] = {}

    def reconcile_logins(self, course: str, staff: Collection[str]) -> list[str]:
        if course == self.broken:
            raise RuntimeError("some objects depend on it")
        self.staff[course] = set(staff)
        return ["somebody's"]


async def test_logins_to_gradebooks_end_with_the_role_whatever_is_wrong_with_another_course(in_course: Service) -> None:
    service = in_course
    async with service.store.reading() as session:
        first, *others = sorted(await staff_of_courses(session), key=lambda name: name == "ml-101")
    assert "ml-101" in others
    service.state.gradebooks = books = Books(broken=first)  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="depend on it"):
        await end_gradebook_logins(service.state)
    assert books.staff.keys() == set(others)
    books.broken = ""
    await end_gradebook_logins(service.state)
    before = books.staff["ml-101"]
    assert INSTRUCTOR in before
    assert STUDENT not in before
    async with service.store.writing() as session:
        theirs = select(Person.id).where(Person.hub_name == INSTRUCTOR).scalar_subquery()
        await session.execute(delete(Membership).where(Membership.person_id == theirs))
    await end_gradebook_logins(service.state)
    assert books.staff["ml-101"] == before - {INSTRUCTOR}


def with_role(person: str, role: Role) -> Catalogue:
    """The catalogue in which that e-mail address has that role wherever a roster has it."""
    courses = {
        name: course.model_copy(
            update={
                "roster": tuple(
                    row.model_copy(update={"role": role}) if row.value == person else row for row in course.roster
                )
            }
        )
        for name, course in CATALOGUE.courses.items()
    }
    return CATALOGUE.model_copy(update={"courses": courses})


async def demote(service: Service) -> None:
    """The student's server was started while they were an assistant."""
    hour = timedelta(hours=1)
    await apply(service.store, with_role("student@uni.example", Role.ASSISTANT), ISSUERS, now=NOW - hour)
    async with service.store.writing() as session:
        await session.execute(update(ServerBinding).where(ServerBinding.server_name == "ml-101").values(staff=True))
    await apply(service.store, CATALOGUE, ISSUERS, now=NOW)


async def test_the_server_of_somebody_who_runs_the_space_no_more_ends_after_the_grace(service: Service) -> None:
    service.hub.start(STUDENT, "ml-101")
    await demote(service)
    service.time.now = NOW + GRACE - timedelta(seconds=1)
    assert await end_lost_servers(service.state) == []
    service.time.now = NOW + GRACE
    assert len(await end_lost_servers(service.state)) == 1
    assert service.hub.servers[STUDENT] == {}
    assert await ended(service) == [(NOW + GRACE, "lab", {"server": "ml-101", "reason": "demoted"})]


async def test_a_start_as_a_student_that_the_lab_has_not_judged_yet_is_left_alone(service: Service) -> None:
    service.hub.start(STUDENT, "ml-101", ready=False, pending="spawn")
    await demote(service)
    service.time.now = NOW + GRACE
    assert await end_lost_servers(service.state) == []


async def test_what_a_block_left_running_ends_at_once(service: Service) -> None:
    service.hub.start(STUDENT, "ml-101")
    async with service.store.writing() as session:
        await block(session, STUDENT, OPERATOR, NOW)
    assert await end_lost_servers(service.state) == [], "the operator's own request comes first"
    service.time.now = NOW + timedelta(seconds=30)
    assert len(await end_lost_servers(service.state)) == 1


async def test_two_at_once_write_it_down_once(service: Service) -> None:
    service.hub.start(STUDENT, "ml-101")
    await remove_student(service)
    service.time.now = NOW + GRACE
    results = await asyncio.gather(end_lost_servers(service.state), end_lost_servers(service.state))
    assert sum(len(result) for result in results) >= 1
    assert len(await ended(service)) == 1
    assert service.hub.servers[STUDENT] == {}


async def test_a_server_that_does_not_stop_is_tried_again_and_written_down_once(service: Service) -> None:
    service.hub.start(STUDENT, "ml-101")
    service.hub.stuck.add("ml-101")
    await remove_student(service)
    service.time.now = NOW + GRACE
    for _ in range(2):
        with pytest.raises(HubAway):
            await end_lost_servers(service.state)
    service.hub.stuck.clear()
    assert len(await end_lost_servers(service.state)) == 1
    assert len(await ended(service)) == 1


async def test_one_that_is_stopping_is_left_alone(service: Service) -> None:
    service.hub.start(STUDENT, "ml-101", ready=False, pending="stop")
    await remove_student(service)
    service.time.now = NOW + GRACE
    assert await end_lost_servers(service.state) == []


async def test_with_the_lab_database_away_nothing_ends(service: Service, tmp_path: Path) -> None:
    service.hub.start(STUDENT, "ml-101")
    await remove_student(service)
    service.time.now = NOW + GRACE
    file = tmp_path / "lab.sqlite"
    file.rename(tmp_path / "away")
    await service.store.close()
    file.mkdir()  # what SQLite cannot open
    with pytest.raises(LabDatabaseAway):
        await end_lost_servers(service.state)
    assert STUDENT in service.hub.servers
    file.rmdir()
    (tmp_path / "away").rename(file)
    assert len(await end_lost_servers(service.state)) == 1


async def test_the_loop_waits_for_a_hub_that_is_away_and_goes_on(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kirzl_lab.service.loops")
    service.hub.start(STUDENT, "ml-101")
    await remove_student(service)
    service.time.now = NOW + GRACE
    service.hub.away = True
    tasks = asyncio.all_tasks()
    async with looping(service.state, every_s=0.01):
        await until(lambda: len(service.hub.calls) > 5, "some looks")
        service.hub.away = False
        await until(lambda: not service.hub.servers[STUDENT] and "after again" in caplog.text, "the end")
    told = [record.getMessage() for record in caplog.records]
    assert sum("not looked after: The hub does not answer" in line for line in told) == 1, "once, not at every look"
    assert asyncio.all_tasks() == tasks, "it ends with its block"


async def test_the_loop_outlives_what_nobody_thought_of(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service.hub.start(STUDENT, "ml-101")
    await remove_student(service)
    service.time.now = NOW + GRACE
    working, failures = service.state.hub.active, iter(range(3))

    async def active() -> Any:
        if next(failures, None) is not None:
            raise RuntimeError("never seen before")
        return await working()

    monkeypatch.setattr(service.state.hub, "active", active)
    async with looping(service.state, every_s=0.01):
        await until(lambda: not service.hub.servers[STUDENT], "the end")
    assert "never seen before" in caplog.text
