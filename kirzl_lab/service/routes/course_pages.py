"""The life of courses, as pages: My courses, make, settings, copy, archive, restore, delete."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from kirzl_lab.catalog.models import CourseFile, Role, Text
from kirzl_lab.courses import life
from kirzl_lab.courses.progress import own_stage
from kirzl_lab.courses.roster_lines import roster_counts
from kirzl_lab.problems import CourseNameRefused, CourseNameTaken, CourseRefused, NotArchived, Problem
from kirzl_lab.service.access import course_place_of, is_lecturer, viewer_of
from kirzl_lab.service.assignments import lines_of
from kirzl_lab.service.course_form import PENALTIES, REACHES, CopyForm, CourseForm
from kirzl_lab.service.course_server import formgrader
from kirzl_lab.service.exchange_models import CourseName
from kirzl_lab.service.pages import page, with_query, words_of
from kirzl_lab.service.routes.courses import download, make, make_copy
from kirzl_lab.service.state import state_of
from kirzl_lab.service.words import OWN_STAGES, ROLES
from kirzl_lab.spawning.choice import SpaceFacts, is_open
from kirzl_lab.store.members import Member, courses_of
from kirzl_lab.store.tables import Space

router = APIRouter(include_in_schema=False)

Done = Literal["made", "copied", "saved", "archived", "restored", "deleted"]
Deed = Literal["archive", "restore", "delete"]


@router.get("/courses", name="courses", summary="Your courses, as a page")
async def courses(request: Request) -> HTMLResponse:
    """The page My courses: those that run, then those that are archived."""
    viewer = viewer_of(request)
    async with state_of(request).reading() as session:
        members = await courses_of(session, viewer.person_id)
    may_create = viewer.server_name is None and await is_lecturer(request, viewer)
    lines = [_line(request, member) for member in members]
    return page(
        request,
        "courses.html",
        nav="courses",
        running=[line for line in lines if line["archived_at"] is None],
        archived=[line for line in lines if line["archived_at"] is not None],
        may_create=may_create,
        roles=ROLES,
    )


@router.get("/new-course", name="new_course", summary="The form for a new course")
async def new_course(request: Request) -> HTMLResponse:
    """An empty form."""
    return _form(request, CourseForm.empty(list(state_of(request).catalogue.sizes)))


@router.post("/new-course", name="make_course", summary="Makes a course")
async def make_course(request: Request) -> Response:
    """Make the course and go to its page, or show the form again with what is wrong."""
    form = CourseForm.sent(await request.form())
    file = form.course()
    if file is None:
        return _form(request, form)
    try:
        space = await make(request, form.values["name"], file)
    except (CourseNameRefused, CourseNameTaken, CourseRefused) as problem:
        return _form(request, form, problem)
    return _to(request, space.name, "made")


@router.get("/courses/{course}", name="course", summary="A course, as a page")
async def course(request: Request, course: CourseName, done: Done | None = None) -> HTMLResponse:
    """What the course is, and the way to everything in it; `done` is what somebody has just done."""
    place, state = course_place_of(request), state_of(request)
    lines, counted, students = await lines_of(request)
    counts = None
    if place.staff:
        async with state.reading() as session:
            counts = await roster_counts(session, place.space.id)
    return _page(
        request,
        "course.html",
        place.space,
        done=done,
        counts=counts,
        role=place.role,
        section=place.section,
        staff=place.staff,
        lines=lines,
        counted=counted,
        students=students,
        formgrader=await formgrader(request),
        own_stage=own_stage,
        own_stages=OWN_STAGES,
        now=state.clock(),
        instructs=place.role is Role.INSTRUCTOR,
        reach=REACHES[CourseFile.model_validate(place.space.spec).network_reach],
    )


@router.get("/courses/{course}/settings", name="edit_course", summary="The form of a course")
async def edit_course(request: Request, course: CourseName) -> HTMLResponse:
    """The form with what the course is now."""
    space = course_place_of(request).space
    return _form(request, CourseForm.of(CourseFile.model_validate(space.spec), space.name), space=space)


@router.post("/courses/{course}/settings", name="save_course", summary="Changes a course")
async def save_course(request: Request, course: CourseName) -> Response:
    """Change the course and go to its page, or show the form again with what is wrong."""
    state, space = state_of(request), course_place_of(request).space
    form = CourseForm.sent(await request.form())
    file = form.course()
    if file is None:
        return _form(request, form, space=space)
    try:
        async with state.writing() as session:
            by = viewer_of(request).hub_name
            await life.edit(session, space.name, file, state.catalogue.sizes, by=by, now=state.clock())
    except CourseRefused as problem:
        return _form(request, form, problem, space=space)
    return _to(request, space.name, "saved")


@router.get("/courses/{course}/copy", name="copy_course", summary="The form to copy a course")
async def copy_course(request: Request, course: CourseName) -> HTMLResponse:
    """The form, with days half a year later."""
    space = course_place_of(request).space
    form = CopyForm.of(CourseFile.model_validate(space.spec))
    return _page(request, "course_copy.html", space, form=form, problem=None)


@router.post("/courses/{course}/copy", name="make_copy", summary="Copies a course")
async def make_copy_(request: Request, course: CourseName) -> Response:
    """Copy the course and go to the copy's page, or show the form again with what is wrong."""
    space = course_place_of(request).space
    form = CopyForm.sent(await request.form())
    then, problem = form.wanted(), None
    if then is not None:
        try:
            copied = await make_copy(request, form.values["name"], then)
        except (CourseNameRefused, CourseNameTaken, CourseRefused) as error:
            problem = error
        else:
            return _to(request, copied.name, "copied")
    return _page(request, "course_copy.html", space, status=422, form=form, problem=problem)


@router.get("/courses/{course}/confirm", name="confirm_course", summary="Asks before it is done")
async def confirm_course(request: Request, course: CourseName, do: Annotated[Deed, Query()]) -> HTMLResponse:
    """The question before a course is archived, restored or deleted. Raises `FileManaged` and `NotArchived`."""
    space = course_place_of(request).space
    life.must_be_ours(space)
    if do == "delete" and space.archived_at is None:
        raise NotArchived(course=space.name)
    return _page(request, "course_confirm.html", space, do=do, days=life.GRACE.days)


@router.post("/courses/{course}/archive", name="archive_course", summary="Archives a course")
async def archive_course(request: Request, course: CourseName) -> RedirectResponse:
    """Archive the course and go back to its page."""
    state = state_of(request)
    async with state.writing() as session:
        await life.archive(session, course, by=viewer_of(request).hub_name, now=state.clock())
    return _to(request, course, "archived")


@router.post("/courses/{course}/restore", name="restore_course", summary="Restores an archived course")
async def restore_course(request: Request, course: CourseName) -> RedirectResponse:
    """Restore the course and go back to its page."""
    state = state_of(request)
    async with state.writing() as session:
        await life.restore(session, course, by=viewer_of(request).hub_name, now=state.clock())
    return _to(request, course, "restored")


@router.post("/courses/{course}/delete", name="delete_course", summary="Deletes an archived course")
async def delete_course(request: Request, course: CourseName) -> RedirectResponse:
    """Delete the course and go back to its page, where it can be restored."""
    state = state_of(request)
    async with state.writing() as session:
        await life.delete(session, course, by=viewer_of(request).hub_name, now=state.clock())
    return _to(request, course, "deleted")


@router.get("/courses/{course}/download", name="download_course", summary="Everything of a course in one archive")
async def download_course(request: Request, course: CourseName) -> Response:
    """Course, roster, assignments, submissions with receipts, and feedback."""
    return await download(request)


def _line(request: Request, member: Member) -> dict[str, Any]:
    space, file = member.space, CourseFile.model_validate(member.space.spec)
    title = Text(de=space.title_de, en=space.title_en)
    today = state_of(request).clock().astimezone(file.zone).date()
    return {
        "name": space.name,
        "title": title,
        "term": file.term,
        "description": file.description,
        "role": member.role,
        "section": member.section,
        "starts": file.starts,
        "ends": file.ends,
        "open": is_open(SpaceFacts.of(space.name, space.kind, title, file), today),
        "archived_at": space.archived_at,
        "delete_after": space.delete_after,
    }


def _page(request: Request, template: str, space: Space, *, status: int = 200, **names: Any) -> HTMLResponse:
    file = CourseFile.model_validate(space.spec)
    return page(
        request,
        template,
        status=status,
        nav="courses",
        space=space,
        file=file,
        zone=file.zone,
        title=Text(de=space.title_de, en=space.title_en),
        sizes=state_of(request).catalogue.sizes,
        roles=ROLES,
        phrase=lambda each: each.text(words_of(request).gettext),
        **names,
    )


def _form(
    request: Request, form: CourseForm, problem: Problem | None = None, *, space: Space | None = None
) -> HTMLResponse:
    return page(
        request,
        "course_form.html",
        status=422 if problem or form.errors else 200,
        nav="courses",
        form=form,
        problem=problem,
        space=space,
        sizes=state_of(request).catalogue.sizes,
        reaches=REACHES,
        penalties=PENALTIES,
        phrase=lambda each: each.text(words_of(request).gettext),
    )


def _to(request: Request, name: str, done: Done) -> RedirectResponse:
    address = request.url_for("course", course=name).path
    return RedirectResponse(with_query(address, done=done), status_code=303)
