"""The gradebook of a course, the statistics of its assignments, and a student's own grades."""

import asyncio
import tempfile
from collections.abc import Iterator
from typing import IO, Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from kirzl_lab.catalog.models import CourseFile, Text
from kirzl_lab.courses.export import csv_lines, write_xlsx
from kirzl_lab.courses.gradebook_table import State, Table
from kirzl_lab.courses.handed_in import Student
from kirzl_lab.courses.statistics import distribution, over_time
from kirzl_lab.service import plots
from kirzl_lab.service.access import course_place_of, viewer_of
from kirzl_lab.service.course_server import formgrader
from kirzl_lab.service.gradebook_models import (
    GradebookAnswer,
    GradebookAsked,
    OwnGrades,
    StatisticsAnswer,
    gradebook_answer,
    own_answer,
    statistics_answer,
)
from kirzl_lab.service.gradebooks import Shown, figures, own, shown, whole
from kirzl_lab.service.models import Word
from kirzl_lab.service.pages import language_of, page, words_of
from kirzl_lab.service.routes import API
from kirzl_lab.service.state import state_of
from kirzl_lab.service.words import STATES
from kirzl_lab.store.tables import Space

router = APIRouter()

CourseName = Annotated[Word, Path(description="The course's name.")]
AssignmentName = Annotated[Word, Path(description="The assignment's name.")]
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
KEPT_IN_MEMORY = 4 * 1024 * 1024
"""Bytes of a workbook beyond which it is written to a file that has no name."""
PIECE = 64 * 1024


@router.get(
    "/api/courses/{course}/gradebook", name="api_gradebook", tags=["courses"], summary="The grades of a course", **API
)
async def api_gradebook(
    request: Request, course: CourseName, asked: Annotated[GradebookAsked, Query()]
) -> GradebookAnswer:
    """Students and their grades, a page at a time. Scores are nbgrader's."""
    return gradebook_answer(await _shown(request, asked))


@router.get(
    "/api/courses/{course}/gradebook.{kind}",
    name="api_gradebook_export",
    tags=["courses"],
    summary="All grades of a course as a file",
    response_class=StreamingResponse,
    **API,
)
async def api_gradebook_export(request: Request, course: CourseName, kind: Literal["csv", "xlsx"]) -> StreamingResponse:
    """A row for each student by name, with score, late penalty and state for each assignment; CSV in UTF-8, or XLSX."""
    space = course_place_of(request).space
    table = await whole(state_of(request), space)
    headers = {
        "Content-Disposition": f'attachment; filename="gradebook-{space.name}.{kind}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    if kind == "csv":
        return StreamingResponse(csv_lines(table), media_type="text/csv; charset=utf-8", headers=headers)
    pieces = _pieces(await asyncio.to_thread(_workbook, table))
    return StreamingResponse(pieces, media_type=XLSX, headers=headers)


@router.get(
    "/api/courses/{course}/assignments/{assignment}/statistics",
    name="api_statistics",
    tags=["courses"],
    summary="The figures of an assignment",
    **API,
)
async def api_statistics(request: Request, course: CourseName, assignment: AssignmentName) -> StatisticsAnswer:
    """How scores are distributed, how every graded cell went, and when things were handed in; 404 for none of that name."""
    return statistics_answer(await figures(state_of(request), course_place_of(request).space, assignment))


@router.get("/api/courses/{course}/grades", name="api_grades", tags=["courses"], summary="Your own grades", **API)
async def api_grades(request: Request, course: CourseName) -> OwnGrades:
    """What you handed in in the course, and your grades as far as feedback was released for them."""
    return own_answer(await _own(request))


@router.get(
    "/courses/{course}/gradebook", name="gradebook", include_in_schema=False, summary="The gradebook of a course"
)
async def gradebook(request: Request, course: CourseName, asked: Annotated[GradebookAsked, Query()]) -> HTMLResponse:
    """The page Gradebook."""
    space = course_place_of(request).space
    found = await _shown(request, asked)
    return page(
        request,
        "gradebook.html",
        nav="courses",
        space=space,
        title=_title(space),
        asked=asked,
        found=found,
        sections=[(section, section) for section in found.sections],
        assignments=[(column.name, column.name) for column in found.columns],
        state_options=[(state.value, words_of(request).gettext(STATES[state])) for state in State],
        formgrader=await formgrader(request),
        now=state_of(request).clock(),
    )


@router.get(
    "/courses/{course}/assignments/{assignment}/statistics",
    name="statistics",
    include_in_schema=False,
    summary="The figures of an assignment, as a page",
)
async def statistics(request: Request, course: CourseName, assignment: AssignmentName) -> HTMLResponse:
    """The page Statistics."""
    space, language = course_place_of(request).space, language_of(request)
    found = await figures(state_of(request), space, assignment)
    zone = CourseFile.model_validate(space.spec).zone
    steps, width = over_time(found.times, zone)
    mean = found.summary.mean if found.summary.count else None
    return page(
        request,
        "statistics.html",
        nav="courses",
        space=space,
        title=_title(space),
        assignment=assignment,
        figures=found,
        score_plot=plots.score_plot(distribution(found.scores, found.max_score), mean, language),
        time_plot=plots.time_plot(steps, width, found.due_at, language),
        tasks=plots.task_bars(found.tasks, language),
        zone=zone.key,
    )


@router.get("/courses/{course}/grades", name="grades", include_in_schema=False, summary="Your own grades, as a page")
async def grades(request: Request, course: CourseName) -> HTMLResponse:
    """The page My grades."""
    space = course_place_of(request).space
    found = await _own(request)
    (row,) = found.rows
    return page(
        request,
        "grades.html",
        nav="courses",
        space=space,
        title=_title(space),
        own=found,
        row=row,
        graded_points=sum(
            column.max_score for column, cell in zip(found.columns, row.cells, strict=True) if cell.grading
        ),
        now=state_of(request).clock(),
    )


async def _shown(request: Request, asked: GradebookAsked) -> Shown:
    space = course_place_of(request).space
    return await shown(state_of(request), space, asked.wanted, asked.page, asked.per_page)


async def _own(request: Request) -> Table:
    place, viewer = course_place_of(request), viewer_of(request)
    student = Student(viewer.hub_name, viewer.display_name, place.section, enrolled=True)
    return await own(state_of(request), place.space, viewer.person_id, student)


def _title(space: Space) -> Text:
    return Text(de=space.title_de, en=space.title_en)


def _workbook(table: Table) -> IO[bytes]:
    file = tempfile.SpooledTemporaryFile(KEPT_IN_MEMORY)  # noqa: SIM115 - closed by whoever sends it
    try:
        write_xlsx(table, file)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece
