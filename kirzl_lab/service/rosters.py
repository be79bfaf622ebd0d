"""What pages and API of rosters share: a file that was sent, its preview, and changes with everybody told at once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request

from kirzl_lab.catalog.models import Institution, Role
from kirzl_lab.courses import rosters
from kirzl_lab.courses.life import must_be_ours
from kirzl_lab.courses.roster_file import LARGEST
from kirzl_lab.courses.roster_upload import Defaults, Uploaded, checked, read_upload
from kirzl_lab.federation.roster import bind_space
from kirzl_lab.problems import Phrase, RosterRefused, RowRefused, TooLarge
from kirzl_lab.service.access import course_place_of, viewer_of
from kirzl_lab.service.state import state_of
from kirzl_lab.store.difference import Change, Place, Promise

ROLES_IN_COURSES = (Role.STUDENT, Role.ASSISTANT, Role.INSTRUCTOR)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a file would do to the roster as it is."""

    uploaded: Uploaded
    changes: tuple[Change, ...]
    mark: str


def institutions_of(request: Request) -> Mapping[str, Institution]:
    """The institutions whose people can be on a roster."""
    return state_of(request).catalogue.institutions


async def body_of(request: Request) -> bytes:
    """The file in the body of a request. Raises `TooLarge`."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > LARGEST:
            raise TooLarge(limit=f"{LARGEST // 1024} KiB")
    return bytes(data)


async def read_file(request: Request, data: bytes, institution: str, role: Role) -> Uploaded:
    """The rows or mistakes of a file; a default that the lab does not know is none."""
    institutions = institutions_of(request)
    defaults = Defaults(
        institution if institution in institutions else "", role if role in ROLES_IN_COURSES else Role.STUDENT
    )
    return await asyncio.to_thread(read_upload, data, institutions, defaults)


async def preview(request: Request, uploaded: Uploaded, *, complete: bool) -> Preview:
    """What the file would change. Raises `FileManaged`."""
    space = course_place_of(request).space
    must_be_ours(space)
    async with state_of(request).reading() as session:
        roster = await rosters.roster_of(session, space)
    if uploaded.mistakes:
        return Preview(uploaded, (), roster.mark)
    return Preview(uploaded, roster.steps(roster.with_upload(uploaded.rows, complete=complete)).changes, roster.mark)


async def upload(request: Request, uploaded: Uploaded, *, complete: bool, mark: str) -> tuple[Change, ...]:
    """Do what was previewed. Raises `RosterRefused`, `RosterChanged`, `LastInstructor` and `FileManaged`."""
    state, space = state_of(request), course_place_of(request).space
    must_be_ours(space)
    if uploaded.mistakes:
        first = uploaded.mistakes[0]
        raise RosterRefused(count=len(uploaded.mistakes), line=first.line, reason=first.phrase)
    async with state.writing() as session:
        return await rosters.upload(
            session,
            space,
            uploaded.rows,
            complete=complete,
            mark=mark,
            actor=viewer_of(request).hub_name,
            now=state.clock(),
            bind=bind_space,
        )


async def put_row(request: Request, promise: Promise, role: Role, section: str) -> tuple[Change, ...]:
    """Add a row, or change the one that is there. Raises `RowRefused`, `LastInstructor` and `FileManaged`."""
    state, space = state_of(request), course_place_of(request).space
    must_be_ours(space)
    _must_be_in_courses(role)
    row = checked(promise, role, section.strip(), institutions_of(request))
    if isinstance(row, Phrase):
        raise RowRefused(found=row)
    async with state.writing() as session:
        return await rosters.set_rows(
            session, space, dict([row]), actor=viewer_of(request).hub_name, now=state.clock(), bind=bind_space
        )


async def change_row(request: Request, row_id: int, role: Role, section: str) -> tuple[Change, ...]:
    """Give a row another role or section. Raises `UnknownRosterRow`, `LastInstructor` and `FileManaged`."""
    state, space = state_of(request), course_place_of(request).space
    must_be_ours(space)
    _must_be_in_courses(role)
    if not section.isprintable():
        raise RowRefused(found=Phrase("the section has characters that cannot be seen"))
    place: Place = (role.value, section.strip())
    async with state.writing() as session:
        by = viewer_of(request).hub_name
        return await rosters.change_row(
            session, space, row_id, place, actor=by, now=state.clock(), bind=bind_space
        )  # fmt: skip


async def remove_row(request: Request, row_id: int) -> tuple[Change, ...]:
    """Take a row off the roster. Raises `UnknownRosterRow`, `LastInstructor` and `FileManaged`."""
    state, space = state_of(request), course_place_of(request).space
    must_be_ours(space)
    async with state.writing() as session:
        by = viewer_of(request).hub_name
        return await rosters.remove_rows(session, space, [row_id], actor=by, now=state.clock(), bind=bind_space)


def _must_be_in_courses(role: Role) -> None:
    if role not in ROLES_IN_COURSES:
        raise RowRefused(found=Phrase("a course has students, assistants and instructors"))
