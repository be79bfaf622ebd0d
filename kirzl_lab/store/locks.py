"""The lab's numbers among PostgreSQL's advisory locks. All are of one database, so no two may be the same."""

from enum import IntEnum


class Lock(IntEnum):
    """What is done by one at a time. The numbers are arbitrary, and stay: other versions of the lab take them, too."""

    MIGRATION = 5_127_460_931
    """Somebody migrates the lab database."""
    BLOBS = 5_127_460_932
    """Shared: rows of blobs are written; alone: blobs are removed."""
    GRADEBOOK_ROLES = 5_127_460_933
    """Somebody changes roles and schemas of gradebooks."""
