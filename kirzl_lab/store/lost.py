"""Servers whose person has lost the right to them: since when and why, from what the lab remembers.

Guarantees: the moment comes from the rows that took the right away, so it is the same for everybody who asks, before
and after a restart; somebody who gets the right back before the end has lost nothing; an end is written down once.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.catalog.models import STAFF, Text
from kirzl_lab.store import audit
from kirzl_lab.store.tables import AuditEntry, Membership, Person, RosterEntry, ServerBinding, Space, storable

ACTOR = "lab"
"""Who ends such servers, in the audit."""

BLOCK_GRACE = timedelta(seconds=30)
"""The operator who blocks somebody ends their servers in the same moment: time for that, before the lab sees to it."""


class Reason(StrEnum):
    """What happened; also the reason in the audit."""

    BLOCKED = "blocked"
    ARCHIVED = "archived"
    LEFT = "left"
    DEMOTED = "demoted"
    """Still a member, but no longer of those who run the space, whose files their server has."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A server's name that means a space which its person may not open any more, or not as the server was started."""

    hub_name: str
    server_name: str
    purpose: str
    space: str
    kind: str
    title: Text
    reason: Reason
    at: datetime
    person_id: int
    space_id: int

    def ends_at(self, grace_minutes: int) -> datetime:
        """When a server that runs under that name is ended."""
        return self.at + (BLOCK_GRACE if self.reason is Reason.BLOCKED else timedelta(minutes=grace_minutes))


@dataclass(frozen=True, slots=True)
class End:
    """That the lab ended a server."""

    server_name: str
    space_id: int | None
    at: datetime


async def losses(session: AsyncSession, hub_names: Collection[str]) -> list[Loss]:
    """What these people have lost, whether it runs or not, by hub name and server name."""
    member = select(Membership.id).where(
        Membership.person_id == ServerBinding.person_id, Membership.space_id == ServerBinding.space_id
    )
    runs_it = member.where(Membership.role.in_(STAFF)).exists()
    theirs = (RosterEntry.bound_person_id == ServerBinding.person_id, RosterEntry.space_id == ServerBinding.space_id)
    removed_at = select(func.max(RosterEntry.removed_at)).where(*theirs).scalar_subquery()
    staff_removed_at = (
        select(func.max(RosterEntry.removed_at)).where(*theirs, RosterEntry.role.in_(STAFF)).scalar_subquery()
    )
    changed_at = (
        select(func.max(RosterEntry.role_changed_at))
        .where(*theirs, RosterEntry.removed_at.is_(None), RosterEntry.role.not_in(STAFF))
        .scalar_subquery()
    )
    query = (
        select(ServerBinding, Person, Space, member.exists(), removed_at, staff_removed_at, changed_at)
        .join(Person, Person.id == ServerBinding.person_id)
        .join(Space, Space.id == ServerBinding.space_id)
        .where(
            Person.hub_name.in_([name for name in hub_names if storable(name)]),
            or_(
                ~member.exists(),
                Space.archived_at.is_not(None),
                Person.blocked_at.is_not(None),
                and_(ServerBinding.staff.is_(True), ~runs_it),
            ),
        )
        .order_by(Person.hub_name, ServerBinding.server_name)
    )
    found = []
    for binding, person, space, is_member, removed, *demotions in await session.execute(query):
        # No row that is gone can only be somebody who never was a member: then the server was never right.
        never = binding.last_start_at or binding.created_at
        left_at = None if is_member else removed or never
        # In a space that is closed for all it does not matter who ran it.
        may_be_demoted = is_member and space.archived_at is None and person.blocked_at is None
        demoted_at = max(filter(None, demotions), default=never) if may_be_demoted else None
        reason, at = _cause(person.blocked_at, space.archived_at, left_at, demoted_at)
        found.append(
            Loss(
                hub_name=person.hub_name,
                server_name=binding.server_name,
                purpose=binding.purpose,
                space=space.name,
                kind=space.kind,
                title=Text(de=space.title_de, en=space.title_en),
                reason=reason,
                at=at,
                person_id=person.id,
                space_id=space.id,
            )
        )
    return found


def _cause(
    blocked_at: datetime | None, archived_at: datetime | None, left_at: datetime | None, demoted_at: datetime | None
) -> tuple[Reason, datetime]:
    """A block counts first, for it ends servers at once; else what happened first. One of them is there."""
    if blocked_at is not None:
        return Reason.BLOCKED, blocked_at
    causes = ((Reason.ARCHIVED, archived_at), (Reason.LEFT, left_at), (Reason.DEMOTED, demoted_at))
    at, reason = min((at, reason) for reason, at in causes if at)
    return reason, at


async def write_end(session: AsyncSession, loss: Loss, now: datetime) -> None:
    """Write down that the lab ends the server, unless that is written since the loss: others may be at it, too."""
    await session.execute(select(Person.id).where(Person.id == loss.person_id).with_for_update(key_share=True))
    if any(end.server_name == loss.server_name for end in await ends(session, loss.person_id, loss.at)):
        return
    audit.record(
        session,
        at=now,
        actor=ACTOR,
        action=audit.Action.SERVER_STOPPED,
        person_id=loss.person_id,
        space_id=loss.space_id,
        detail={"server": loss.server_name, "reason": loss.reason.value},
    )


async def ends(session: AsyncSession, person_id: int, since: datetime) -> list[End]:
    """The servers of a person that the lab has ended since then, the last first."""
    query = (
        select(AuditEntry.detail, AuditEntry.space_id, AuditEntry.at)
        .where(
            and_(
                AuditEntry.person_id == person_id,
                AuditEntry.actor == ACTOR,
                AuditEntry.action == audit.Action.SERVER_STOPPED.value,
                AuditEntry.at >= since,
            )
        )
        .order_by(AuditEntry.at.desc())
    )
    return [End(str(detail.get("server")), space_id, at) for detail, space_id, at in await session.execute(query)]
