"""The page of an assignment, for those who work on it and for those who run the course, and what is done there."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from kirzl_lab.catalog.models import CourseFile, Text
from kirzl_lab.courses import exchange
from kirzl_lab.courses.exchange import By
from kirzl_lab.courses.exchange_lists import AssignmentLine, assignments_of
from kirzl_lab.courses.handed_in import Student
from kirzl_lab.courses.progress import Stage, own_stage
from kirzl_lab.problems import UnknownAssignment, UnknownSubmission
from kirzl_lab.service.access import course_place_of, viewer_of
from kirzl_lab.service.assignment_models import AssignmentAsked
from kirzl_lab.service.assignments import ask_feedback, found, overview
from kirzl_lab.service.course_server import formgrader, work_address
from kirzl_lab.service.exchange_models import AssignmentName, CourseName
from kirzl_lab.service.gradebooks import own
from kirzl_lab.service.models import Word
from kirzl_lab.service.pages import page, with_query, words_of
from kirzl_lab.service.routes.grading import begin
from kirzl_lab.service.state import state_of
from kirzl_lab.service.words import OWN_STAGES, REASONS, RUN_STATES, STAGES
from kirzl_lab.spawning.site import site_of
from kirzl_lab.store.members import person_called

router = APIRouter(include_in_schema=False)

ADDRESS = "/courses/{course}/assignments/{assignment}"
Done = Literal["released", "withdrawn", "feedback"]
Deed = Literal["withdraw", "feedback"]
Hub = Annotated[Word, Path(description="The hub name.")]


@router.get(ADDRESS, name="assignment", summary="An assignment, as a page")
async def assignment(
    request: Request,
    course: CourseName,
    assignment: AssignmentName,
    asked: Annotated[AssignmentAsked, Query()],
    done: Done | None = None,
) -> HTMLResponse:
    """For staff everybody's standing; for others what they handed in, with receipts, feedback and grade."""
    if course_place_of(request).staff:
        return await _for_staff(request, assignment, asked, done)
    viewer = viewer_of(request)
    line = await _line(request, assignment, viewer.person_id, staff=False)
    student = Student(viewer.hub_name, viewer.display_name, "", enrolled=True)
    return await _work(request, "assignment_own.html", line, viewer.person_id, student)


@router.get(f"{ADDRESS}/people/{{hub_name}}", name="assignment_person", summary="Somebody's work, as a page")
async def assignment_person(
    request: Request, course: CourseName, assignment: AssignmentName, hub_name: Hub
) -> HTMLResponse:
    """What they handed in for the assignment, with receipts and feedback, for the people who run the course."""
    async with state_of(request).reading() as session:
        person = await person_called(session, hub_name)
    line = await _line(request, assignment, person.id, staff=True) if person else None
    if person is None or line is None or not line.submissions:
        raise UnknownSubmission()
    student = Student(person.hub_name, person.display_name, "", enrolled=True)
    return await _work(request, "assignment_person.html", line, person.id, student)


@router.get(f"{ADDRESS}/confirm", name="confirm_assignment", summary="Asks before it is done")
async def confirm_assignment(
    request: Request, course: CourseName, assignment: AssignmentName, do: Annotated[Deed, Query()]
) -> HTMLResponse:
    """The question before an assignment is withdrawn or feedback released."""
    about = await found(request, assignment)
    if do == "withdraw":
        exchange.must_be_released(about, assignment)
    seen = await overview(request, about, AssignmentAsked())
    return _page(request, "assignment_confirm.html", assignment=about, do=do, seen=seen, Stage=Stage)


@router.post(f"{ADDRESS}/withdraw", name="withdraw_assignment", summary="Withdraws an assignment")
async def withdraw_assignment(request: Request, course: CourseName, assignment: AssignmentName) -> RedirectResponse:
    """Nobody can fetch it or hand it in any more; back to its page."""
    await _change(request, assignment, exchange.withdraw)
    return _to(request, "assignment", assignment=assignment, done="withdrawn")


@router.post(f"{ADDRESS}/release", name="release_assignment", summary="Releases an assignment as it was made last")
async def release_assignment(request: Request, course: CourseName, assignment: AssignmentName) -> RedirectResponse:
    """Students can fetch it (again); back to its page."""
    await _change(request, assignment, exchange.release_again)
    return _to(request, "assignment", assignment=assignment, done="released")


@router.post(f"{ADDRESS}/grade", name="grade", summary="Grades all or some")
async def grade(request: Request, course: CourseName, assignment: AssignmentName) -> RedirectResponse:
    """Begin a grading run and go to its page."""
    run = await begin(request, assignment, await _chosen(request))
    return _to(request, "run", run=run.id)


@router.post(f"{ADDRESS}/feedback", name="release_feedback", summary="Releases feedback for all or some")
async def release_feedback(request: Request, course: CourseName, assignment: AssignmentName) -> RedirectResponse:
    """Ask for it to be made and released, and go back to the assignment, which shows how far it is."""
    await ask_feedback(request, assignment, await _chosen(request))
    return _to(request, "assignment", assignment=assignment, done="feedback")


async def _change(request: Request, name: str, deed: Callable[..., Awaitable[None]]) -> None:
    state, viewer = state_of(request), viewer_of(request)
    by = By(viewer.person_id, viewer.hub_name)
    async with state.writing() as session:
        await deed(session, course_place_of(request).space, name, by=by, now=state.clock())


async def _chosen(request: Request) -> list[str] | None:
    """The people whose boxes are ticked, or None for everybody."""
    form = await request.form()
    if form.get("who") == "all":
        return None
    return [one for one in form.getlist("student") if isinstance(one, str)]


async def _for_staff(request: Request, name: str, asked: AssignmentAsked, done: Done | None) -> HTMLResponse:
    about = await found(request, name)
    seen = await overview(request, about, asked)
    gettext = words_of(request).gettext
    return _page(
        request,
        "assignment.html",
        assignment=about,
        asked=asked,
        seen=seen,
        done=done,
        formgrader=await formgrader(request),
        laptop=site_of() is None,
        stages=STAGES,
        run_states=RUN_STATES,
        reasons=REASONS,
        Stage=Stage,
        stage_options=[(stage.value, gettext(STAGES[stage])) for stage in Stage],
        sections=[(section, section) for section in seen.sections],
        live=seen.feedback_waits > 0 or any(run.finished_at is None for run in seen.runs),
    )


async def _line(request: Request, name: str, person_id: int, *, staff: bool) -> AssignmentLine:
    async with state_of(request).reading() as session:
        lines = await assignments_of(session, course_place_of(request).space.id, person_id, staff=staff)
    for line in lines:
        if line.name == name:
            return line
    raise UnknownAssignment(assignment=name)


async def _work(
    request: Request, template: str, line: AssignmentLine, person_id: int, student: Student
) -> HTMLResponse:
    state, place = state_of(request), course_place_of(request)
    # For staff, too: the grade that the person can see.
    grades = await own(state, place.space, person_id, student)
    cells = dict(zip((column.name for column in grades.columns), grades.rows[0].cells, strict=True))
    points = {column.name: column.max_score for column in grades.columns}
    return _page(
        request,
        template,
        line=line,
        student=student,
        stage=own_stage(line, state.clock()),
        own_stages=OWN_STAGES,
        cell=cells.get(line.name),
        max_score=points.get(line.name, 0.0),
        server=await work_address(request),
        formgrader=await formgrader(request),
        now=state.clock(),
    )


def _page(request: Request, template: str, **names: Any) -> HTMLResponse:
    space = course_place_of(request).space
    return page(
        request,
        template,
        nav="courses",
        space=space,
        title=Text(de=space.title_de, en=space.title_en),
        zone=CourseFile.model_validate(space.spec).zone,
        **names,
    )


def _to(request: Request, name: str, *, done: Done | None = None, **parameters: object) -> RedirectResponse:
    course = course_place_of(request).space.name
    address = request.url_for(name, course=course, **parameters).path
    return RedirectResponse(with_query(address, done=done), status_code=303)
