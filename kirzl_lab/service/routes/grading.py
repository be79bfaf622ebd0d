"""Grading: press the button, watch it, stop it, try again. For programs, formgrader's button among them."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from kirzl_lab.courses.exchange import assignment_called
from kirzl_lab.grading import runs
from kirzl_lab.grading.tasks import newest_graded, tasks_of
from kirzl_lab.problems import NotGraded, RunOver, UnknownAssignment
from kirzl_lab.service.access import course_place_of, submission_of, viewer_of
from kirzl_lab.service.downloads import GIVES, archive
from kirzl_lab.service.exchange_models import AssignmentName, CourseName, SubmissionNumber
from kirzl_lab.service.grading_models import (
    GradedAnswer,
    GradedListAnswer,
    RunAnswer,
    RunAsked,
    RunNumber,
    RunsAnswer,
    RunWithTasks,
    TaskAnswer,
)
from kirzl_lab.service.routes import API
from kirzl_lab.service.state import state_of
from kirzl_lab.store import audit
from kirzl_lab.store.course_tables import Assignment

router = APIRouter(tags=["grading"])

OF_ASSIGNMENT = "/api/courses/{course}/assignments/{assignment}"
OF_RUN = "/api/courses/{course}/runs/{run}"


@router.post(f"{OF_ASSIGNMENT}/runs", name="api_grade", status_code=201, summary="Grades what was handed in", **API)
async def api_grade(
    request: Request, course: CourseName, assignment: AssignmentName, asked: RunAsked | None = None
) -> RunAnswer:
    """Begin a run with one task for the newest submission of each person; it goes on by itself.

    Tasks of earlier runs that are about the same submissions and not over are cancelled.
    """
    run = await begin(request, assignment, asked.students if asked else None)
    return RunAnswer.of(run)


async def begin(request: Request, assignment: str, students: list[str] | None) -> runs.Run:
    """Begin a run for whoever asks. Raises `UnknownAssignment` and `NothingToGrade`."""
    state, viewer, space = state_of(request), viewer_of(request), course_place_of(request).space
    now = state.clock()
    async with state.writing() as session:
        found = await assignment_called(session, space.id, assignment)
        if found is None:
            raise UnknownAssignment(assignment=assignment)
        run_id = await runs.begin(session, found, viewer.person_id, now, students)
        audit.record(
            session,
            at=now,
            actor=viewer.hub_name,
            action=audit.Action.GRADING_STARTED,
            person_id=viewer.person_id,
            space_id=space.id,
            detail={"assignment": assignment, "run": run_id},
        )
        return await runs.run_called(session, space.id, run_id)


@router.get(f"{OF_ASSIGNMENT}/runs", name="api_runs", summary="The last grading runs", **API)
async def api_runs(request: Request, course: CourseName, assignment: AssignmentName) -> RunsAnswer:
    """Of an assignment, newest first."""
    found = await _assignment(request, assignment)
    async with state_of(request).reading() as session:
        return RunsAnswer(runs=[RunAnswer.of(run) for run in await runs.runs_of(session, found.id)])


@router.get(OF_RUN, name="api_run", summary="How far a grading run is", **API)
async def api_run(request: Request, course: CourseName, run: RunNumber) -> RunWithTasks:
    """The run and each of its tasks, with the end of its log."""
    async with state_of(request).reading() as session:
        found = await runs.run_called(session, course_place_of(request).space.id, run)
        tasks = await tasks_of(session, run)
    return RunWithTasks(**RunAnswer.of(found).model_dump(), tasks=[TaskAnswer.of(task) for task in tasks])


@router.post(f"{OF_RUN}/cancel", name="api_cancel_run", summary="Stops a grading run", **API)
async def api_cancel_run(request: Request, course: CourseName, run: RunNumber) -> RunAnswer:
    """What is graded stays graded; everything else of the run ends. 409 when it is over already."""
    return RunAnswer.of(await cancel(request, run))


async def cancel(request: Request, run: int) -> runs.Run:
    """Stop a run of the course. Raises `UnknownRun` and `RunOver`."""
    state, space = state_of(request), course_place_of(request).space
    async with state.writing() as session:
        await runs.run_called(session, space.id, run)
        await runs.cancel(session, run, state.clock())
        return await runs.run_called(session, space.id, run)


@router.post(f"{OF_RUN}/retry", name="api_retry_run", summary="Grades once more what failed", **API)
async def api_retry_run(request: Request, course: CourseName, run: RunNumber) -> RunAnswer:
    """Tasks of the run that failed or were cancelled begin anew. 409 when there is none."""
    return RunAnswer.of(await retry(request, run))


async def retry(request: Request, run: int) -> runs.Run:
    """Try the failed tasks of a run again. Raises `UnknownRun` and `RunOver`."""
    state, space = state_of(request), course_place_of(request).space
    async with state.writing() as session:
        await runs.run_called(session, space.id, run)
        if not await runs.retry(session, run, state.clock()):
            raise RunOver()
        return await runs.run_called(session, space.id, run)


@router.get("/api/courses/{course}/graded", name="api_graded", summary="What is graded", **API)
async def api_graded(request: Request, course: CourseName) -> GradedListAnswer:
    """The newest graded folder of each submission: with it a course server brings its `autograded` up to date."""
    async with state_of(request).reading() as session:
        graded = await newest_graded(session, course_place_of(request).space.id)
    return GradedListAnswer(
        graded=[
            GradedAnswer(
                submission=each.submission_id,
                assignment=each.assignment,
                student=each.student,
                submitted_at=each.submitted_at,
                graded_sha256=each.sha256,
            )
            for each in graded
        ]
    )


@router.get(
    "/api/courses/{course}/submissions/{submission}/graded",
    name="api_graded_files",
    summary="A graded submission",
    **GIVES,
)
async def api_graded_files(request: Request, course: CourseName, submission: SubmissionNumber) -> Response:
    """nbgrader's `autograded` folder of the submission, hidden tests included. 404 before it was graded."""
    about = submission_of(request)
    async with state_of(request).reading() as session:
        graded = await newest_graded(session, course_place_of(request).space.id, about.id)
    if not graded:
        raise NotGraded()
    return await archive(request, graded[-1].sha256, f"{graded[-1].assignment}-{graded[-1].student}")


async def _assignment(request: Request, name: str) -> Assignment:
    async with state_of(request).reading() as session:
        found = await assignment_called(session, course_place_of(request).space.id, name)
    if found is None:
        raise UnknownAssignment(assignment=name)
    return found
