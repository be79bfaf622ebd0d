"""The audit is only ever added to, whoever writes."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from kirzl_lab.store import audit
from kirzl_lab.store.database import Store
from tests.store.conftest import NOW


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "TRUNCATE audit"])
async def test_entries_cannot_be_changed_or_removed(any_store: Store, statement: str) -> None:
    async with any_store.writing() as session:
        audit.record(session, at=NOW, actor="anna", action=audit.Action.LOGIN)
    with pytest.raises(DBAPIError) as refused:
        async with any_store.writing() as session:
            await session.execute(text(statement))
    if not statement.startswith("TRUNCATE") or any_store.engine.dialect.name == "postgresql":
        assert "the audit is only ever added to" in str(refused.value)
    async with any_store.reading() as session:
        assert (await session.execute(text("SELECT actor FROM audit"))).scalars().all() == ["anna"]


async def test_an_entry_goes_with_the_transaction_that_made_it(any_store: Store) -> None:
    with pytest.raises(RuntimeError):
        async with any_store.writing() as session:
            audit.record(session, at=NOW, actor="anna", action=audit.Action.LOGIN)
            raise RuntimeError
    async with any_store.reading() as session:
        assert (await session.execute(text("SELECT count(*) FROM audit"))).scalar() == 0
