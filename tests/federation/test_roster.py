"""Roster rows and the people they wait for."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import event, select

from kirzl_lab.federation.claims import Asserted
from kirzl_lab.federation.institutions import LoginInstitution
from kirzl_lab.federation.people import recognise
from kirzl_lab.federation.roster import bind, bind_waiting
from kirzl_lab.store.database import Store
from kirzl_lab.store.members import is_operator, memberships
from kirzl_lab.store.tables import AuditEntry, Identity, InstitutionRow, Membership, Person, RosterEntry, Space
from tests.federation.conftest import NOW, a_row, a_space, add_institutions, add_rows, institution

UNI, UAS = institution("uni"), institution("uas")


@pytest.fixture
async def lab(any_store: Store) -> Store:
    """A course with a row for a matriculation number and one for an address, and a row for an operator."""
    await add_institutions(any_store, UNI, UAS)
    async with any_store.writing() as session:
        space = a_space()
        await add_rows(session, space)
        await add_rows(
            session,
            a_row(space, "matriculation_number", "1000001", section="A"),
            a_row(space, "email", "student1@uas.example", institution_name="uas"),
            a_row(None, "email", "operator@uni.example", role="operator"),
        )
    return any_store


async def login(lab: Store, subject: str, where: LoginInstitution = UNI, **claims: str) -> tuple[Person, int]:
    said = Asserted({claim: (value,) for claim, value in claims.items()})
    async with lab.writing() as session:
        person = await recognise(session, where, subject, said, display_name="", now=NOW, contact="it@lab.example")
        return person, await bind(session, person, where.name, said.values, NOW)


async def waiting(lab: Store, person: Person) -> int:
    async with lab.writing() as session:
        return await bind_waiting(session, person.id, NOW)


async def actions(lab: Store) -> list[tuple[str, Any]]:
    async with lab.reading() as session:
        rows = await session.execute(select(AuditEntry.action, AuditEntry.detail).order_by(AuditEntry.id))
        return [(action, detail.get("claim")) for action, detail in rows if action.startswith("roster")]


async def test_a_row_binds_at_login(lab: Store) -> None:
    person, bound = await login(lab, "s1", matriculation_number="1000001")
    assert bound == 1
    async with lab.reading() as session:
        (member,) = await memberships(session, person.id)
        row = (await session.scalars(select(RosterEntry).where(RosterEntry.claim == "matriculation_number"))).one()
    assert (member.space.name, member.role, member.section) == ("ml-101", "student", "A")
    assert (row.bound_person_id, row.bound_at) == (person.id, NOW)
    assert await actions(lab) == [("roster-bound", "matriculation_number")]


async def test_it_binds_once(lab: Store) -> None:
    person, _ = await login(lab, "s1", matriculation_number="1000001")
    assert (await login(lab, "s1", matriculation_number="1000001"))[1] == 0
    assert await waiting(lab, person) == 0
    assert len(await actions(lab)) == 1


async def test_an_operators_row_belongs_to_no_space(lab: Store) -> None:
    person, _ = await login(lab, "op", email="operator@uni.example")
    async with lab.reading() as session:
        assert await is_operator(session, person.id)
        assert await memberships(session, person.id) == []


async def test_a_row_binds_through_its_own_institution_only(lab: Store) -> None:
    assert (await login(lab, "s1", UAS, matriculation_number="1000001"))[1] == 0
    assert (await login(lab, "s1", UNI, email="student1@uas.example"))[1] == 0
    assert (await login(lab, "s1", UAS, email="student1@uas.example"))[1] == 1


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("email", "1000001"),
        ("matriculation_number", "1000001 "),
        ("matriculation_number", "100000l"),
        ("matriculation_number", "%"),
        ("matriculation_number", "operator@uni.example"),
    ],
)
async def test_claim_and_value_must_both_be_the_rows(lab: Store, claim: str, value: str) -> None:
    assert (await login(lab, "s1", **{claim: value}))[1] == 0


async def test_a_bound_row_never_moves_and_the_conflict_is_told_once(lab: Store) -> None:
    first, _ = await login(lab, "s1", matriculation_number="1000001")
    second, bound = await login(lab, "s2", matriculation_number="1000001")
    assert bound == 0
    assert await waiting(lab, second) == 0
    assert (await login(lab, "s2", matriculation_number="1000001"))[1] == 0
    async with lab.reading() as session:
        assert await memberships(session, second.id) == []
        assert len(await memberships(session, first.id)) == 1
    assert [action for action, _ in await actions(lab)] == ["roster-bound", "roster-conflict"]


async def test_of_two_people_at_once_one_gets_it(lab: Store) -> None:
    found = await asyncio.gather(*(login(lab, f"s{number}", matriculation_number="1000001") for number in range(4)))
    assert sorted(bound for _, bound in found) == [0, 0, 0, 1]
    async with lab.reading() as session:
        assert len(list(await session.scalars(select(Membership)))) == 1


async def test_one_person_in_two_tabs_is_no_conflict(lab: Store) -> None:
    person, _ = await login(lab, "s1")
    async with lab.writing() as session:
        identity = (await session.scalars(select(Identity))).one()
        identity.claims = {"matriculation_number": ["1000001"]}
    assert sorted(await asyncio.gather(*(waiting(lab, person) for _ in range(4)))) == [0, 0, 0, 1]
    assert [action for action, _ in await actions(lab)] == ["roster-bound"]


async def test_a_row_that_comes_later_binds_at_the_next_click(lab: Store) -> None:
    person, _ = await login(lab, "s9", matriculation_number="1000009")
    assert await waiting(lab, person) == 0
    async with lab.writing() as session:
        space = (await session.scalars(select(Space))).one()
        await add_rows(session, a_row(space, "matriculation_number", "1000009", role="assistant"))
    assert await waiting(lab, person) == 1
    assert await waiting(lab, person) == 0


async def test_removed_rows_and_archived_spaces_bind_nobody(lab: Store) -> None:
    async with lab.writing() as session:
        row = (await session.scalars(select(RosterEntry).where(RosterEntry.claim == "matriculation_number"))).one()
        row.removed_at = NOW
    person, bound = await login(lab, "s1", matriculation_number="1000001")
    assert bound == 0
    async with lab.writing() as session:
        (await session.get_one(RosterEntry, row.id)).removed_at = None
        (await session.get_one(Space, row.space_id)).archived_at = NOW
    assert await waiting(lab, person) == 0
    async with lab.writing() as session:
        (await session.get_one(Space, row.space_id)).archived_at = None
    assert await waiting(lab, person) == 1


@pytest.mark.parametrize("change", [{"removed_at": NOW}, {"issuer": "https://new.uni.example"}])
async def test_what_a_former_issuer_asserted_binds_nothing(lab: Store, change: dict[str, Any]) -> None:
    person, _ = await login(lab, "s9", matriculation_number="1000009")
    async with lab.writing() as session:
        space = (await session.scalars(select(Space))).one()
        await add_rows(session, a_row(space, "matriculation_number", "1000009"))
        found = await session.get_one(InstitutionRow, "uni")
        for name, value in change.items():
            setattr(found, name, value)
    assert await waiting(lab, person) == 0


async def test_looking_costs_two_reads(store: Store) -> None:
    await add_institutions(store, UNI)
    person, _ = await login(store, "s1", matriculation_number="1000001", email="a@uni.example")
    statements: list[str] = []
    event.listen(store.engine.sync_engine, "before_cursor_execute", lambda *found: statements.append(found[2]))
    assert await waiting(store, person) == 0
    assert [one.split()[0] for one in statements if one.split()[0] not in {"BEGIN", "PRAGMA"}] == ["SELECT", "SELECT"]
