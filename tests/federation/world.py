"""A hub with two institutions, each with a hostile provider, and what tests ask of them."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from joserfc.jwk import Key
from sqlalchemy import func, select

from kirzl_lab.federation.institutions import LoginInstitution
from kirzl_lab.store.database import Store
from kirzl_lab.store.members import memberships, person_called
from kirzl_lab.store.tables import AuditEntry, Identity, Person
from tests.federation.conftest import NOW, Clock, a_row, a_space, add_institutions, add_rows, institution
from tests.federation.hub import Browser, Hub
from tests.federation.provider import Provider


class World:
    """The hub, its institutions, and the lab database."""

    def __init__(self, folder: Path, store: Store, keys: dict[str, Key]) -> None:
        self.clock = Clock()
        self.keys = keys
        self.store = store
        self.uni = Provider("uni", self.clock, keys["uni"], [keys["uni"]])
        self.uas = Provider("uas", self.clock, keys["other"], [keys["other"]])
        for provider in (self.uni, self.uas):
            provider.start()
        self.institutions: dict[str, LoginInstitution] = {
            "uni": institution("uni", issuer=self.uni.issuer),
            "uas": institution("uas", issuer=self.uas.issuer, client_secret="s3cret/ü+:"),
        }
        self.hub = Hub(folder, store, self.clock, self.institutions)

    def reset(self) -> None:
        """Good providers, that have seen nothing; nobody is forgotten."""
        self.clock.now = NOW
        for provider, key in ((self.uni, "uni"), (self.uas, "other")):
            provider.reset()
            provider.signing, provider.published = self.keys[key], [self.keys[key]]
        self.hub.authenticator.institutions = dict(self.institutions)
        self.hub.authenticator.store = self.store
        self.hub.forget_institutions()
        self.hub.forget_looks()

    def browser(self) -> Browser:
        return Browser(self.hub)

    async def login(self, subject: str, provider: Provider | None = None, **claims: Any) -> Browser:
        """A browser in which that subject has logged in."""
        provider = provider or self.uni
        browser = self.browser()
        response = await browser.get(provider.login(await browser.begin(provider.name), subject, **claims))
        assert response.code == 302, response.body
        return browser

    async def spaces(self, hub_name: str) -> list[str]:
        """What the person may open."""
        async with self.store.reading() as session:
            person = await person_called(session, hub_name)
            assert person is not None
            return [member.space.name for member in await memberships(session, person.id)]

    async def audit(self, after: int = 0) -> list[tuple[str, str, dict[str, Any]]]:
        """(actor, action, detail) of each entry but the first `after`."""
        async with self.store.reading() as session:
            rows = await session.execute(
                select(AuditEntry.actor, AuditEntry.action, AuditEntry.detail).order_by(AuditEntry.id)
            )
            return [tuple(row) for row in rows][after:]

    async def people(self) -> int:
        async with self.store.reading() as session:
            return await session.scalar(select(func.count()).select_from(Person)) or 0

    async def person(self, subject: str) -> Person:
        async with self.store.reading() as session:
            query = select(Person).join(Identity).where(Identity.subject == subject)
            return (await session.scalars(query)).one()


@asynccontextmanager
async def running_world(folder: Path, template: Path, keys: dict[str, Key]) -> AsyncIterator[World]:
    """A world with one course: a row for a matriculation number and one for an address of uni's."""
    shutil.copyfile(template, folder / "lab.sqlite")
    store = Store(f"sqlite+aiosqlite:///{folder}/lab.sqlite")
    world = World(folder, store, keys)
    await add_institutions(store, *world.institutions.values())
    async with store.writing() as session:
        space = a_space()
        await add_rows(session, space)
        rows = [a_row(space, "matriculation_number", f"{number}") for number in range(1000001, 1000010)]
        await add_rows(session, *rows, *(a_row(space, "email", f"s{number}@uni.example") for number in range(9)))
    await world.hub.start()
    yield world
    world.hub.stop()
    world.uni.stop()
    world.uas.stop()
    await store.close()
