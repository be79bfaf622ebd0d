"""The life of courses, for programs: make, read, change, copy, archive, restore, delete, download."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from kirzl_lab.catalog.models import CourseFile
from kirzl_lab.courses import life
from kirzl_lab.courses.download import members_of, tar_of
from kirzl_lab.courses.export import csv_lines
from kirzl_lab.courses.terms import NextTerm
from kirzl_lab.grading.tasks import newest_graded
from kirzl_lab.service.access import course_place_of, viewer_of
from kirzl_lab.service.course_models import Copy, CourseDetails, NewCourse
from kirzl_lab.service.exchange_models import CourseName
from kirzl_lab.service.gradebooks import whole
from kirzl_lab.service.routes import API
from kirzl_lab.service.state import state_of
from kirzl_lab.store.members import member_of_course
from kirzl_lab.store.tables import Person, Space

router = APIRouter(tags=["courses"])

OF_COURSE = "/api/courses/{course}"
TAR: dict[str, Any] = {
    "response_class": StreamingResponse,
    "responses": API["responses"] | {200: {"description": "A tar archive.", "content": {"application/x-tar": {}}}},
    "dependencies": API["dependencies"],
}


@router.post("/api/courses", name="api_make_course", status_code=201, summary="Makes a course", **API)
async def api_make_course(request: Request, wanted: NewCourse) -> CourseDetails:
    """A new course, with whoever asks as its instructor. It can be opened at once."""
    return await details(request, (await make(request, wanted.name, wanted.course)).name)


@router.get(OF_COURSE, name="api_course", summary="A course", **API)
async def api_course(request: Request, course: CourseName) -> CourseDetails:
    """What the course is, and the caller's place in it."""
    return await details(request, course)


@router.put(OF_COURSE, name="api_edit_course", summary="Changes a course", **API)
async def api_edit_course(request: Request, course: CourseName, file: CourseFile) -> CourseDetails:
    """Give the course these properties, all of them."""
    state = state_of(request)
    async with state.writing() as session:
        by = viewer_of(request).hub_name
        await life.edit(session, course, file, state.catalogue.sizes, by=by, now=state.clock())
    return await details(request, course)


@router.post(f"{OF_COURSE}/copy", name="api_copy_course", status_code=201, summary="Copies a course", **API)
async def api_copy_course(request: Request, course: CourseName, wanted: Copy) -> CourseDetails:
    """The course for another term: assignments are kept and not released, the roster has the caller alone."""
    then = NextTerm(wanted.term, wanted.title, wanted.weeks, wanted.starts)
    return await details(request, (await make_copy(request, wanted.name, then)).name)


@router.post(f"{OF_COURSE}/archive", name="api_archive_course", summary="Archives a course", **API)
async def api_archive_course(request: Request, course: CourseName) -> CourseDetails:
    """From now on it is only to be read, and its servers end after the lab's grace."""
    state = state_of(request)
    async with state.writing() as session:
        await life.archive(session, course, by=viewer_of(request).hub_name, now=state.clock())
    return await details(request, course)


@router.post(f"{OF_COURSE}/restore", name="api_restore_course", summary="Restores an archived course", **API)
async def api_restore_course(request: Request, course: CourseName) -> CourseDetails:
    """It is as it was before it was archived."""
    state = state_of(request)
    async with state.writing() as session:
        await life.restore(session, course, by=viewer_of(request).hub_name, now=state.clock())
    return await details(request, course)


@router.delete(OF_COURSE, name="api_delete_course", summary="Deletes an archived course", **API)
async def api_delete_course(request: Request, course: CourseName) -> CourseDetails:
    """It can be restored until `delete_after`; then its roster, assignments and submissions are gone for good."""
    state = state_of(request)
    async with state.writing() as session:
        await life.delete(session, course, by=viewer_of(request).hub_name, now=state.clock())
    return await details(request, course)


@router.get(f"{OF_COURSE}/download", name="api_download_course", summary="Everything of a course", **TAR)
async def api_download_course(request: Request, course: CourseName) -> Response:
    """Course, roster, assignments, submissions with receipts, and feedback."""
    return await download(request)


async def make(request: Request, name: str, file: CourseFile) -> Space:
    """A new course of the viewer's."""
    state = state_of(request)
    async with state.writing() as session:
        by = await session.get_one(Person, viewer_of(request).person_id)
        return await life.create(session, name, file, state.catalogue.sizes, by=by, now=state.clock())


async def make_copy(request: Request, name: str, then: NextTerm) -> Space:
    """The course of the address for another term."""
    state, original = state_of(request), course_place_of(request).space
    async with state.writing() as session:
        by = await session.get_one(Person, viewer_of(request).person_id)
        return await life.copy(session, original, name, then, state.catalogue.sizes, by=by, now=state.clock())


async def download(request: Request) -> Response:
    """The archive of the course of the address, streamed."""
    state, space = state_of(request), course_place_of(request).space
    grades = await whole(state, space)
    gradebook = await asyncio.to_thread(lambda: b"".join(csv_lines(grades)))
    async with state.reading() as session:
        graded = {each.submission_id: each.sha256 for each in await newest_graded(session, space.id)}
        members = await members_of(session, space, state.clock(), gradebook=gradebook, graded=graded)
    headers = {
        "Content-Disposition": f'attachment; filename="{space.name}.tar"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return StreamingResponse(tar_of(members, state.blobs.read), media_type="application/x-tar", headers=headers)


async def details(request: Request, name: str) -> CourseDetails:
    """The viewer's course of that name as it is now."""
    async with state_of(request).reading() as session:
        member = await member_of_course(session, viewer_of(request).person_id, name)
    assert member is not None  # noqa: S101 - `admit` looked, or they have just made it
    space = member.space
    return CourseDetails(
        name=space.name,
        course=CourseFile.model_validate(space.spec),
        role=member.role,
        section=member.section,
        managed_by=space.managed_by,
        created_at=space.created_at,
        archived_at=space.archived_at,
        delete_after=space.delete_after,
    )
