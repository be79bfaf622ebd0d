"""Everything of a course as one tar archive, streamed: no part of it is in memory as a whole.

Guarantees: what is in the archive is one moment of the lab database, and grades are of the moment before; names in it are made from what the lab gave or
checked, never taken from what people packed; an archive that breaks off in the middle has no end mark, so that tar says
so.
"""

import asyncio
import csv
import io
import json
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.catalog.models import RosterRow
from kirzl_lab.courses.export import harmless
from kirzl_lab.store.course_tables import Assignment, BlobRow, Submission
from kirzl_lab.store.tables import Person, RosterEntry, Space

Read = Callable[[str], Awaitable[AsyncIterator[bytes]]]
"""Gives a blob, by its SHA-256, in parts."""
AT_ONCE = 500
"""Sizes that are asked for in one statement."""
BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive: what is in it, or the blob that it is."""

    name: str
    at: datetime
    content: bytes = b""
    sha256: str | None = None
    size: int = 0

    @property
    def length(self) -> int:
        """In bytes."""
        return self.size if self.sha256 else len(self.content)


async def members_of(
    session: AsyncSession, space: Space, now: datetime, *, gradebook: bytes, graded: Mapping[int, str]
) -> list[Member]:
    """What the archive of the course holds, in the order in which it stands there.

    `gradebook` is its export as CSV; `graded` tells the blob of each submission that was graded, by its id.
    """
    rows = await session.execute(
        select(RosterEntry, Person.hub_name)
        .outerjoin(Person, Person.id == RosterEntry.bound_person_id)
        .where(RosterEntry.space_id == space.id)
        .order_by(RosterEntry.id)
    )
    found = [
        Member(f"{space.name}/course.json", now, _json(_course(space))),
        Member(f"{space.name}/roster.csv", now, _roster(rows)),
        Member(f"{space.name}/gradebook.csv", now, gradebook),
    ]

    def blob(name: str, at: datetime, sha256: str | None) -> Iterator[Member]:
        if sha256 is not None:
            yield Member(f"{space.name}/{name}", at, sha256=sha256)

    assignments = await session.scalars(
        select(Assignment).where(Assignment.space_id == space.id).order_by(Assignment.name)
    )
    for assignment in assignments:
        folder = f"assignments/{assignment.name}"
        found.append(Member(f"{space.name}/{folder}/assignment.json", assignment.created_at, _json(_told(assignment))))
        found += blob(f"{folder}/source.tar.gz", assignment.created_at, assignment.source_sha256)
        found += blob(f"{folder}/release.tar.gz", assignment.created_at, assignment.release_sha256)
    submissions = await session.execute(
        select(
            Assignment.name,
            Person.hub_name,
            Submission.id,
            Submission.submitted_at,
            Submission.sha256,
            Submission.receipt,
            Submission.feedback_at,
            Submission.feedback_sha256,
        )
        .join(Assignment, Assignment.id == Submission.assignment_id)
        .join(Person, Person.id == Submission.person_id)
        .where(Assignment.space_id == space.id)
        .order_by(Assignment.name, Person.hub_name, Submission.submitted_at)
    )
    handed_in = submissions.all()

    def add_submissions() -> None:
        for assignment, hub_name, number, at, sha256, receipt, feedback_at, feedback_sha256 in handed_in:
            folder = f"submissions/{assignment}/{hub_name}/{at:%Y%m%dT%H%M%S.%fZ}"
            found.extend(blob(f"{folder}/files.tar.gz", at, sha256))
            found.append(Member(f"{space.name}/{folder}/receipt.jws", at, receipt.encode()))
            found.extend(blob(f"{folder}/graded.tar.gz", now, graded.get(number)))
            found.extend(blob(f"{folder}/feedback.tar.gz", feedback_at or now, feedback_sha256))

    await asyncio.to_thread(add_submissions)  # there may be thousands
    sizes = await _sizes(session, sorted({member.sha256 for member in found if member.sha256}))

    def sized() -> list[Member]:
        return [replace(member, size=sizes[member.sha256]) if member.sha256 else member for member in found]

    return await asyncio.to_thread(sized)


async def _sizes(session: AsyncSession, sha256s: Sequence[str]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for start in range(0, len(sha256s), AT_ONCE):
        some = BlobRow.sha256.in_(sha256s[start : start + AT_ONCE])
        for sha256, size in await session.execute(select(BlobRow.sha256, BlobRow.size).where(some)):
            sizes[sha256] = size
    return sizes


async def tar_of(members: list[Member], read: Read) -> AsyncIterator[bytes]:
    """The archive in parts (POSIX.1-2001 pax)."""
    for member in members:
        info = tarfile.TarInfo(member.name)
        info.size, info.mtime, info.mode = member.length, int(member.at.timestamp()), 0o600
        yield info.tobuf(tarfile.PAX_FORMAT)
        if member.sha256 is None:
            yield member.content
        else:
            async for part in await read(member.sha256):
                yield part
        yield bytes(-member.length % BLOCK)
    yield bytes(2 * BLOCK)


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str).encode()


def _course(space: Space) -> dict[str, Any]:
    return {
        "name": space.name,
        "managed_by": space.managed_by,
        "created_at": space.created_at,
        "archived_at": space.archived_at,
        "course": space.spec,
    }


def _told(assignment: Assignment) -> dict[str, Any]:
    columns = ("name", "due_at", "notebooks", "released_at", "release_sha256", "source_sha256")
    return {column: getattr(assignment, column) for column in columns}


def _roster(rows: Any) -> bytes:
    """With a byte order mark, by which spreadsheets know UTF-8."""
    text = io.StringIO(newline="")
    columns = tuple(RosterRow.model_fields)
    writer = csv.writer(text)
    writer.writerow([*columns, "person", "bound_at", "removed_at"])
    for row, hub_name in rows:
        promise = (row.institution_name, row.claim, row.value, row.role, row.section)
        moments = (moment.isoformat() if moment else "" for moment in (row.bound_at, row.removed_at))
        writer.writerow([harmless(cell) for cell in (*promise, hub_name or "", *moments)])
    return b"\xef\xbb\xbf" + text.getvalue().encode()
