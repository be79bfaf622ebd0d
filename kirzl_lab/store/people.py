"""What operators do to persons. Every change leaves an entry in the audit, in the same transaction."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.problems import UnknownPerson
from kirzl_lab.store import audit
from kirzl_lab.store.members import person_called


async def block(session: AsyncSession, hub_name: str, actor: str, now: datetime) -> bool:
    """Block a person: no login, no start from now on. False when they were blocked already; raises `UnknownPerson`."""
    return await _set_blocked(session, hub_name, actor, now, blocked=True)


async def unblock(session: AsyncSession, hub_name: str, actor: str, now: datetime) -> bool:
    """Lift a block. False when there was none; raises `UnknownPerson`."""
    return await _set_blocked(session, hub_name, actor, now, blocked=False)


async def _set_blocked(session: AsyncSession, hub_name: str, actor: str, now: datetime, *, blocked: bool) -> bool:
    person = await person_called(session, hub_name)
    if person is None:
        raise UnknownPerson(person=hub_name)
    if (person.blocked_at is not None) == blocked:
        return False
    person.blocked_at = now if blocked else None
    action = audit.Action.PERSON_BLOCKED if blocked else audit.Action.PERSON_UNBLOCKED
    audit.record(session, at=now, actor=actor, action=action, person_id=person.id)
    return True
