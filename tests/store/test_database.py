"""Sessions: writes are whole and none is lost, readers see one moment, and nobody keeps a lock they gave up waiting for."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

from kirzl_lab.store.apply import apply
from kirzl_lab.store.database import PATIENCE_S, Store
from kirzl_lab.store.tables import Identity, Person
from tests.store.conftest import ISSUERS, NOW, catalogue, log_in

A_LOCK_STAYED_S = 30
"""A wait that only a lock which nobody gives back takes, however slow the machine."""


def person(hub_name: str) -> Person:
    return Person(hub_name=hub_name, display_name=hub_name, created_at=NOW)


async def count(store: Store) -> int:
    async with store.reading() as session:
        return (await session.execute(select(func.count()).select_from(Person))).scalar_one()


@pytest.fixture
async def other(any_url: str) -> AsyncIterator[Store]:
    """A second store on the same database, as another process has it."""
    store = Store(any_url)
    yield store
    await store.close()


async def test_two_stores_write_at_once_and_nothing_is_lost(any_store: Store, other: Store) -> None:
    async def write(store: Store, name: str) -> None:
        async with store.writing() as session:
            # A read first: on SQLite this is where a transaction that only hoped to write would fail.
            await session.execute(select(func.count()).select_from(Person))
            session.add(person(name))

    both = ((any_store, "a"), (other, "b"))
    await asyncio.gather(*(write(store, f"{name}-{number}") for number in range(50) for store, name in both))
    assert await count(any_store) == 100


async def test_a_write_that_raises_leaves_nothing(any_store: Store) -> None:
    with pytest.raises(IntegrityError):
        async with any_store.writing() as session:
            session.add(person("member1"))
            await session.flush()
            session.add(person("member1"))
    assert await count(any_store) == 0


async def test_a_reader_sees_one_moment(any_store: Store, other: Store) -> None:
    async with any_store.reading() as session:
        query = select(func.count()).select_from(Person)
        before = (await session.execute(query)).scalar_one()
        async with other.writing() as writing:
            writing.add(person("member1"))
        assert (await session.execute(query)).scalar_one() == before == 0
    assert await count(any_store) == 1


async def test_what_a_reader_changes_is_not_kept(any_store: Store) -> None:
    async with any_store.reading() as session:
        session.add(person("member1"))
        if any_store.engine.dialect.name == "postgresql":
            with pytest.raises(DBAPIError, match="read-only"):
                await session.flush()
        else:
            await session.flush()
    assert await count(any_store) == 0


async def test_a_writer_that_gives_up_waiting_leaves_no_lock_behind(any_store: Store, other: Store) -> None:
    async with any_store.writing() as session:
        session.add(person("member1"))
        await session.flush()
        begin = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), other.writing() as waiting:
                waiting.add(person("member1"))
                await waiting.flush()
        assert time.monotonic() - begin < PATIENCE_S, "it got away between two tries, not when patience was over"
    for number, store in enumerate((other, any_store, other)):
        async with asyncio.timeout(A_LOCK_STAYED_S), store.writing() as session:
            session.add(person(f"member-{number}"))
    assert await count(other) == 4


async def test_writers_in_line_do_not_keep_readers_out(any_store: Store) -> None:
    async def write(number: int) -> None:
        async with any_store.writing() as session:
            session.add(person(f"p{number}"))

    async with any_store.writing() as session:
        session.add(person("first"))
        await session.flush()
        line = [asyncio.create_task(write(number)) for number in range(12)]
        await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S):  # after that the writers give up, and readers may come in
            await count(any_store)
    await asyncio.gather(*line)
    assert await count(any_store) == 13


@pytest.mark.parametrize("bad", ["an\x00na", "an\ud800na"])
async def test_text_that_postgresql_cannot_keep_is_refused_on_both(any_store: Store, bad: str) -> None:
    with pytest.raises(StatementError, match="NUL or half a surrogate pair"):
        async with any_store.writing() as session:
            session.add(person(bad))


@pytest.mark.parametrize(
    "odd", ["Student's", '"; DROP TABLE persons; --', "ÄÖÜ ß 漢字 🧪", "%s :name {x} \\", "\u202eabc"]
)
async def test_odd_text_comes_back_as_it_went_in(any_store: Store, odd: str) -> None:
    async with any_store.writing() as session:
        session.add(Person(hub_name="member1", display_name=odd, created_at=NOW))
    async with any_store.reading() as session:
        assert (await session.scalars(select(Person.display_name))).one() == odd


async def test_a_moment_comes_back_with_its_zone_and_needs_one(any_store: Store) -> None:
    async with any_store.writing() as session:
        session.add(person("member1"))
    async with any_store.reading() as session:
        assert (await session.scalars(select(Person.created_at))).one() == NOW
    with pytest.raises(StatementError, match="without a time zone"):
        async with any_store.writing() as session:
            session.add(Person(hub_name="member2", display_name="Member 2", created_at=NOW.replace(tzinfo=None)))


async def test_subjects_are_told_apart_byte_for_byte(any_store: Store) -> None:
    await apply(any_store, catalogue(), ISSUERS, now=NOW)
    for subject in ("Prufer", "prufer", "Prüfer", "Pru\u0308fer", "prufer "):
        await log_in(any_store, subject, "a", "https://a.example")
    async with any_store.reading() as session:
        query = select(func.count()).where(Identity.subject == "prufer")
        assert (await session.execute(query)).scalar_one() == 1


async def test_foreign_keys_hold(any_store: Store) -> None:
    with pytest.raises(IntegrityError):
        async with any_store.writing() as session:
            await session.execute(
                text(
                    "INSERT INTO servers (id, person_id, server_name, space_id, purpose, created_at) VALUES (1, 77, 'x', 78, 'work', '2026-01-01')"
                )
            )
