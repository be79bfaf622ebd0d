"""Rosters, for programs."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from kirzl_lab.courses.roster_lines import roster_page
from kirzl_lab.service import rosters
from kirzl_lab.service.access import course_place_of
from kirzl_lab.service.course_models import (
    ChangesAnswer,
    Mark,
    MistakeAnswer,
    NewRow,
    PreviewAnswer,
    RosterAsked,
    RosterLineAnswer,
    RowNumber,
    RowPlace,
    UploadAsked,
    change_answer,
)
from kirzl_lab.service.exchange_models import CourseName
from kirzl_lab.service.models import Lines, lines
from kirzl_lab.service.pages import words_of
from kirzl_lab.service.routes import API, STREAMED
from kirzl_lab.service.state import state_of
from kirzl_lab.store.difference import Change

router = APIRouter(tags=["rosters"])

ROSTER = "/api/courses/{course}/roster"
TAKES_CSV: dict[str, Any] = STREAMED | {
    "openapi_extra": {"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}}
}


@router.get(ROSTER, name="api_roster", summary="The roster of a course", **API)
async def api_roster(
    request: Request, course: CourseName, asked: Annotated[RosterAsked, Query()]
) -> Lines[RosterLineAnswer]:
    """Rows by role, section and value, a page at a time."""
    async with state_of(request).reading() as session:
        found = await roster_page(session, course_place_of(request).space.id, **asked.model_dump())
    return lines(found, RosterLineAnswer)


@router.post(ROSTER, name="api_roster_add", summary="Adds or changes a row by its value", **API)
async def api_roster_add(request: Request, course: CourseName, row: NewRow) -> ChangesAnswer:
    """The row is there afterwards, with this role and section; nothing changes when it was before."""
    promise = (row.institution, row.claim, row.value)
    return _answer(await rosters.put_row(request, promise, row.role, row.section))


@router.patch(f"{ROSTER}/{{row}}", name="api_roster_change", summary="Changes a row", **API)
async def api_roster_change(request: Request, course: CourseName, row: RowNumber, place: RowPlace) -> ChangesAnswer:
    """Give it another role or section."""
    return _answer(await rosters.change_row(request, row, place.role, place.section))


@router.delete(f"{ROSTER}/{{row}}", name="api_roster_remove", summary="Removes a row", **API)
async def api_roster_remove(request: Request, course: CourseName, row: RowNumber) -> ChangesAnswer:
    """Its person has no place in the course any more, and keeps what they handed in."""
    return _answer(await rosters.remove_row(request, row))


@router.post(f"{ROSTER}/preview", name="api_roster_preview", summary="What a file would change", **TAKES_CSV)
async def api_roster_preview(
    request: Request, course: CourseName, asked: Annotated[UploadAsked, Query()]
) -> PreviewAnswer:
    """Every mistake in the file, or what it would add, change and remove. Nothing is done."""
    data = await rosters.body_of(request)
    uploaded = await rosters.read_file(request, data, asked.institution or "", asked.role)
    found = await rosters.preview(request, uploaded, complete=asked.complete)
    gettext = words_of(request).gettext
    return PreviewAnswer(
        changes=[change_answer(change) for change in found.changes],
        mistakes=[MistakeAnswer(line=each.line, message=each.phrase.text(gettext)) for each in uploaded.mistakes],
        mark=found.mark,
        rows=len(uploaded.rows),
        left_out=list(uploaded.left_out),
        encoding=uploaded.encoding,
    )


@router.put(ROSTER, name="api_roster_upload", summary="Does what a preview told", **TAKES_CSV)
async def api_roster_upload(
    request: Request, course: CourseName, mark: Mark, asked: Annotated[UploadAsked, Query()]
) -> ChangesAnswer:
    """All of it or nothing; nothing as well when the roster is another than in the preview."""
    data = await rosters.body_of(request)
    uploaded = await rosters.read_file(request, data, asked.institution or "", asked.role)
    return _answer(await rosters.upload(request, uploaded, complete=asked.complete, mark=mark))


def _answer(changes: tuple[Change, ...]) -> ChangesAnswer:
    return ChangesAnswer(changes=[change_answer(change) for change in changes])
