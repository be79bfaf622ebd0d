"""What the audit speaks of, and the one way to add to it."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.store.tables import AuditEntry


class Action(StrEnum):
    """The verbs of the audit."""

    PERSON_CREATED = "person-created"
    PERSON_BLOCKED = "person-blocked"
    PERSON_UNBLOCKED = "person-unblocked"
    LOGIN = "login"
    LOGIN_REFUSED = "login-refused"
    LOGOUT = "logout"
    ROSTER_BOUND = "roster-bound"
    ROSTER_CONFLICT = "roster-conflict"
    ROSTER_ADDED = "roster-added"
    ROSTER_CHANGED = "roster-changed"
    ROSTER_REMOVED = "roster-removed"
    ROSTER_RESTORED = "roster-restored"
    MEMBERSHIP_MENDED = "membership-mended"
    SPACE_CREATED = "space-created"
    SPACE_CHANGED = "space-changed"
    SPACE_ARCHIVED = "space-archived"
    SPACE_RESTORED = "space-restored"
    SPACE_DELETED = "space-deleted"
    SPACE_ERASED = "space-erased"
    INSTITUTION_ADDED = "institution-added"
    INSTITUTION_RESTORED = "institution-restored"
    INSTITUTION_CHANGED = "institution-changed"
    INSTITUTION_REMOVED = "institution-removed"
    GRADING_STARTED = "grading-started"
    SERVER_STARTED = "server-started"
    SERVER_STOPPED = "server-stopped"
    START_REFUSED = "start-refused"
    ASSIGNMENT_RELEASED = "assignment-released"
    ASSIGNMENT_WITHDRAWN = "assignment-withdrawn"
    FEEDBACK_RELEASED = "feedback-released"
    FEEDBACK_WITHDRAWN = "feedback-withdrawn"


def record(
    session: AsyncSession,
    *,
    at: datetime,
    actor: str,
    action: Action,
    person_id: int | None = None,
    space_id: int | None = None,
    institution: str | None = None,
    detail: dict[str, Any] | None = None,
    note: str = "",
) -> None:
    """Add one entry to the audit, in the caller's transaction."""
    session.add(
        AuditEntry(
            at=at,
            actor=actor,
            action=action.value,
            person_id=person_id,
            space_id=space_id,
            institution_name=institution,
            detail=detail or {},
            note=note,
        )
    )
