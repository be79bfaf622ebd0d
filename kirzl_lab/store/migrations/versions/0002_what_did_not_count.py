"""What did not count at a login and why, who was staff, no last size, and an audit that cannot be replaced either

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

AUDIT_GUARD = {
    # INSERT OR REPLACE takes the old row away without a word to the trigger that refuses DELETE. An id that is not
    # given yet is -1 here.
    "sqlite": (
        "CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit"
        " WHEN NEW.id > 0 AND EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)"
        " BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END",
    ),
    "postgresql": (),
}


def upgrade() -> None:
    op.add_column("identities", sa.Column("dropped", sa.JSON(), nullable=True))
    op.drop_column("servers", "last_size")
    op.add_column("servers", sa.Column("staff", sa.Boolean(), nullable=True))
    op.add_column("roster_rows", sa.Column("role_changed_at", sa.DateTime(timezone=True), nullable=True))
    for statement in AUDIT_GUARD[op.get_context().dialect.name]:
        op.execute(statement)
