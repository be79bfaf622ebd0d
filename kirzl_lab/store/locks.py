"""What is done by one at a time in PostgreSQL.

Locks of the lab's own tables, which nobody else has a right to: anybody with a login to the database, and people who run
a course have one, could take an advisory lock and keep it. Every lock ends with its transaction.
"""

from enum import StrEnum
from typing import Final


class Lock(StrEnum):
    """Statements that wait for a turn. Readers of the tables wait for none of them."""

    BLOBS_WRITTEN = "LOCK TABLE blobs IN ROW EXCLUSIVE MODE"
    """Rows of blobs are written, by many at a time."""
    BLOBS_REMOVED = "LOCK TABLE blobs IN SHARE ROW EXCLUSIVE MODE"
    """Blobs are removed, by one, while nobody writes their rows."""
    GRADEBOOK_ROLES = "LOCK TABLE alembic_version IN SHARE ROW EXCLUSIVE MODE"
    """Somebody changes roles and schemas of gradebooks."""


MIGRATION: Final = 5_127_460_931
"""The one advisory lock: there may be no table yet. Other versions of the lab take the same number."""
