"""Rosters, as pages: who is in the course, changes by hand, a file with a preview."""

import csv
import io
from collections import Counter
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import UploadFile

from kirzl_lab.catalog.models import Role, RosterRow, Text
from kirzl_lab.courses.roster_file import LARGEST, MOST_ROWS
from kirzl_lab.courses.roster_lines import State, roster_counts, roster_line, roster_page
from kirzl_lab.courses.roster_upload import personal_claims
from kirzl_lab.problems import LastInstructor, Problem, RowRefused, TooLarge, UnknownRosterRow
from kirzl_lab.service import rosters
from kirzl_lab.service.access import course_place_of
from kirzl_lab.service.course_models import RosterAsked, RowNumber
from kirzl_lab.service.exchange_models import CourseName
from kirzl_lab.service.pages import page, with_query, words_of
from kirzl_lab.service.rosters import ROLES_IN_COURSES
from kirzl_lab.service.state import state_of
from kirzl_lab.service.words import ROLES
from kirzl_lab.store.audit import Action
from kirzl_lab.store.difference import Change

router = APIRouter(include_in_schema=False)

Done = Literal["added", "changed", "removed", "uploaded", "same"]
SHOWN = 100
"""Changes of each kind that a preview lists; the rest is counted."""
CLAIMS = {"email": "E-mail address", "matriculation_number": "Matriculation number"}
"""Claims in words; others are shown under their own name."""
STATES = {State.WAITING: "Waiting for first login", State.BOUND: "Has logged in", State.CONFLICT: "Conflict"}


@router.get("/courses/{course}/roster", name="roster", summary="The roster of a course, as a page")
async def roster(
    request: Request, course: CourseName, asked: Annotated[RosterAsked, Query()], done: Done | None = None
) -> HTMLResponse:
    """Each row with the person it belongs to."""
    return await _roster(request, asked, done=done)


@router.post("/courses/{course}/roster", name="roster_add", summary="Adds a row")
async def roster_add(request: Request, course: CourseName) -> Response:
    """Add the person and go back to the roster, or show it again with what is wrong."""
    form = await request.form()
    typed = {key: str(form.get(key, ""))[:1000].strip() for key in ("who", "value", "role", "section")}
    institution, _, claim = typed["who"].partition(" ")
    try:
        changes = await rosters.put_row(
            request, (institution, claim, typed["value"]), _role(typed["role"]), typed["section"]
        )
    except (RowRefused, LastInstructor) as problem:
        return await _roster(request, RosterAsked(), problem=problem, typed=typed)
    return _back(request, "added" if changes else "same")


@router.get("/courses/{course}/roster/file", name="roster_file", summary="The form for a file with a roster")
async def roster_file(request: Request, course: CourseName) -> HTMLResponse:
    """The form."""
    return _page(request, "roster_file.html", limits=(LARGEST // 1024, MOST_ROWS), problem=None)


@router.post("/courses/{course}/roster/file", name="roster_preview", summary="Shows what a file would change")
async def roster_preview(request: Request, course: CourseName) -> HTMLResponse:
    """Every mistake of the file, or what it would change. Nothing is done."""
    form = await request.form()
    sent = form.get("file")
    data = await sent.read(LARGEST + 1) if isinstance(sent, UploadFile) else b""
    institution, complete = str(form.get("institution", "")), form.get("complete") == "yes"
    if len(data) > LARGEST:
        raise TooLarge(limit=f"{LARGEST // 1024} KiB")
    uploaded = await rosters.read_file(request, data, institution, _role(str(form.get("role", ""))))
    found = await rosters.preview(request, uploaded, complete=complete)
    kinds = Counter(_kind(change) for change in found.changes)
    return _page(
        request,
        "roster_preview.html",
        status=422 if uploaded.mistakes else 200,
        found=found,
        complete=complete,
        kinds=kinds,
        same=len(uploaded.rows) - kinds["added"] - kinds["changed"],
        changes={kind: [each for each in found.changes if _kind(each) == kind][:SHOWN] for kind in kinds},
        rows=_as_csv(uploaded.rows),
        file_name=(sent.filename or "") if isinstance(sent, UploadFile) else "",
    )


@router.post("/courses/{course}/roster/upload", name="roster_upload", summary="Does what the preview told")
async def roster_upload(request: Request, course: CourseName) -> Response:
    """All of it or nothing, and back to the roster."""
    form = await request.form()
    uploaded = await rosters.read_file(request, str(form.get("rows", "")).encode(), "", Role.STUDENT)
    complete, mark = form.get("complete") == "yes", str(form.get("mark", ""))
    changes = await rosters.upload(request, uploaded, complete=complete, mark=mark)
    return _back(request, "uploaded" if changes else "same")


@router.get("/courses/{course}/roster/{row}", name="roster_row", summary="One row of a roster")
async def roster_row(request: Request, course: CourseName, row: RowNumber) -> HTMLResponse:
    """The form of a row: another role or section, or off the roster."""
    return await _row(request, row)


@router.post("/courses/{course}/roster/{row}", name="roster_change", summary="Changes a row")
async def roster_change(request: Request, course: CourseName, row: RowNumber) -> Response:
    """Change the row and go back to the roster, or show it again with what is wrong."""
    form = await request.form()
    try:
        section = str(form.get("section", ""))[:60]
        changes = await rosters.change_row(request, row, _role(str(form.get("role", ""))), section)
    except (RowRefused, LastInstructor) as problem:
        return await _row(request, row, problem)
    return _back(request, "changed" if changes else "same")


@router.post("/courses/{course}/roster/{row}/remove", name="roster_remove", summary="Removes a row")
async def roster_remove(request: Request, course: CourseName, row: RowNumber) -> Response:
    """Remove the row and go back to the roster."""
    try:
        await rosters.remove_row(request, row)
    except LastInstructor as problem:
        return await _row(request, row, problem)
    return _back(request, "removed")


async def _roster(
    request: Request,
    asked: RosterAsked,
    *,
    done: Done | None = None,
    problem: Problem | None = None,
    typed: dict[str, str] | None = None,
) -> HTMLResponse:
    space = course_place_of(request).space
    async with state_of(request).reading() as session:
        found = await roster_page(session, space.id, **asked.model_dump())
        counts = await roster_counts(session, space.id)
    gettext = words_of(request).gettext
    return _page(
        request,
        "roster.html",
        status=422 if problem else 200,
        asked=asked,
        found=found,
        counts=counts,
        section_options=[(section, section) for section in counts.sections],
        done=done,
        problem=problem,
        typed=typed or {},
        states=STATES,
        state_options=[(state.value, gettext(title)) for state, title in STATES.items()],
    )


async def _row(request: Request, row_id: int, problem: Problem | None = None) -> HTMLResponse:
    async with state_of(request).reading() as session:
        line = await roster_line(session, course_place_of(request).space.id, row_id)
    if line is None:
        raise UnknownRosterRow()
    return _page(request, "roster_row.html", status=422 if problem else 200, line=line, problem=problem, states=STATES)


def _page(request: Request, template: str, *, status: int = 200, **names: Any) -> HTMLResponse:
    place, institutions = course_place_of(request), rosters.institutions_of(request)
    gettext = words_of(request).gettext
    may_change = place.role is Role.INSTRUCTOR and not place.space.managed_by and not place.space.archived_at
    return page(
        request,
        template,
        status=status,
        nav="courses",
        space=place.space,
        title=Text(de=place.space.title_de, en=place.space.title_en),
        may_change=may_change,
        institutions={name: one.title for name, one in institutions.items()},
        who_options=[(name, one.title, claim) for name, one in institutions.items() for claim in personal_claims(one)],
        claims={claim: gettext(title) for claim, title in CLAIMS.items()},
        roles=ROLES,
        role_options=[(role.value, gettext(ROLES[role])) for role in ROLES_IN_COURSES],
        phrase=lambda each: each.text(gettext),
        **names,
    )


def _role(written: str) -> Role:
    return Role(written) if written in set(ROLES_IN_COURSES) else Role.STUDENT


def _kind(change: Change) -> str:
    match change.action:
        case Action.ROSTER_ADDED | Action.ROSTER_RESTORED:
            return "added"
        case Action.ROSTER_REMOVED:
            return "removed"
        case _:
            return "changed"


def _as_csv(rows: Any) -> str:
    """The rows for the form that follows, as a file that is read like the first one."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(RosterRow.model_fields)
    writer.writerows((*promise, *place) for promise, place in rows.items())
    return text.getvalue()


def _back(request: Request, done: Done) -> RedirectResponse:
    address = request.url_for("roster", course=course_place_of(request).space.name).path
    return RedirectResponse(with_query(address, done=done), status_code=303)
