"""`apply` between catalogues that nobody thought of: from one to another and back."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from shutil import copyfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from kirzl_lab.catalog.models import Catalogue
from kirzl_lab.store.apply import apply
from kirzl_lab.store.database import Store
from kirzl_lab.store.tables import Identity, Membership, Person, RosterEntry, Space
from tests.store.conftest import NOW, bind, catalogue, course, institution, log_in, memory

INSTITUTIONS = ("a", "b", "c")
ADDRESSES = tuple(f"https://{number}.example" for number in range(4))
VALUES = tuple("12345")
Fresh = Callable[[], AbstractAsyncContextManager[Store]]


@dataclass(frozen=True)
class Site:
    """A catalogue and the issuers with which it is applied."""

    catalogue: Catalogue
    issuers: dict[str, str]


@st.composite
def sites(draw: st.DrawFn) -> Site:
    names = draw(st.lists(st.sampled_from(INSTITUTIONS), min_size=1, unique=True))
    addresses = draw(st.permutations(ADDRESSES))
    demos = {name: draw(st.booleans()) for name in names}
    issuers = {
        name: address for name, address in zip(names, addresses, strict=False) if not demos[name] or draw(st.booleans())
    }
    people = st.tuples(st.sampled_from(names), st.just("nr"), st.sampled_from(VALUES))
    places = st.tuples(st.sampled_from(["student", "assistant", "instructor"]), st.sampled_from(["", "Mon", "Tue"]))
    courses = [
        course(name, *((*who, *place) for who, place in draw(st.dictionaries(people, places, max_size=6)).items()))
        for name in draw(st.lists(st.sampled_from(["ml", "dl", "rl"]), unique=True))
    ]
    return Site(
        catalogue(
            *courses,
            institutions={name: institution(name, demo=demo) for name, demo in demos.items()},
            operators=tuple(draw(st.sets(people, max_size=2))),
        ),
        issuers,
    )


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Fresh:
    """Makes a fresh lab database for each example, on each of the two databases in turn."""
    template = request.getfixturevalue(f"{request.param}_template")
    numbers = count()

    def url() -> str:
        if request.param == "sqlite":
            file = tmp_path / f"{next(numbers)}.sqlite"
            copyfile(template, file)
            return f"sqlite+aiosqlite:///{file}"
        postgres = request.getfixturevalue("postgres")
        return str(postgres.url(postgres.create(template)))

    @asynccontextmanager
    async def make() -> AsyncIterator[Store]:
        store = Store(url())
        yield store
        await store.close()

    return make


async def settle(store: Store, site: Site) -> None:
    """Apply; what was told before is what is done, and doing it again changes nothing."""
    before = await memory(store)
    foreseen = await apply(store, site.catalogue, site.issuers, now=NOW, dry_run=True)
    assert await memory(store) == before
    assert await apply(store, site.catalogue, site.issuers, now=NOW) == foreseen
    after = await memory(store)
    assert (after == before) == (not foreseen)
    assert await apply(store, site.catalogue, site.issuers, now=NOW) == []
    assert await memory(store) == after


async def everyone_logs_in(store: Store, site: Site) -> None:
    for number, value in enumerate(VALUES):
        name = list(site.catalogue.institutions)[number % len(site.catalogue.institutions)]
        person = await log_in(store, f"p{value}", name, site.issuers.get(name, f"https://{name}.example"))
        await bind(store, person, value)


async def check(store: Store, site: Site) -> None:
    """What is open is exactly what the catalogue says, for exactly the people whose rows are bound."""
    wanted = {
        (c.name, r.institution, r.value, r.role.value, r.section)
        for c in site.catalogue.courses.values()
        for r in c.roster
    } | {(None, o.institution, o.value, "operator", "") for o in site.catalogue.lab.operators}
    async with store.reading() as session:
        rows = await session.execute(
            select(Space.name, RosterEntry, Membership)
            .select_from(RosterEntry)
            .outerjoin(Space, Space.id == RosterEntry.space_id)
            .outerjoin(Membership, Membership.roster_row_id == RosterEntry.id)
            .where(Space.archived_at.is_(None))
        )
        found = set()
        for space, row, member in rows:
            active = row.removed_at is None
            if active:
                found.add((space, row.institution_name, row.value, row.role, row.section))
            assert (member is not None) == (active and row.bound_person_id is not None)
            if member is not None:
                due = (row.bound_person_id, row.space_id, row.role, row.section)
                assert (member.person_id, member.space_id, member.role, member.section) == due
        assert found == wanted
        issuers = {identity.person_id: identity for identity in await session.scalars(select(Identity))}
        assert len(issuers) == len((await session.scalars(select(Person))).all())


async def bindings(store: Store) -> dict[int, int | None]:
    async with store.reading() as session:
        return {
            id_: person for id_, person in await session.execute(select(RosterEntry.id, RosterEntry.bound_person_id))
        }


async def opened(store: Store) -> list[tuple[object, ...]]:
    """Who may open what, with the spaces' names."""
    async with store.reading() as session:
        query = (
            select(Space.name, Membership.person_id, Membership.role, Membership.section)
            .outerjoin(Space, Space.id == Membership.space_id)
            .where(Space.archived_at.is_(None))
        )
        return sorted((tuple(row) for row in await session.execute(query)), key=repr)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(first=sites(), second=sites())
async def test_there_and_back_again(fresh: Fresh, first: Site, second: Site) -> None:
    async with fresh() as store:
        await settle(store, first)
        await check(store, first)
        await everyone_logs_in(store, first)
        bound, roles = await bindings(store), await opened(store)

        await settle(store, second)
        await check(store, second)
        assert (await bindings(store)).items() >= bound.items()

        await settle(store, first)
        await check(store, first)
        assert (await bindings(store)).items() >= bound.items()
        assert await opened(store) == roles
