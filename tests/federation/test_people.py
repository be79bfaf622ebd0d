"""From (issuer, subject) to a person."""

import asyncio
import random
import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from kirzl_lab.federation import people
from kirzl_lab.federation.claims import Asserted
from kirzl_lab.federation.institutions import LoginInstitution
from kirzl_lab.federation.people import new_hub_name, recognise
from kirzl_lab.problems import PersonBlocked, UnknownInstitution
from kirzl_lab.store.database import Store
from kirzl_lab.store.tables import AuditEntry, Identity, InstitutionRow, Person
from tests.federation.conftest import NOW, add_institutions, institution

UNI, UAS = institution("uni"), institution("uas")


@pytest.fixture
async def lab(any_store: Store) -> Store:
    await add_institutions(any_store, UNI, UAS)
    return any_store


async def login(
    lab: Store,
    subject: str,
    where: LoginInstitution = UNI,
    claims: Mapping[str, tuple[str, ...]] | None = None,
    name: str = "",
) -> Person:
    async with lab.writing() as session:
        said = Asserted(claims or {})
        return await recognise(session, where, subject, said, display_name=name, now=NOW, contact="it@lab.example")


async def how_many(lab: Store) -> int:
    async with lab.reading() as session:
        return await session.scalar(select(func.count()).select_from(Person)) or 0


async def test_a_person_is_recognised_again(lab: Store) -> None:
    first = await login(lab, "student1", name="Student")
    again = await login(lab, "student1")
    assert (again.id, again.hub_name, again.display_name) == (first.id, first.hub_name, "Student")
    assert (await login(lab, "student1", name="Student One")).display_name == "Student One"
    async with lab.reading() as session:
        actions = list(await session.scalars(select(AuditEntry.action)))
    assert actions == ["person-created"]


async def test_without_a_name_a_person_goes_by_the_hub_name(lab: Store) -> None:
    person = await login(lab, "student1")
    assert person.display_name == person.hub_name


async def test_the_same_subject_at_two_issuers_is_two_people(lab: Store) -> None:
    assert (await login(lab, "student1", UNI)).id != (await login(lab, "student1", UAS)).id


async def test_subjects_are_compared_byte_for_byte(lab: Store) -> None:
    subjects = ["abc", "ABC", "Abc", "abc ", " abc", "a%62c", "abc/", "abc\\"]
    names = [(await login(lab, subject)).hub_name for subject in subjects]
    assert len(set(names)) == len(subjects)
    assert [(await login(lab, subject)).hub_name for subject in subjects] == names


async def test_what_was_asserted_is_remembered(lab: Store) -> None:
    await login(lab, "student1", claims={"matriculation_number": ("1", "2")})
    await login(lab, "student1", claims={"email": ("a@uni.example",)})
    async with lab.reading() as session:
        identity = (await session.scalars(select(Identity))).one()
    assert identity.claims == {"email": ["a@uni.example"]}


async def test_two_first_logins_at_once_are_one_person(lab: Store) -> None:
    found = await asyncio.gather(*(login(lab, "student1") for _ in range(5)))
    assert len({person.id for person in found}) == 1
    assert await how_many(lab) == 1


async def test_many_first_logins_at_once_are_as_many_people(lab: Store) -> None:
    found = await asyncio.gather(*(login(lab, f"student{number}") for number in range(5)))
    assert len({person.hub_name for person in found}) == 5


async def test_a_name_is_never_handed_out_twice(lab: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["bbbbbbbbb", "bbbbbbbbb", "bbbbbbbbb", "ccccccccc"])
    monkeypatch.setattr(people, "new_hub_name", lambda: next(names))
    assert (await login(lab, "student1")).hub_name == "bbbbbbbbb"
    assert (await login(lab, "student2")).hub_name == "ccccccccc"
    assert await how_many(lab) == 2


async def test_blocked_people_are_refused(lab: Store) -> None:
    person = await login(lab, "student1")
    async with lab.writing() as session:
        (await session.get_one(Person, person.id)).blocked_at = NOW
    with pytest.raises(PersonBlocked, match=r"it@lab\.example"):
        await login(lab, "student1")


async def test_an_institution_that_was_removed_lets_nobody_in(lab: Store) -> None:
    await login(lab, "student1")
    async with lab.writing() as session:
        (await session.get_one(InstitutionRow, "uni")).removed_at = NOW
    with pytest.raises(UnknownInstitution):
        await login(lab, "student1")
    with pytest.raises(UnknownInstitution):
        await login(lab, "student1", institution("startups"))


async def test_an_institution_with_another_issuer_than_the_labs_lets_nobody_in(lab: Store) -> None:
    with pytest.raises(UnknownInstitution):
        await login(lab, "student1", institution("uni", issuer="https://evil.example"))


@given(st.integers())
def test_hub_names_are_short_and_safe(seed: int) -> None:
    name = new_hub_name(random.Random(seed))
    assert re.fullmatch(r"[a-z][a-z0-9]{8}", name)
    assert not set(name) & set("aeiouly01")


def test_hub_names_are_random() -> None:
    assert len({new_hub_name() for _ in range(10_000)}) == 10_000
