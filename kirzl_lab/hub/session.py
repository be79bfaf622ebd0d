"""The hub's one database session, kept usable after a statement failed."""

import asyncio
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session


def mend(session: Session) -> None:
    """Roll `session` back as soon as a flush in it has failed.

    JupyterHub has one session for everybody and rolls it back at the next request that stumbles over it: that request
    finds nobody logged in. Whoever sends something that the database cannot take would log others out.
    """
    event.listen(session, "after_soft_rollback", _roll_back_soon)


def _roll_back_soon(session: Session, _transaction: Any) -> None:
    # Not at once: SQLAlchemy is in the middle of its own rollback of the flush when it tells us.
    if not session.is_active:
        asyncio.get_running_loop().call_soon(_roll_back, session)


def _roll_back(session: Session) -> None:
    if not session.is_active:
        session.rollback()
