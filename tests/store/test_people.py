"""Blocking and unblocking."""

from datetime import timedelta

import pytest

from kirzl_lab.problems import UnknownPerson
from kirzl_lab.store.apply import apply
from kirzl_lab.store.database import Store
from kirzl_lab.store.members import person_called
from kirzl_lab.store.pages import audit_page
from kirzl_lab.store.people import block, unblock
from tests.store.conftest import ISSUERS, NOW, catalogue, log_in


async def test_a_block_is_written_once_and_lifted_once(any_store: Store) -> None:
    await apply(any_store, catalogue(), ISSUERS, now=NOW)
    await log_in(any_store, "member1", "a", ISSUERS["a"])
    later = NOW + timedelta(hours=1)
    told = []
    for change, moment in ((block, NOW), (block, later), (unblock, later), (unblock, later)):
        async with any_store.writing() as session:
            told.append(await change(session, "member1", "root", moment))
    assert told == [True, False, True, False]
    async with any_store.reading() as session:
        person = await person_called(session, "member1")
        assert person is not None
        assert person.blocked_at is None
        lines = (await audit_page(session, person="member1")).items
    assert [(line.action, line.actor, line.at) for line in lines] == [
        ("person-unblocked", "root", later),
        ("person-blocked", "root", NOW),
    ]


async def test_nobody_is_not_blocked(any_store: Store) -> None:
    with pytest.raises(UnknownPerson, match="nobody"):
        async with any_store.writing() as session:
            await block(session, "nobody", "root", NOW)
