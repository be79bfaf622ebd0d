"""What was released, handed in and graded

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_blobs")),
    )
    op.create_table(
        "assignments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("space_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("notebooks", sa.JSON(), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("released_by", sa.Integer(), nullable=True),
        sa.Column("release_sha256", sa.String(length=64), nullable=True),
        sa.Column("source_sha256", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["release_sha256"], ["blobs.sha256"], name=op.f("fk_assignments_release_sha256")),
        sa.ForeignKeyConstraint(["released_by"], ["persons.id"], name=op.f("fk_assignments_released_by")),
        sa.ForeignKeyConstraint(["source_sha256"], ["blobs.sha256"], name=op.f("fk_assignments_source_sha256")),
        sa.ForeignKeyConstraint(["space_id"], ["spaces.id"], name=op.f("fk_assignments_space_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignments")),
        sa.UniqueConstraint("space_id", "name", name=op.f("uq_assignments_space_id")),
    )
    op.create_table(
        "grading_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("assignment_id", sa.Integer(), nullable=False),
        sa.Column("started_by", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignments.id"], name=op.f("fk_grading_runs_assignment_id")),
        sa.ForeignKeyConstraint(["started_by"], ["persons.id"], name=op.f("fk_grading_runs_started_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grading_runs")),
    )
    op.create_index(op.f("ix_grading_runs_assignment_id"), "grading_runs", ["assignment_id"], unique=False)
    op.create_index(op.f("ix_grading_runs_finished_at"), "grading_runs", ["finished_at"], unique=False)
    op.create_table(
        "submissions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("assignment_id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("notebooks", sa.JSON(), nullable=False),
        sa.Column("receipt", sa.String(), nullable=False),
        sa.Column("feedback_sha256", sa.String(length=64), nullable=True),
        sa.Column("feedback_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("feedback_asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("feedback_asked_by", sa.Integer(), nullable=True),
        sa.Column("feedback_problem", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignments.id"], name=op.f("fk_submissions_assignment_id")),
        sa.ForeignKeyConstraint(["feedback_asked_by"], ["persons.id"], name=op.f("fk_submissions_feedback_asked_by")),
        sa.ForeignKeyConstraint(["feedback_sha256"], ["blobs.sha256"], name=op.f("fk_submissions_feedback_sha256")),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name=op.f("fk_submissions_person_id")),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"], name=op.f("fk_submissions_sha256")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submissions")),
        sa.UniqueConstraint("assignment_id", "person_id", "key", name=op.f("uq_submissions_assignment_id")),
    )
    op.create_index("ix_submissions_order", "submissions", ["assignment_id", "person_id", "submitted_at"], unique=False)
    op.create_index(op.f("ix_submissions_feedback_asked_at"), "submissions", ["feedback_asked_at"], unique=False)
    op.create_index(op.f("ix_submissions_person_id"), "submissions", ["person_id"], unique=False)
    op.create_table(
        "grading_tasks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("submission_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fetch_hash", sa.String(length=64), nullable=True),
        sa.Column("report_hash", sa.String(length=64), nullable=True),
        sa.Column("prepared_sha256", sa.String(length=64), nullable=True),
        sa.Column("executed_sha256", sa.String(length=64), nullable=True),
        sa.Column("graded_sha256", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("log", sa.String(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(["executed_sha256"], ["blobs.sha256"], name=op.f("fk_grading_tasks_executed_sha256")),
        sa.ForeignKeyConstraint(["graded_sha256"], ["blobs.sha256"], name=op.f("fk_grading_tasks_graded_sha256")),
        sa.ForeignKeyConstraint(["prepared_sha256"], ["blobs.sha256"], name=op.f("fk_grading_tasks_prepared_sha256")),
        sa.ForeignKeyConstraint(["run_id"], ["grading_runs.id"], name=op.f("fk_grading_tasks_run_id")),
        sa.ForeignKeyConstraint(["submission_id"], ["submissions.id"], name=op.f("fk_grading_tasks_submission_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grading_tasks")),
        sa.UniqueConstraint("run_id", "submission_id", name=op.f("uq_grading_tasks_run_id")),
        sa.UniqueConstraint("fetch_hash", name=op.f("uq_grading_tasks_fetch_hash")),
        sa.UniqueConstraint("report_hash", name=op.f("uq_grading_tasks_report_hash")),
    )
    op.create_index(op.f("ix_grading_tasks_state"), "grading_tasks", ["state"], unique=False)
    op.create_index(op.f("ix_grading_tasks_submission_id"), "grading_tasks", ["submission_id"], unique=False)
    op.add_column("spaces", sa.Column("delete_after", sa.DateTime(timezone=True), nullable=True))
