"""What needs a blob is found by it, and attempts that were lost are counted by themselves

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = (
    ("assignments", "release_sha256"),
    ("assignments", "source_sha256"),
    ("submissions", "sha256"),
    ("submissions", "feedback_sha256"),
    ("grading_tasks", "prepared_sha256"),
    ("grading_tasks", "executed_sha256"),
    ("grading_tasks", "graded_sha256"),
)


def upgrade() -> None:
    for table, column in COLUMNS:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    op.add_column("grading_tasks", sa.Column("losses", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("grading_tasks") as tasks:
        tasks.alter_column("losses", server_default=None)
