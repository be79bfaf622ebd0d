"""The exchange: what is released, handed in and given back, as decisions and rows of the lab database.

Files are kept in the blob store first; each function here writes the row of a file with what needs it, in the
transaction of the session that it is given, so that there is all of a submission or nothing of it. Who may do what is
decided before (`kirzl_lab.service.access`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.catalog.models import CourseFile
from kirzl_lab.courses.receipts import Signer
from kirzl_lab.problems import AlreadyReleased, KeyUsed, NoFeedback, NotReleased, TooManySubmissions, UnknownAssignment
from kirzl_lab.store import audit
from kirzl_lab.store.archives import LIMITS, Limits, Manifest
from kirzl_lab.store.blob_rows import need
from kirzl_lab.store.blobs import Blob, Blobs, Draft
from kirzl_lab.store.course_tables import Assignment, BlobRow, Submission
from kirzl_lab.store.tables import Person, Space

ASSIGNMENT = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?"
"""Names of assignments: folders on every system, and without what nbgrader gives a meaning to."""
KEY = r"[A-Za-z0-9_-]{16,64}"
TICK = timedelta(microseconds=1)
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class By:
    """Who does it."""

    person_id: int
    hub_name: str


@dataclass(frozen=True, slots=True)
class Received:
    """An archive that was looked at and kept; its draft is there until its row is written."""

    draft: Draft
    blob: Blob
    manifest: Manifest
    at: datetime
    """When all of it had come."""


@dataclass(frozen=True, slots=True)
class HandedIn:
    """A submission, and whether it is new: a try that came again is the same one."""

    submission: Submission
    new: bool


# -- decisions -----------------------------------------------------------------------------------------------------


MOST_SUBMISSIONS, MOST_SIZES = 200, 20
"""Of one person for one assignment: how many, and how many of the largest size together."""


def limits_of(space: Space) -> Limits:
    """What may be handed in, and released, in a course: never more than what the lab packs itself."""
    file = CourseFile.model_validate(space.spec)
    packed = file.max_submission_mib * MIB
    return Limits(packed=packed, unpacked=min(10 * packed, LIMITS.unpacked), files=file.max_submission_files)


def notebooks_in(manifest: Manifest) -> list[str]:
    """Names of the notebooks of an assignment, without `.ipynb`, in order: those that are in no folder of it."""
    paths = (PurePosixPath(file.path) for file in manifest.files)
    return sorted(path.stem for path in paths if len(path.parts) == 1 and path.suffix == ".ipynb")


def time_of_submission(now: datetime, last: datetime | None) -> datetime:
    """The time by which it is judged: now, but never that of the person's submission before, nor earlier."""
    return now if last is None or last < now else last + TICK


def is_late(submitted_at: datetime, due_at: datetime | None) -> bool:
    """Whether it was handed in after it was due."""
    return due_at is not None and submitted_at > due_at


def must_be_released(assignment: Assignment | None, name: str) -> Assignment:
    """The assignment. Raises `UnknownAssignment` for one that never was released, `NotReleased` for a withdrawn one."""
    if assignment is None or assignment.release_sha256 is None:
        raise UnknownAssignment(assignment=name)
    if assignment.released_at is None:
        raise NotReleased(assignment=name)
    return assignment


# -- rows ----------------------------------------------------------------------------------------------------------


async def assignment_called(session: AsyncSession, space_id: int, name: str) -> Assignment | None:
    """The assignment of a course with that name, released or not."""
    query = select(Assignment).where(Assignment.space_id == space_id, Assignment.name == name)
    return (await session.execute(query)).scalar_one_or_none()


async def keep_source(session: AsyncSession, blobs: Blobs, space: Space, name: str, received: Received) -> None:
    """Keep what an assignment is made from; nobody but staff sees it."""
    assignment = await _to_change(session, space, name, received.at)
    assignment.source_sha256 = await _needed(session, blobs, received)


async def release(
    session: AsyncSession,
    blobs: Blobs,
    space: Space,
    name: str,
    received: Received,
    *,
    by: By,
    due_at: datetime | None,
    force: bool,
) -> Assignment:
    """Let students fetch the archive as this assignment. Raises `AlreadyReleased` unless `force` replaces what was there."""
    now = received.at
    assignment = await _to_change(session, space, name, now)
    again = assignment.released_at is not None
    if again and not force:
        raise AlreadyReleased(assignment=name)
    assignment.release_sha256 = await _needed(session, blobs, received)
    assignment.notebooks = notebooks_in(received.manifest)
    assignment.due_at, assignment.released_at, assignment.released_by = due_at, now, by.person_id
    _write_down(session, audit.Action.ASSIGNMENT_RELEASED, space, by, now, assignment=name, again=again or None)
    return assignment


async def release_again(session: AsyncSession, space: Space, name: str, *, by: By, now: datetime) -> None:
    """Let students fetch what was withdrawn, or came with a copy of a course, as it was made last.

    Raises `UnknownAssignment` where nothing was ever made for students, and `AlreadyReleased`.
    """
    assignment = await _locked(session, space.id, name)
    if assignment is None or assignment.release_sha256 is None:
        raise UnknownAssignment(assignment=name)
    if assignment.released_at is not None:
        raise AlreadyReleased(assignment=name)
    assignment.released_at, assignment.released_by = now, by.person_id
    _write_down(session, audit.Action.ASSIGNMENT_RELEASED, space, by, now, assignment=name, again=True)


async def withdraw(session: AsyncSession, space: Space, name: str, *, by: By, now: datetime) -> None:
    """Let nobody fetch the assignment or hand it in any more. What was handed in stays.

    Raises `UnknownAssignment` and `NotReleased`.
    """
    assignment = must_be_released(await _locked(session, space.id, name), name)
    assignment.released_at = assignment.released_by = None
    _write_down(session, audit.Action.ASSIGNMENT_WITHDRAWN, space, by, now, assignment=name)


async def may_submit(session: AsyncSession, space: Space, name: str, *, by: By, key: str) -> None:
    """Raises before an upload what `submit` would raise after it: `UnknownAssignment`, `NotReleased`, `TooManySubmissions`."""
    assignment = await assignment_called(session, space.id, name)
    if assignment is None or await _with_key(session, assignment.id, by.person_id, key) is None:
        await _must_have_room(session, space, must_be_released(assignment, name), by)


async def _must_have_room(session: AsyncSession, space: Space, assignment: Assignment, by: By) -> None:
    """Nobody fills the lab's storage for all. Raises `TooManySubmissions`."""
    mine = (
        select(func.count(), func.coalesce(func.sum(BlobRow.size), 0))
        .select_from(Submission)
        .join(BlobRow, BlobRow.sha256 == Submission.sha256)
        .where(Submission.assignment_id == assignment.id, Submission.person_id == by.person_id)
    )
    count, size = (await session.execute(mine)).one()
    if count >= MOST_SUBMISSIONS or size >= MOST_SIZES * limits_of(space).packed:
        raise TooManySubmissions()


async def submit(
    session: AsyncSession,
    blobs: Blobs,
    space: Space,
    name: str,
    received: Received,
    *,
    by: By,
    key: str,
    signer: Signer,
) -> HandedIn:
    """Hand in the archive. The same key with the same content is the same submission, however often it comes.

    Raises `UnknownAssignment`, `NotReleased`, `TooManySubmissions` and `KeyUsed`.
    """
    # One after the other for each person: tries that come at the same moment, and times that differ.
    await session.execute(select(Person.id).where(Person.id == by.person_id).with_for_update(key_share=True))
    assignment = await assignment_called(session, space.id, name)
    if assignment is not None:
        before = await _with_key(session, assignment.id, by.person_id, key)
        if before is not None:
            if before.sha256 != received.blob.sha256:
                raise KeyUsed()
            return HandedIn(before, new=False)
    assignment = must_be_released(assignment, name)
    await _must_have_room(session, space, assignment, by)
    mine = select(func.max(Submission.submitted_at)).where(
        Submission.assignment_id == assignment.id, Submission.person_id == by.person_id
    )
    submitted_at = time_of_submission(received.at, (await session.execute(mine)).scalar_one())
    sha256 = await _needed(session, blobs, received)
    submission = Submission(
        assignment_id=assignment.id,
        person_id=by.person_id,
        key=key,
        submitted_at=submitted_at,
        sha256=sha256,
        files=len(received.manifest.files),
        notebooks=notebooks_in(received.manifest),
        receipt="",
    )
    session.add(submission)
    await session.flush()
    submission.receipt = signer.sign(
        course=space.name,
        assignment=name,
        student=by.hub_name,
        submission=str(submission.id),
        time=submitted_at,
        sha256=sha256,
        size=received.blob.size,
        files=submission.files,
    )
    await session.flush()
    return HandedIn(submission, new=True)


async def submission_to_change(session: AsyncSession, submission_id: int) -> Submission:
    """The submission, which is there and which nobody else changes until the transaction ends."""
    query = select(Submission).where(Submission.id == submission_id).with_for_update(key_share=True)
    return (await session.execute(query)).scalar_one()


async def release_feedback(
    session: AsyncSession,
    blobs: Blobs,
    space: Space,
    submission: Submission,
    received: Received,
    *,
    by: By,
) -> None:
    """Let the person whose submission it is fetch this feedback."""
    submission.feedback_sha256 = await _needed(session, blobs, received)
    submission.feedback_at = received.at
    submission.feedback_asked_at = submission.feedback_asked_by = submission.feedback_problem = None
    about = {"person_id": submission.person_id, "submission": submission.id}
    _write_down(session, audit.Action.FEEDBACK_RELEASED, space, by, received.at, **about)


async def withdraw_feedback(
    session: AsyncSession, space: Space, submission: Submission, *, by: By, now: datetime
) -> None:
    """Take feedback back. Raises `NoFeedback`."""
    if submission.feedback_sha256 is None:
        raise NoFeedback()
    submission.feedback_sha256 = submission.feedback_at = None
    submission.feedback_asked_at = submission.feedback_asked_by = submission.feedback_problem = None
    about = {"person_id": submission.person_id, "submission": submission.id}
    _write_down(session, audit.Action.FEEDBACK_WITHDRAWN, space, by, now, **about)


async def _needed(session: AsyncSession, blobs: Blobs, received: Received) -> str:
    return await need(session, blobs, received.draft, received.blob, received.at)


async def _locked(session: AsyncSession, space_id: int, name: str) -> Assignment | None:
    query = select(Assignment).where(Assignment.space_id == space_id, Assignment.name == name)
    return (await session.execute(query.with_for_update(key_share=True))).scalar_one_or_none()


async def _to_change(session: AsyncSession, space: Space, name: str, now: datetime) -> Assignment:
    """The assignment, which nobody else changes until the transaction ends; made where there is none."""
    # Its course is locked, too: two that make the same one take turns.
    await session.execute(select(Space.id).where(Space.id == space.id).with_for_update(key_share=True))
    assignment = await _locked(session, space.id, name)
    if assignment is None:
        assignment = Assignment(space_id=space.id, name=name, notebooks=[], created_at=now)
        session.add(assignment)
        await session.flush()
    return assignment


async def _with_key(session: AsyncSession, assignment_id: int, person_id: int, key: str) -> Submission | None:
    query = select(Submission).where(
        Submission.assignment_id == assignment_id, Submission.person_id == person_id, Submission.key == key
    )
    return (await session.execute(query)).scalar_one_or_none()


def _write_down(
    session: AsyncSession,
    action: audit.Action,
    space: Space,
    by: By,
    now: datetime,
    *,
    person_id: int | None = None,
    **detail: object,
) -> None:
    said = {name: value for name, value in detail.items() if value is not None}
    audit.record(session, at=now, actor=by.hub_name, action=action, person_id=person_id, space_id=space.id, detail=said)
