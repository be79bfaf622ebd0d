"""What a login reads from and writes to the lab database: the person, their roster rows, the audit.

Guarantees: nothing here waits longer than its limits; an audit that cannot be written stands in nobody's way.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.federation.claims import asserted, display_name
from kirzl_lab.federation.institution_authenticator import Verified
from kirzl_lab.federation.institutions import LoginInstitution
from kirzl_lab.federation.people import recognise
from kirzl_lab.federation.roster import bind
from kirzl_lab.federation.session import Session
from kirzl_lab.problems import LabDatabaseAway
from kirzl_lab.store import audit
from kirzl_lab.store.database import AWAY, Store
from kirzl_lab.store.members import person_called
from kirzl_lab.store.tables import Identity, InstitutionRow, Person

READ_LIMIT_S = 1.0
WRITE_LIMIT_S = 3.0
"""Longer than a read's: another process may be writing, and somebody waits in front of a login page, not of a server."""
QUEUE_LIMIT_S = 30.0
"""How long a login waits for the logins before it to be written down."""
LOGOUT_LIMIT_S = 1.0
"""How long somebody who leaves waits for their row in the audit."""
AWAY_FOR_S = 1.0
"""How long after a write that took too long those that queue behind it are turned away at once."""

MOST_REFUSALS_A_MINUTE = 60
"""That go to the audit: strangers can cause them. All of them go to the log."""


class LoginBook:
    """The lab database, as logins see it."""

    def __init__(self, store: Store, clock: Callable[[], datetime], log: logging.Logger) -> None:
        self._store = store
        self._clock = clock
        self._log = log
        self._turn = asyncio.Lock()
        self._away_until = 0.0
        self._minute = clock()
        self._refusals = 0

    async def admit(self, institution: LoginInstitution, verified: Verified, *, contact: str) -> Person:
        """The person, with the roster rows that wait for them bound and the login in the audit, all or nothing.

        Raises `PersonBlocked`, `UnknownInstitution` and `LabDatabaseAway`.
        """
        said = asserted(institution, verified.claims)
        dropped = sorted({f"{one.claim}: {one.why.value}" for one in said.dropped})
        name = display_name(verified.claims)
        now = self._clock()
        async with self._writing() as session:
            person = await recognise(
                session, institution, verified.subject, said, display_name=name, now=now, contact=contact
            )
            await bind(session, person, institution.name, said.values, now)
            audit.record(
                session,
                at=now,
                actor=person.hub_name,
                action=audit.Action.LOGIN,
                person_id=person.id,
                institution=institution.name,
                detail={"dropped": dropped} if dropped else {},
            )
        return person

    async def may_stay(self, hub_name: str, login: Session) -> bool:
        """Whether the person is not blocked and the institution not removed. True when the database does not answer."""
        query = (
            select(Person.blocked_at, InstitutionRow.removed_at)
            .join(Identity, Identity.person_id == Person.id)
            .join(InstitutionRow, InstitutionRow.name == Identity.institution_name)
            .where(Person.hub_name == hub_name, Identity.issuer == login.issuer, Identity.subject == login.subject)
        )
        try:
            async with asyncio.timeout(READ_LIMIT_S), self._store.reading() as session:
                row = (await session.execute(query)).one_or_none()
        except (*AWAY, OSError) as error:
            self._log.warning("The lab database does not answer (%s): logins hold", _cause(error))
            return True
        return row is not None and row[0] is None and row[1] is None

    async def refused(self, institution: str, problem: str, reason: str) -> None:
        """A refused login for the audit; no more than 60 a minute."""
        now = self._clock()
        if now - self._minute > timedelta(minutes=1):
            self._minute, self._refusals = now, 0
        self._refusals += 1
        if self._refusals > MOST_REFUSALS_A_MINUTE:
            return
        try:
            async with self._writing() as session:
                audit.record(
                    session,
                    at=now,
                    actor="login",
                    action=audit.Action.LOGIN_REFUSED,
                    institution=institution,
                    detail={"problem": problem, "reason": reason},
                )
        except LabDatabaseAway:
            self._log.warning("The audit lacks a refused login")

    async def logged_out(self, hub_name: str, institution: str | None) -> None:
        """A logout for the audit, within a second or not at all."""
        try:
            async with asyncio.timeout(LOGOUT_LIMIT_S), self._writing() as session:
                person = await person_called(session, hub_name)
                if person is not None:
                    audit.record(
                        session,
                        at=self._clock(),
                        actor=hub_name,
                        action=audit.Action.LOGOUT,
                        person_id=person.id,
                        institution=institution,
                    )
        except (LabDatabaseAway, TimeoutError):
            self._log.warning("The audit lacks a logout")

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncSession]:
        """One after the other: SQLite has one writer, and to wait here is cheaper and fairer than to wait there."""
        try:
            async with asyncio.timeout(QUEUE_LIMIT_S):
                await self._turn.acquire()
            try:
                async with self._in_time(), self._store.writing() as session:
                    yield session
            finally:
                self._turn.release()
        except (*AWAY, OSError) as error:
            self._log.warning("The lab database did not take a login or logout: %s", _cause(error))
            raise LabDatabaseAway() from error

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Raises `TimeoutError` after the limit, and for a moment after that at once: a queue must not add limits up."""
        moment = asyncio.get_running_loop().time
        if moment() < self._away_until:
            raise TimeoutError("it did not answer a moment ago")
        try:
            async with asyncio.timeout(WRITE_LIMIT_S):
                yield
        except TimeoutError:
            self._away_until = moment() + AWAY_FOR_S
            raise


def _cause(error: BaseException) -> str:
    """Fit for a log: what the driver said, without the statement and its parameters, which hold people's data."""
    said = error.orig if isinstance(error, DBAPIError) else error
    return f"{type(error).__name__}: {said}"
