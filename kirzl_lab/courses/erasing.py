"""The end of deleted courses, once nobody can restore them any more.

What goes: the roster and its bindings, assignments, submissions, feedback and grading, after the gradebook
(`Gradebooks.remove`); the files follow when nothing needs them any more (`store.blob_rows`). What stays: the space's row,
so that its name is never given away again (homes and volumes are named after it), what its servers' names meant, and the
audit.
"""

from datetime import datetime

from sqlalchemy import delete, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.catalog.models import Kind
from kirzl_lab.store import audit
from kirzl_lab.store.course_tables import Assignment, GradingRun, GradingTask, Submission
from kirzl_lab.store.lost import ACTOR
from kirzl_lab.store.tables import Membership, RosterEntry, Space


async def due_to_erase(session: AsyncSession, now: datetime) -> list[str]:
    """Names of the courses whose time is over and of which something is left."""
    query = select(Space.name).where(
        Space.kind == Kind.COURSE,
        Space.archived_at.is_not(None),
        Space.delete_after <= now,
        or_(exists().where(RosterEntry.space_id == Space.id), exists().where(Assignment.space_id == Space.id)),
    )
    return list(await session.scalars(query.order_by(Space.name)))


async def erase(session: AsyncSession, name: str, now: datetime) -> None:
    """Erase the course, unless somebody has restored it meanwhile."""
    query = select(Space).where(Space.name == name).with_for_update(key_share=True)
    space = (await session.scalars(query)).one()
    if space.archived_at is None or space.delete_after is None or space.delete_after > now:
        return
    assignments = select(Assignment.id).where(Assignment.space_id == space.id)
    runs = select(GradingRun.id).where(GradingRun.assignment_id.in_(assignments))
    for statement in (
        delete(GradingTask).where(GradingTask.run_id.in_(runs)),
        delete(GradingRun).where(GradingRun.assignment_id.in_(assignments)),
        delete(Submission).where(Submission.assignment_id.in_(assignments)),
        delete(Assignment).where(Assignment.space_id == space.id),
        delete(Membership).where(Membership.space_id == space.id),
        delete(RosterEntry).where(RosterEntry.space_id == space.id),
    ):
        await session.execute(statement.execution_options(synchronize_session=False))
    audit.record(session, at=now, actor=ACTOR, action=audit.Action.SPACE_ERASED, space_id=space.id)
