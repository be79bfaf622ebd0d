"""Institutions that change their issuer, their name or their mind, and what becomes of their people."""

from collections.abc import Mapping

import pytest
from sqlalchemy import select

from kirzl_lab.catalog.models import Institution
from kirzl_lab.store.apply import Change, apply
from kirzl_lab.store.audit import Action
from kirzl_lab.store.database import Store
from kirzl_lab.store.tables import Identity, InstitutionRow
from tests.store.conftest import NOW, catalogue, institution, log_in

A, B = "https://a.example", "https://b.example"


async def settle(store: Store, institutions: dict[str, Institution], issuers: Mapping[str, str]) -> list[Change]:
    """Apply; told before is what is done, and doing it again changes nothing."""
    wanted = catalogue(institutions=institutions)
    foreseen = await apply(store, wanted, issuers, now=NOW, dry_run=True)
    changes = await apply(store, wanted, issuers, now=NOW)
    assert changes == foreseen
    assert await apply(store, wanted, issuers, now=NOW) == []
    return changes


async def identities(store: Store) -> set[tuple[str, str, str]]:
    async with store.reading() as session:
        query = select(Identity.subject, Identity.institution_name, Identity.issuer)
        return {(subject, name, issuer) for subject, name, issuer in await session.execute(query)}


async def issuers_of(store: Store) -> dict[str, str | None]:
    async with store.reading() as session:
        return {
            name: issuer for name, issuer in await session.execute(select(InstitutionRow.name, InstitutionRow.issuer))
        }


async def test_a_title_changes_and_an_institution_goes_and_comes_back(any_store: Store) -> None:
    await settle(any_store, {"a": institution("a"), "b": institution("b")}, {"a": A, "b": B})
    [retitled] = await settle(
        any_store, {"a": institution("a", title="Alpha"), "b": institution("b")}, {"a": A, "b": B}
    )
    assert retitled.detail == {"title_de": ["a", "Alpha"], "title_en": ["a", "Alpha"]}
    [gone] = await settle(any_store, {"b": institution("b")}, {"b": B})
    assert (gone.action, gone.institution) == (Action.INSTITUTION_REMOVED, "a")
    async with any_store.reading() as session:
        assert (await session.get_one(InstitutionRow, "a")).removed_at == NOW
    [back] = await settle(any_store, {"a": institution("a", title="Alpha"), "b": institution("b")}, {"a": A, "b": B})
    assert back.action == Action.INSTITUTION_RESTORED
    async with any_store.reading() as session:
        assert (await session.get_one(InstitutionRow, "a")).removed_at is None


async def test_people_of_a_real_institution_do_not_follow_a_new_issuer(any_store: Store) -> None:
    await settle(any_store, {"a": institution("a")}, {"a": A})
    await log_in(any_store, "member1", "a", A)
    [change] = await settle(any_store, {"a": institution("a")}, {"a": B})
    assert change.detail == {"issuer": [A, B]}
    assert await identities(any_store) == {("member1", "a", A)}


async def test_people_of_a_demo_institution_follow_the_port(any_store: Store) -> None:
    old, new = "http://localhost:9400/a", "http://localhost:9401/a"
    demo = {"a": institution("a", demo=True)}
    await settle(any_store, demo, {"a": old})
    await log_in(any_store, "member1", "a", old)
    [change] = await settle(any_store, demo, {"a": new})
    assert change.detail == {"issuer": [old, new], "identities_moved": 1}
    assert await identities(any_store) == {("member1", "a", new)}


async def test_a_demo_institution_that_does_not_run_keeps_what_it_had(any_store: Store) -> None:
    demo = {"a": institution("a", demo=True)}
    await settle(any_store, demo, {})
    assert await issuers_of(any_store) == {"a": None}
    await settle(any_store, demo, {"a": "http://localhost:9400/a"})
    assert await settle(any_store, demo, {}) == []
    assert await issuers_of(any_store) == {"a": "http://localhost:9400/a"}


async def test_a_demo_institution_that_becomes_real_leaves_its_people_behind(any_store: Store) -> None:
    demo = "http://localhost:9400/a"
    await settle(any_store, {"a": institution("a", demo=True)}, {"a": demo})
    await log_in(any_store, "student1", "a", demo)
    await settle(any_store, {"a": institution("a")}, {"a": A})
    await log_in(any_store, "member1", "a", A)
    await settle(any_store, {"a": institution("a", demo=True)}, {"a": demo})
    assert await identities(any_store) == {("student1", "a", demo), ("member1", "a", A)}


@pytest.mark.parametrize("demo", [True, False])
async def test_two_institutions_swap_their_issuers_in_one_go(any_store: Store, demo: bool) -> None:
    both = {"a": institution("a", demo=demo), "b": institution("b", demo=demo)}
    await settle(any_store, both, {"a": A, "b": B})
    await log_in(any_store, "member1", "a", A)
    await log_in(any_store, "member2", "b", B)
    async with any_store.writing() as session:  # the same subject at both issuers: two humans
        for identity in await session.scalars(select(Identity)):
            identity.subject = "s"
    await settle(any_store, both, {"a": B, "b": A})
    assert await issuers_of(any_store) == {"a": B, "b": A}
    # Demo people belong to the institution, real people to the issuer.
    assert await identities(any_store) == {("s", "a", B), ("s", "b", A)}
    async with any_store.reading() as session:
        owner = {i.issuer: i.person_id for i in await session.scalars(select(Identity))}
    assert (owner[B] < owner[A]) == demo  # member1 came first


async def test_an_institution_under_a_new_name_keeps_its_people_without_their_claims(any_store: Store) -> None:
    await settle(any_store, {"a": institution("a")}, {"a": A})
    await log_in(any_store, "member1", "a", A, {"email": ["member1@a.example"]})
    changes = await settle(any_store, {"alpha": institution("alpha")}, {"alpha": A})
    assert [(c.action, c.institution) for c in changes] == [
        (Action.INSTITUTION_REMOVED, "a"),
        (Action.INSTITUTION_ADDED, "alpha"),
    ]
    assert await issuers_of(any_store) == {"a": None, "alpha": A}
    assert await identities(any_store) == {("member1", "alpha", A)}
    async with any_store.reading() as session:
        assert (await session.scalars(select(Identity.claims))).one() == {}


async def test_nobody_moves_onto_people_who_are_there_already(any_store: Store) -> None:
    old, new = "http://localhost:9400/a", "http://localhost:9401/a"
    await settle(any_store, {"a": institution("a"), "b": institution("b", demo=True)}, {"a": new, "b": old})
    await log_in(any_store, "member1", "a", new)
    await log_in(any_store, "member2", "b", old)
    async with any_store.writing() as session:
        for identity in await session.scalars(select(Identity)):
            identity.subject = "s"
    await settle(any_store, {"b": institution("b", demo=True)}, {"b": new})
    assert await identities(any_store) == {("s", "b", new), ("s", "b", old)}
