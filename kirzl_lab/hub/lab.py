"""What the hub's process holds, and the decisions for which it asks the lab database."""

import asyncio
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab import metrics
from kirzl_lab.catalog.loader import load
from kirzl_lab.catalog.models import Catalogue, CourseFile, Role, Text
from kirzl_lab.federation.institutions import LoginInstitution, login_institutions
from kirzl_lab.federation.roster import bind_waiting, waits
from kirzl_lab.hub.lost import Lost, lost_by
from kirzl_lab.problems import LabDatabaseAway, NotAMember, PersonBlocked, Phrase, Problem
from kirzl_lab.settings import Settings
from kirzl_lab.spawning.capacity import Availability
from kirzl_lab.spawning.choice import Binding, Choice, Facts, Request, SpaceFacts, decide, parse_options
from kirzl_lab.spawning.gpu import unavailable_sizes
from kirzl_lab.spawning.pod import pod_name
from kirzl_lab.spawning.site import site_of
from kirzl_lab.store import audit
from kirzl_lab.store.database import AWAY, Store
from kirzl_lab.store.members import Bound, bindings, is_operator, memberships, person_called, space_called
from kirzl_lab.store.tables import Identity, Person, ServerBinding, Space

LOG = logging.getLogger(__name__)

REFUSALS_A_MINUTE = 20
"""Refused starts of one person that go to the audit; what is more is in the hub's log."""

DATABASE_LIMIT_S = 1.0
"""How long the hub waits for the lab database before it says so."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at a page, for the navigation bar."""

    hub_name: str
    display_name: str
    operator: bool


@dataclass(frozen=True, slots=True)
class Sight:
    """What a person may open at this moment, and what each of their server names means."""

    facts: tuple[Facts, ...]
    """One for each space of the person, by name."""
    asserted: Mapping[str, Mapping[str, list[str]]]
    """Institution -> claim -> values: what was looked for in the rosters."""
    dropped: Mapping[str, Mapping[str, list[str]]]
    """Institution -> claim -> why something that it sent was not looked for."""
    lost: tuple[Lost, ...] = ()
    """What they could open once, and a server's name of theirs still means."""


class Lab:
    """The lab as the hub's process sees it."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        environment: Mapping[str, str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings
        self.catalogue = catalogue
        self.clock = clock
        self.store = Store(settings.database_url)
        self._refusals: dict[str, deque[datetime]] = {}
        self.institutions: dict[str, LoginInstitution] = login_institutions(
            catalogue.institutions, settings.demo_url, environment, public_url=settings.public_url
        )
        self.site = site_of(environment)
        self.unavailable: Mapping[str, Phrase] = {}
        """Sizes that this machine does not have; a cluster is asked each time."""
        if self.site is None:
            reasons = unavailable_sizes(catalogue.sizes, catalogue.flavours)
            self.unavailable = {name: Phrase(reason) for name, reason in reasons.items()}

    def writing(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session that writes; `LabDatabaseAway` when the lab database does not answer within a second."""
        return _limited(self.store.writing(), "write")

    def reading(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session that reads; `LabDatabaseAway` when the lab database does not answer within a second."""
        return _limited(self.store.reading(), "read")

    async def viewer(self, hub_name: str) -> Viewer | None:
        """The person with that hub name, as the navigation bar needs them; None when the lab does not know them."""
        async with self.reading() as session:
            person = await person_called(session, hub_name)
            if person is None:
                return None
            return Viewer(hub_name, person.display_name, await is_operator(session, person.id))

    async def decide(
        self, hub_name: str, server_name: str, options: object, *, bind: bool, starts: bool = False
    ) -> Choice:
        """The choice that `options` make, or the `Problem` that stands against it. Refusals are audited.

        With `bind`, the server's name means this space and purpose from now on; with `starts` too, the lab remembers
        whether the server is one of staff: before it runs, so that nobody mistakes it for the one before.
        """
        request = parse_options(options)
        available = await self._available(hub_name, request)
        try:
            async with self.writing() as session:
                person = await self._person(session, hub_name, lock=True)
                await bind_waiting(session, person.id, self.clock())
                space = await space_called(session, request.space)
                roles = {member.space.name: member.role for member in await memberships(session, person.id)}
                names = await bindings(session, person.id)
                identities = await self._identities(session, person)
                facts = self._facts(person, identities, space, roles.get(request.space), names, available=available)
                choice = decide(facts, server_name, request)
                if bind and space is not None:
                    await self._bind(session, person, space, choice, starts=starts)
                return choice
        except Problem as problem:
            if problem.status in (403, 404) and self._may_audit(hub_name):
                await self._remember_refusal(hub_name, request, problem)
            raise

    async def _remember_refusal(self, hub_name: str, request: Request, problem: Problem) -> None:
        """A refused start for the audit; the refusal stands when that cannot be written."""
        detail = {"space": request.space, "size": request.size, "problem": problem.slug}
        try:
            async with self.writing() as session:
                await self._record(session, hub_name, audit.Action.START_REFUSED, detail)
        except LabDatabaseAway:
            LOG.warning("A refused start is not in the audit: no answer from the database")

    def _may_audit(self, hub_name: str) -> bool:
        """Whether one more refusal of this person goes to the audit: it must not grow as fast as somebody can ask."""
        now = self.clock()
        recent = self._refusals.setdefault(hub_name, deque(maxlen=REFUSALS_A_MINUTE))
        if len(recent) == REFUSALS_A_MINUTE and now - recent[0] < timedelta(minutes=1):
            return False
        recent.append(now)
        return True

    async def started(self, choice: Choice) -> None:
        """Remember that a server has started, and when."""
        detail = {"server": choice.server_name, "size": choice.size_name, "purpose": choice.purpose}
        async with self.writing() as session:
            await self._record(session, choice.hub_name, audit.Action.SERVER_STARTED, detail, space=choice.space)
            persons = select(Person.id).where(Person.hub_name == choice.hub_name).scalar_subquery()
            await session.execute(
                update(ServerBinding)
                .where(ServerBinding.person_id == persons, ServerBinding.server_name == choice.server_name)
                .values(last_start_at=self.clock())
            )

    async def stopped(self, hub_name: str, server_name: str, space: str, *, by: str) -> None:
        """Remember that a server ended; `by` is a hub name, or `hub` when nobody asked for it."""
        detail = {"server": server_name}
        async with self.writing() as session:
            await self._record(session, hub_name, audit.Action.SERVER_STOPPED, detail, space=space, actor=by)

    async def _available(self, hub_name: str, request: Request | None = None) -> Availability:
        """What can be had here at this moment, by this person."""
        if self.site is None:
            return Availability(self.unavailable)
        from kirzl_lab.spawning.cluster_capacity import capacity_of  # noqa: PLC0415 - a laptop has no KubeSpawner

        theirs = pod_name(hub_name, request.space, request.purpose) if request else ""
        return await capacity_of(self.site.namespace).now(self.catalogue.sizes, self.catalogue.flavours, theirs)

    async def sight(self, hub_name: str) -> Sight:
        """What the person may open now; binds roster rows that have waited for them. Raises `PersonBlocked`."""
        available = await self._available(hub_name)
        async with self.reading() as session:
            person = await self._person(session, hub_name)
            if not await waits(session, person.id):  # nearly always: a look that writes would stand in line
                return await self._look(session, person, available)
        async with self.writing() as session:
            person = await self._person(session, hub_name)
            await bind_waiting(session, person.id, self.clock())
            return await self._look(session, person, available)

    async def _look(self, session: AsyncSession, person: Person, available: Availability) -> Sight:
        names = await bindings(session, person.id)
        members = await memberships(session, person.id)
        identities = await self._identities(session, person)
        return Sight(
            facts=tuple(
                self._facts(person, identities, member.space, member.role, names, available=available)
                for member in members
            ),
            asserted={identity.institution_name: identity.claims for identity in identities},
            dropped={identity.institution_name: identity.dropped or {} for identity in identities},
            lost=await lost_by(session, person.hub_name, person.id, self.clock(), self.catalogue.lab.grace_minutes),
        )

    async def _identities(self, session: AsyncSession, person: Person) -> list[Identity]:
        query = select(Identity).where(Identity.person_id == person.id).order_by(Identity.last_login_at)
        return list(await session.scalars(query))

    async def _person(self, session: AsyncSession, hub_name: str, *, lock: bool = False) -> Person:
        query = select(Person).where(Person.hub_name == hub_name)
        # Others may go on referring to the person (`FOR NO KEY UPDATE`), as `apply` does while it adds memberships.
        locked = query.with_for_update(key_share=True) if lock else query
        person = (await session.execute(locked)).scalar_one_or_none()
        if person is None:
            raise NotAMember(space=self.catalogue.lab.title)
        if person.blocked_at is not None:
            raise PersonBlocked(contact=self.catalogue.lab.contact)
        return person

    def _facts(
        self,
        person: Person,
        identities: list[Identity],
        space: Space | None,
        role: Role | None,
        names: list[Bound],
        *,
        available: Availability,
    ) -> Facts:
        zone = UTC if space is None else CourseFile.model_validate(space.spec).zone
        return Facts(
            hub_name=person.hub_name,
            institution=identities[-1].institution_name if identities else "",
            space=None if space is None else self._space_facts(space),
            role=role,
            bindings=[Binding(name.server_name, name.space, name.purpose) for name in names],
            sizes=self.catalogue.sizes,
            flavours=self.catalogue.flavours,
            unavailable=available.unavailable,
            today=self.clock().astimezone(zone).date(),
            full=available.full,
        )

    def _space_facts(self, space: Space) -> SpaceFacts:
        file = CourseFile.model_validate(space.spec)
        title = Text(de=space.title_de, en=space.title_en)
        return SpaceFacts.of(space.name, space.kind, title, file, self._materials(space))

    def _materials(self, space: Space) -> Path | None:
        folder = self.settings.courses / space.name / "materials"
        return folder if space.managed_by and folder.is_dir() else None

    async def _bind(self, session: AsyncSession, person: Person, space: Space, choice: Choice, *, starts: bool) -> None:
        query = select(ServerBinding).where(
            ServerBinding.person_id == person.id, ServerBinding.server_name == choice.server_name
        )
        binding = (await session.execute(query)).scalar_one_or_none()
        if binding is None:
            binding = ServerBinding(
                person_id=person.id,
                server_name=choice.server_name,
                space_id=space.id,
                purpose=choice.purpose,
                created_at=self.clock(),
            )
            session.add(binding)
        if starts:
            binding.staff = choice.staff

    async def _record(
        self,
        session: AsyncSession,
        hub_name: str,
        action: audit.Action,
        detail: dict[str, Any],
        *,
        space: str | None = None,
        actor: str | None = None,
    ) -> None:
        person = await person_called(session, hub_name)
        found = await space_called(session, space or str(detail.get("space")))
        audit.record(
            session,
            at=self.clock(),
            actor=actor or hub_name,
            action=action,
            person_id=person.id if person else None,
            space_id=found.id if found else None,
            detail=detail,
        )


@cache
def the_lab() -> Lab:
    """The lab of this process, made once from its environment."""
    settings = Settings.from_environment()
    return Lab(settings, load(settings.hub_config, settings.courses), os.environ)


@asynccontextmanager
async def _limited(
    context: AbstractAsyncContextManager[AsyncSession], access: Literal["read", "write"]
) -> AsyncIterator[AsyncSession]:
    try:
        with metrics.database(access):
            async with asyncio.timeout(DATABASE_LIMIT_S), context as session:
                yield session
    except (*AWAY, OSError) as error:
        metrics.DATABASE_AWAY.inc()
        raise LabDatabaseAway() from error
