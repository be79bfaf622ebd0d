"""The life of a course: made, changed, copied into another term, archived, restored, deleted.

Guarantees: whoever makes a course instructs it from that moment; a course that a file describes is not changed here;
what is archived can be restored as it was; what was deleted can be restored for `GRACE`, and its name is never given
away again, because homes, volumes and servers' names are made from it. Nothing of this needs a restart: hub and lab
service read the course from the lab database each time.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.catalog.mistakes import shown
from kirzl_lab.catalog.models import SHARED_CLAIMS, CourseFile, Kind, Role, is_space_name
from kirzl_lab.courses.terms import NextTerm, due_in_term, in_term
from kirzl_lab.problems import (
    CourseArchived,
    CourseDeleted,
    CourseNameRefused,
    CourseNameTaken,
    CourseRefused,
    FileManaged,
    NotArchived,
    Phrase,
    UnknownCourse,
)
from kirzl_lab.store import audit
from kirzl_lab.store.course_tables import Assignment
from kirzl_lab.store.tables import Identity, InstitutionRow, Membership, Person, RosterEntry, Space, storable
from kirzl_lab.store.wanted import texts_of

GRACE = timedelta(days=14)
"""How long a deleted course can be restored."""

SUBJECT = "sub"
"""The claim of a row for somebody of whom their institution says nothing that they have alone (OpenID Connect Core, 2)."""


async def create(
    session: AsyncSession, name: str, file: CourseFile, sizes: Collection[str], *, by: Person, now: datetime
) -> Space:
    """A new course, with `by` as its instructor.

    Raises `CourseNameRefused`, `CourseNameTaken`, and `CourseRefused` for what `sizes`, those of the lab, do not allow.
    """
    if not is_space_name(name):
        raise CourseNameRefused(name=shown(name))
    _check(file, sizes)
    space = await _make(session, name, file, now)
    _record(session, audit.Action.SPACE_CREATED, space, by.hub_name, now)
    await _instruct(session, space, by, now)
    return space


async def edit(
    session: AsyncSession, name: str, file: CourseFile, sizes: Collection[str], *, by: str, now: datetime
) -> Space:
    """Change what the course is. Raises `CourseRefused`, `FileManaged`, `CourseArchived` and `UnknownCourse`."""
    space = await _to_change(session, name)
    if space.archived_at is not None:
        raise CourseArchived(course=name)
    # A size that the lab has no longer may stay; nobody is offered it.
    _check(file, {*sizes, *CourseFile.model_validate(space.spec).sizes})
    spec = file.model_dump(mode="json")
    changed = {key: [space.spec.get(key), value] for key, value in spec.items() if space.spec.get(key) != value}
    if changed:
        space.spec, space.title_de, space.title_en = spec, file.title.de, file.title.en
        _record(session, audit.Action.SPACE_CHANGED, space, by, now, **changed)
    return space


async def copy(
    session: AsyncSession,
    original: Space,
    name: str,
    then: NextTerm,
    sizes: Collection[str],
    *,
    by: Person,
    now: datetime,
) -> Space:
    """The course once more, for another term: its assignments are kept and not released, its roster has `by` alone.

    Raises as `create` does.
    """
    if not is_space_name(name):
        raise CourseNameRefused(name=shown(name))
    before = CourseFile.model_validate(original.spec)
    try:
        file = CourseFile.model_validate(in_term(before, then).model_dump())
    except OverflowError:
        raise CourseRefused(found=Phrase("no calendar has these days")) from None
    _check(file, {*sizes, *before.sizes})
    space = await _make(session, name, file, now)
    _record(session, audit.Action.SPACE_CREATED, space, by.hub_name, now, copied_from=original.name)
    await _instruct(session, space, by, now)
    assignments = select(Assignment).where(Assignment.space_id == original.id).order_by(Assignment.id)
    for assignment in await session.scalars(assignments):
        session.add(
            Assignment(
                space_id=space.id,
                name=assignment.name,
                due_at=due_in_term(assignment.due_at, before, then),
                notebooks=assignment.notebooks,
                release_sha256=assignment.release_sha256,
                source_sha256=assignment.source_sha256,
                created_at=now,
            )
        )
    await session.flush()
    return space


async def archive(session: AsyncSession, name: str, *, by: str, now: datetime) -> None:
    """Close the course: only to be read from now on. Its servers end after the lab's grace.

    Raises `FileManaged` and `UnknownCourse`; a course that is archived stays as it is.
    """
    space = await _to_change(session, name)
    if space.archived_at is None:
        space.archived_at = now
        _record(session, audit.Action.SPACE_ARCHIVED, space, by, now)


async def restore(session: AsyncSession, name: str, *, by: str, now: datetime) -> None:
    """Open an archived course again, as it was. Raises `FileManaged`, `UnknownCourse`, and `CourseDeleted` too late."""
    space = await _to_change(session, name)
    if space.archived_at is None:
        return
    if space.delete_after is not None and space.delete_after <= now:
        raise CourseDeleted(course=name)
    space.archived_at = space.delete_after = None
    _record(session, audit.Action.SPACE_RESTORED, space, by, now)


async def delete(session: AsyncSession, name: str, *, by: str, now: datetime) -> datetime:
    """Delete an archived course, and return until when it can be restored.

    Raises `NotArchived`, `FileManaged` and `UnknownCourse`; a course that is deleted keeps its day.
    """
    space = await _to_change(session, name)
    if space.archived_at is None:
        raise NotArchived(course=name)
    if space.delete_after is None:
        space.delete_after = now + GRACE
        _record(session, audit.Action.SPACE_DELETED, space, by, now, until=space.delete_after.isoformat())
    return space.delete_after


def must_be_ours(space: Space) -> None:
    """Raises `FileManaged` for a course that a file describes."""
    if space.managed_by is not None:
        raise FileManaged(course=space.name, file=f"courses/{space.managed_by}")


def _check(file: CourseFile, sizes: Collection[str]) -> None:
    unknown = [size for size in file.sizes if size not in sizes]
    if unknown:
        fields = {"size": shown(unknown[0]), "sizes": ", ".join(sorted(sizes))}
        raise CourseRefused(found=Phrase("the lab has no size “%(size)s” but %(sizes)s", fields))
    if file.default_size not in file.sizes:
        raise CourseRefused(found=Phrase("the default size must be one of the sizes of the course"))
    if not all(map(storable, texts_of(file.model_dump(mode="json")))):
        raise CourseRefused(found=Phrase("a text holds characters that cannot be kept"))


async def _make(session: AsyncSession, name: str, file: CourseFile, now: datetime) -> Space:
    if (await session.execute(select(Space.id).where(Space.name == name))).first() is not None:
        raise CourseNameTaken(name=name)
    space = Space(
        name=name,
        kind=Kind.COURSE,
        title_de=file.title.de,
        title_en=file.title.en,
        spec=file.model_dump(mode="json"),
        created_at=now,
    )
    try:
        async with session.begin_nested():
            session.add(space)
    except IntegrityError:  # somebody else in the same moment
        raise CourseNameTaken(name=name) from None
    return space


async def _instruct(session: AsyncSession, space: Space, person: Person, now: datetime) -> None:
    """A row of the person's own, theirs at once, through the identity that they used last."""
    query = (
        select(Identity)
        .join(InstitutionRow, InstitutionRow.name == Identity.institution_name)
        .where(Identity.person_id == person.id)
        .order_by(InstitutionRow.removed_at.is_not(None), Identity.last_login_at.desc(), Identity.id)
    )
    identity = (await session.scalars(query.limit(1))).one()
    claim, value = _own_claim(identity)
    promise: dict[str, Any] = {
        "claim": claim,
        "value": value,
        "role": Role.INSTRUCTOR.value,
    }
    row = RosterEntry(
        space_id=space.id,
        institution_name=identity.institution_name,
        created_at=now,
        bound_person_id=person.id,
        bound_at=now,
        **promise,
    )
    session.add(row)
    await session.flush()
    session.add(
        Membership(
            person_id=person.id, space_id=space.id, roster_row_id=row.id, role=Role.INSTRUCTOR.value, created_at=now
        )
    )
    for action in (audit.Action.ROSTER_ADDED, audit.Action.ROSTER_BOUND):
        audit.record(
            session,
            at=now,
            actor=person.hub_name,
            action=action,
            person_id=person.id,
            space_id=space.id,
            institution=identity.institution_name,
            detail={"roster_row": row.id, **promise},
        )
    await session.flush()


def _own_claim(identity: Identity) -> tuple[str, str]:
    """What the institution says of this person alone: the address first, since people recognise it."""
    own = {claim: values[0] for claim, values in identity.claims.items() if claim not in SHARED_CLAIMS and values}
    claim = "email" if "email" in own else next(iter(own), None)
    return (claim, own[claim]) if claim else (SUBJECT, identity.subject)


async def _to_change(session: AsyncSession, name: str) -> Space:
    """The course, for nobody else to change meanwhile. Raises `UnknownCourse` and `FileManaged`."""
    query = select(Space).where(Space.name == name, Space.kind == Kind.COURSE).with_for_update(key_share=True)
    space = (await session.scalars(query)).one_or_none() if storable(name) else None
    if space is None:
        raise UnknownCourse(course=name)
    must_be_ours(space)
    return space


def _record(
    session: AsyncSession, action: audit.Action, space: Space, actor: str, now: datetime, **detail: object
) -> None:
    audit.record(session, at=now, actor=actor, action=action, space_id=space.id, detail=detail)
