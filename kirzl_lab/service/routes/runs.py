"""Grading runs, as pages: how far one is, why something failed, cancel and retry."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from kirzl_lab.catalog.models import Text
from kirzl_lab.grading import run_view, runs
from kirzl_lab.grading.tasks import State
from kirzl_lab.service.access import course_place_of
from kirzl_lab.service.assignment_models import RunTasksAsked
from kirzl_lab.service.exchange_models import CourseName
from kirzl_lab.service.grading_models import RunNumber
from kirzl_lab.service.pages import page, words_of
from kirzl_lab.service.routes.grading import cancel, retry
from kirzl_lab.service.state import state_of
from kirzl_lab.service.words import REASONS, RUN_STATES
from kirzl_lab.spawning.site import site_of

router = APIRouter(include_in_schema=False)

ADDRESS = "/courses/{course}/runs/{run}"
TaskNumber = Annotated[int, Path(description="The task's id.", ge=1, le=2**31 - 1)]


@router.get(ADDRESS, name="run", summary="A grading run, as a page")
async def run(
    request: Request, course: CourseName, run: RunNumber, asked: Annotated[RunTasksAsked, Query()]
) -> HTMLResponse:
    """How far it is; the page follows it by itself."""
    async with state_of(request).reading() as session:
        about = await runs.run_called(session, course_place_of(request).space.id, run)
        tasks = await run_view.task_lines(session, run, state=asked.state, page=asked.page, per_page=asked.per_page)
    gettext = words_of(request).gettext
    return _page(
        request,
        "run.html",
        run=about,
        asked=asked,
        tasks=tasks,
        failed=about.states.get(State.FAILED, 0),
        again=about.states.get(State.FAILED, 0) + about.states.get(State.CANCELLED, 0),
        laptop=site_of() is None,
        state_options=[(state.value, gettext(RUN_STATES[state])) for state in State if about.states.get(state)],
    )


@router.get(f"{ADDRESS}/tasks/{{task}}", name="run_task", summary="The grading of one submission, as a page")
async def run_task(request: Request, course: CourseName, run: RunNumber, task: TaskNumber) -> HTMLResponse:
    """How it went, with the end of its log."""
    async with state_of(request).reading() as session:
        about = await runs.run_called(session, course_place_of(request).space.id, run)
        line, log = await run_view.task_called(session, run, task)
    return _page(request, "run_task.html", run=about, task=line, log=log)


@router.post(f"{ADDRESS}/cancel", name="cancel_run", summary="Stops a grading run")
async def cancel_run(request: Request, course: CourseName, run: RunNumber) -> RedirectResponse:
    """Stop it and go back to its page."""
    await cancel(request, run)
    return _to(request, run)


@router.post(f"{ADDRESS}/retry", name="retry_run", summary="Grades once more what failed")
async def retry_run(request: Request, course: CourseName, run: RunNumber) -> RedirectResponse:
    """Begin anew what failed or was stopped, and go back to the run's page."""
    await retry(request, run)
    return _to(request, run)


def _page(request: Request, template: str, **names: Any) -> HTMLResponse:
    space = course_place_of(request).space
    return page(
        request,
        template,
        nav="courses",
        space=space,
        title=Text(de=space.title_de, en=space.title_en),
        run_states=RUN_STATES,
        reasons=REASONS,
        State=State,
        **names,
    )


def _to(request: Request, run: int) -> RedirectResponse:
    address = request.url_for("run", course=course_place_of(request).space.name, run=run).path
    return RedirectResponse(address, status_code=303)
