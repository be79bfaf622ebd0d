"""The audit is only ever added to, whoever writes."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from kirzl_lab.store import audit
from kirzl_lab.store.database import Store
from tests.store.conftest import NOW

INTO = "INTO audit (id, at, actor, action, detail, note) SELECT id, at, 'nobody', action, detail, note FROM audit"
"""Writes every entry once more, with its id and another actor."""

EVERYWHERE = (
    "UPDATE audit SET actor = 'nobody'",
    "DELETE FROM audit",
    f"INSERT {INTO} WHERE true ON CONFLICT (id) DO UPDATE SET actor = excluded.actor",
)
STATEMENTS = {
    "sqlite": (
        *EVERYWHERE,
        f"INSERT OR REPLACE {INTO}",
        f"REPLACE {INTO}",
        "UPDATE OR REPLACE audit SET actor = 'nobody'",
        "UPDATE OR REPLACE audit SET id = 1",
    ),
    "postgresql": (*EVERYWHERE, "TRUNCATE audit", "TRUNCATE persons CASCADE"),
}


async def test_entries_cannot_be_changed_or_removed(any_store: Store) -> None:
    for actor in ("member1", "member2"):
        async with any_store.writing() as session:
            audit.record(session, at=NOW, actor=actor, action=audit.Action.LOGIN)
    for statement in STATEMENTS[any_store.engine.dialect.name]:
        with pytest.raises(DBAPIError) as refused:
            async with any_store.writing() as session:
                await session.execute(text(statement))
        assert "the audit is only ever added to" in str(refused.value), statement
        async with any_store.reading() as session:
            actors = (await session.execute(text("SELECT actor FROM audit ORDER BY id"))).scalars().all()
        assert actors == ["member1", "member2"], statement


async def test_entries_are_added_whatever_ids_are_there(any_store: Store) -> None:
    """SQLite's trigger sees -1 for an id that is not given yet."""
    async with any_store.writing() as session:
        values = {"at": NOW, "actor": "a", "action": "login", "detail": "{}", "note": ""}
        for number in (-1, 0, 7):
            columns = "(id, at, actor, action, detail, note) VALUES (:id, :at, :actor, :action, :detail, :note)"
            await session.execute(text(f"INSERT INTO audit {columns}"), values | {"id": number})
    for _ in range(2):
        async with any_store.writing() as session:
            audit.record(session, at=NOW, actor="member1", action=audit.Action.LOGIN)
    async with any_store.reading() as session:
        assert (await session.execute(text("SELECT count(*) FROM audit"))).scalar() == 5


async def test_an_entry_goes_with_the_transaction_that_made_it(any_store: Store) -> None:
    with pytest.raises(RuntimeError):
        async with any_store.writing() as session:
            audit.record(session, at=NOW, actor="member1", action=audit.Action.LOGIN)
            raise RuntimeError
    async with any_store.reading() as session:
        assert (await session.execute(text("SELECT count(*) FROM audit"))).scalar() == 0
