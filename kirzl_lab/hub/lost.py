"""What people are told of a space that they may not open any more: that a server of theirs still runs there, or was ended."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.store.lost import Loss, ends, losses

TOLD_FOR = timedelta(days=7)
"""How long My spaces says that a server was ended."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A server's name whose space its person has lost."""

    loss: Loss
    ends_at: datetime
    """When the lab ends the server, if it runs."""
    ended_at: datetime | None
    """When the lab ended it, where that is news."""


async def lost_by(
    session: AsyncSession, hub_name: str, person_id: int, now: datetime, grace_minutes: int
) -> tuple[Lost, ...]:
    """Everything that the person has lost, whether a server runs there or not, by the server's name."""
    found = await losses(session, [hub_name])
    if not found:
        return ()
    ended = {end.server_name: end.at for end in reversed(await ends(session, person_id, now - TOLD_FOR))}
    return tuple(
        Lost(
            loss=loss,
            ends_at=loss.ends_at(grace_minutes),
            ended_at=at if (at := ended.get(loss.server_name)) and at >= loss.at else None,
        )
        for loss in found
    )
