"""The tables of teaching: what was released, handed in and graded. Files are in the blob store, by their SHA-256."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from kirzl_lab.store.tables import Base, Line


class BlobRow(Base):
    """A file of the blob store that something in these tables needs. Written in the same transaction as what needs it."""

    __tablename__ = "blobs"

    sha256: Mapped[str] = mapped_column(Line(64), primary_key=True)
    """In hexadecimal, lower case."""
    size: Mapped[int] = mapped_column(BigInteger)
    """In bytes."""
    created_at: Mapped[datetime]


class Assignment(Base):
    """An assignment of a course, from its first release on."""

    __tablename__ = "assignments"
    __table_args__ = (UniqueConstraint("space_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    space_id: Mapped[int] = mapped_column(ForeignKey("spaces.id"))
    name: Mapped[str] = mapped_column(Line(64))
    due_at: Mapped[datetime | None]
    """As the gradebook had it at the last release."""
    notebooks: Mapped[list[str]] = mapped_column(JSON)
    """Names of the release's notebooks, without `.ipynb`."""
    released_at: Mapped[datetime | None]
    """When students could fetch it last; empty once it is withdrawn."""
    released_by: Mapped[int | None] = mapped_column(ForeignKey("persons.id"))
    release_sha256: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    """What students fetch; kept when it is withdrawn."""
    source_sha256: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    """What it was made from, with solutions and hidden tests; for staff alone."""
    created_at: Mapped[datetime]


class Submission(Base):
    """What somebody handed in. Never changed and never deleted while its course is there."""

    __tablename__ = "submissions"
    __table_args__ = (
        UniqueConstraint("assignment_id", "person_id", "key"),
        Index("ix_submissions_order", "assignment_id", "person_id", "submitted_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    assignment_id: Mapped[int] = mapped_column(ForeignKey("assignments.id"))
    person_id: Mapped[int] = mapped_column(ForeignKey("persons.id"), index=True)
    key: Mapped[str] = mapped_column(Line(64))
    """Made by the client and sent with every try to hand this in: a try that comes again is the same submission."""
    submitted_at: Mapped[datetime]
    """The lab's time, by which lateness is judged. Differs between the submissions of one person to one assignment."""
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    files: Mapped[int]
    notebooks: Mapped[list[str]] = mapped_column(JSON)
    receipt: Mapped[str] = mapped_column(Line())
    """Signed by the lab: see `kirzl_lab.courses.receipts`."""
    feedback_sha256: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    """What the person may fetch; empty before feedback is released."""
    feedback_at: Mapped[datetime | None]
    feedback_asked_at: Mapped[datetime | None] = mapped_column(index=True)
    """When somebody asked for it to be made and released; empty once that has come to an end."""
    feedback_asked_by: Mapped[int | None] = mapped_column(ForeignKey("persons.id"))
    feedback_problem: Mapped[str | None] = mapped_column(Line(40))
    """Why it could not be made the last time: the slug of a problem."""


class GradingRun(Base):
    """One press of Grade: a task for each submission that it is about."""

    __tablename__ = "grading_runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    assignment_id: Mapped[int] = mapped_column(ForeignKey("assignments.id"), index=True)
    started_by: Mapped[int] = mapped_column(ForeignKey("persons.id"))
    started_at: Mapped[datetime]
    cancelled_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None] = mapped_column(index=True)
    """When the last of its tasks came to an end."""


class GradingTask(Base):
    """The grading of one submission in one run."""

    __tablename__ = "grading_tasks"
    __table_args__ = (UniqueConstraint("run_id", "submission_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("grading_runs.id"))
    submission_id: Mapped[int] = mapped_column(ForeignKey("submissions.id"), index=True)
    state: Mapped[str] = mapped_column(Line(20), index=True)
    """See `kirzl_lab.grading.tasks.State`."""
    attempt: Mapped[int] = mapped_column(default=1)
    """Counted from 1; what an older attempt reports is refused."""
    losses: Mapped[int] = mapped_column(default=0)
    """Attempts since somebody asked for this task that came to nothing through no fault of the submission."""
    fetch_hash: Mapped[str | None] = mapped_column(Line(64), unique=True)
    """SHA-256 of the token with which this attempt fetches its files, once; empty when there is none (any more)."""
    report_hash: Mapped[str | None] = mapped_column(Line(64), unique=True)
    """The same for the token with which it reports."""
    prepared_sha256: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    executed_sha256: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    """What came back, with outputs. From student code: hostile."""
    graded_sha256: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    """nbgrader's `autograded` folder, as finish left it: with scores in it, and with the hidden tests. For staff alone."""
    reason: Mapped[str | None] = mapped_column(Line(40))
    """Why it failed, one of `kirzl_lab.grading.outcomes.Reason`."""
    log: Mapped[str] = mapped_column(Line(), default="")
    """The end of what the three steps wrote, for the people who run the course."""
    changed_at: Mapped[datetime]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """What finish returned: scores as nbgrader has them."""
