"""The rosters as the lab remembers them, in the words of the comparison."""

from sqlalchemy import ColumnElement, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.store.difference import KnownRow
from kirzl_lab.store.tables import Membership, RosterEntry, Space


async def lock_rosters(session: AsyncSession) -> None:
    """Let nobody else write roster rows until the caller's transaction ends. SQLite has one writer anyway."""
    if session.get_bind().dialect.name == "postgresql":
        # Logins that bind rows wait until we are done, and we until they are: roles and bindings meet in order.
        await session.execute(text("LOCK TABLE roster_rows IN EXCLUSIVE MODE"))


async def known_rosters(session: AsyncSession, *which: ColumnElement[bool]) -> dict[str | None, list[KnownRow]]:
    """The rows of every roster, those that were removed too, by space; None has the operators. `which` narrows them."""
    query = (
        select(
            Space.name,
            RosterEntry.id,
            RosterEntry.institution_name,
            RosterEntry.claim,
            RosterEntry.value,
            RosterEntry.role,
            RosterEntry.section,
            RosterEntry.removed_at,
            RosterEntry.bound_person_id,
            Membership.role,
            Membership.section,
        )
        .outerjoin(Space, Space.id == RosterEntry.space_id)
        .outerjoin(Membership, Membership.roster_row_id == RosterEntry.id)
        .where(*which)
        .order_by(RosterEntry.id)
    )
    rosters: dict[str | None, list[KnownRow]] = {}
    for space, id_, institution, claim, value, role, section, removed_at, person_id, *member in await session.execute(
        query
    ):
        row = KnownRow(
            id=id_,
            promise=(institution, claim, value),
            place=(role, section),
            removed=removed_at is not None,
            person_id=person_id,
            membership=None if member[0] is None else (member[0], member[1]),
        )
        rosters.setdefault(space, []).append(row)
    return rosters
