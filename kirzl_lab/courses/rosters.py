"""The roster of one course: who is on it, what a change of it would do, and doing it.

Guarantees: a change is written as a whole or not at all; a preview that is out of date is refused; a course always
keeps somebody who instructs it and has logged in; whoever is removed keeps what they handed in, since rows and
bindings stay; a row for somebody whom the lab knows already is theirs when the transaction ends.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.catalog.models import Role
from kirzl_lab.problems import LastInstructor, RosterChanged, UnknownRosterRow
from kirzl_lab.store.difference import Change, KnownRow, Place, Promise, RosterSteps, roster_steps
from kirzl_lab.store.known_rosters import known_rosters, lock_rosters
from kirzl_lab.store.steps import write_audit, write_roster
from kirzl_lab.store.tables import Membership, RosterEntry, Space

Bind = Callable[[AsyncSession, int, datetime], Awaitable[int]]
"""Gives rows of a space, by its id, to the people whom they wait for: `federation.roster.bind_space`."""


@dataclass(frozen=True, slots=True)
class Roster:
    """The roster as it is at one moment."""

    space: Space
    rows: tuple[KnownRow, ...]
    """Those that were removed too."""

    @property
    def promises(self) -> dict[Promise, Place]:
        """What the roster promises now."""
        return {row.promise: row.place for row in self.rows if not row.removed}

    @property
    def mark(self) -> str:
        """Another one whenever the roster is another; bindings do not count, since nobody edits them."""
        rows = sorted((*row.promise, *row.place) for row in self.rows if not row.removed)
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:32]

    def with_upload(self, wanted: Mapping[Promise, Place], *, complete: bool) -> dict[Promise, Place]:
        """What the roster would promise after an upload of `wanted`.

        With `complete` the upload is the whole roster and who is not in it goes, but no instructor: a file from the
        registry does not have those, and whoever uploads it would lock themselves out.
        """
        kept = {
            promise: place for promise, place in self.promises.items() if not complete or place[0] == Role.INSTRUCTOR
        }
        return kept | dict(wanted)

    def steps(self, wanted: Mapping[Promise, Place]) -> RosterSteps:
        """What lies between the roster and `wanted`."""
        return roster_steps(self.space.name, self.rows, wanted)


async def roster_of(session: AsyncSession, space: Space) -> Roster:
    """The roster of a course."""
    found = await known_rosters(session, RosterEntry.space_id == space.id)
    return Roster(space, tuple(found.get(space.name, ())))


async def set_rows(
    session: AsyncSession,
    space: Space,
    wanted: Mapping[Promise, Place],
    *,
    actor: str,
    now: datetime,
    bind: Bind,
) -> tuple[Change, ...]:
    """Add rows to the roster, or give those that are there another role or section; returns what changed."""
    return await _change(session, space, lambda roster: {**roster.promises, **wanted}, actor=actor, now=now, bind=bind)


async def upload(
    session: AsyncSession,
    space: Space,
    wanted: Mapping[Promise, Place],
    *,
    complete: bool,
    mark: str,
    actor: str,
    now: datetime,
    bind: Bind,
) -> tuple[Change, ...]:
    """Do what was previewed; returns what changed.

    Raises `RosterChanged` when the roster is another than the one of that `mark`.
    """

    def plan(roster: Roster) -> Mapping[Promise, Place]:
        if roster.mark != mark:
            raise RosterChanged()
        return roster.with_upload(wanted, complete=complete)

    return await _change(session, space, plan, actor=actor, now=now, bind=bind)


async def change_row(
    session: AsyncSession, space: Space, row_id: int, place: Place, *, actor: str, now: datetime, bind: Bind
) -> tuple[Change, ...]:
    """Give one row another role or section; returns what changed. Raises `UnknownRosterRow`."""
    return await _change(
        session, space, lambda roster: roster.promises | {_row(roster, row_id).promise: place}, actor=actor, now=now, bind=bind
    )  # fmt: skip


async def remove_rows(
    session: AsyncSession, space: Space, row_ids: Collection[int], *, actor: str, now: datetime, bind: Bind
) -> tuple[Change, ...]:
    """Take rows off the roster; returns what changed. Raises `UnknownRosterRow`."""

    def plan(roster: Roster) -> Mapping[Promise, Place]:
        gone = {_row(roster, row_id).promise for row_id in row_ids}
        return {promise: place for promise, place in roster.promises.items() if promise not in gone}

    return await _change(session, space, plan, actor=actor, now=now, bind=bind)


def _row(roster: Roster, row_id: int) -> KnownRow:
    for row in roster.rows:
        if row.id == row_id and not row.removed:
            return row
    raise UnknownRosterRow()


async def _change(
    session: AsyncSession,
    space: Space,
    plan: Callable[[Roster], Mapping[Promise, Place]],
    *,
    actor: str,
    now: datetime,
    bind: Bind,
) -> tuple[Change, ...]:
    await lock_rosters(session)
    roster = await roster_of(session, space)
    steps = roster.steps(plan(roster))
    spaces = {space.name: space.id}
    await write_roster(session, steps, spaces, now)
    await write_audit(session, steps.changes, spaces, now, actor)
    await bind(session, space.id, now)
    await session.flush()
    if steps.changes and not await _is_instructed(session, space.id):
        raise LastInstructor()
    return steps.changes


async def _is_instructed(session: AsyncSession, space_id: int) -> bool:
    query = select(Membership.id).where(Membership.space_id == space_id, Membership.role == Role.INSTRUCTOR)
    return (await session.execute(query.limit(1))).first() is not None
