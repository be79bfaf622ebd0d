"""The exchange: fetch, release, hand in, collect, feedback. For programs: nbgrader's plugin in people's servers."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from kirzl_lab.catalog.models import CourseFile, Role, Text
from kirzl_lab.courses import exchange
from kirzl_lab.courses.exchange import KEY, By, limits_of, must_be_released
from kirzl_lab.courses.exchange_lists import assignments_of, submission_line, submissions_page
from kirzl_lab.problems import KeyMissing, NoFeedback, NoSource, UnknownAssignment
from kirzl_lab.service.access import course_place_of, submission_of, viewer_of
from kirzl_lab.service.downloads import GIVES, GZIP, HEADERS, archive
from kirzl_lab.service.exchange_models import (
    AssignmentAnswer,
    AssignmentName,
    AssignmentsAnswer,
    CourseAnswer,
    CourseName,
    CoursesAnswer,
    Due,
    Force,
    OwnSubmission,
    SubmissionAnswer,
    SubmissionNumber,
    SubmissionsAnswer,
    SubmissionsAsked,
)
from kirzl_lab.service.receiving import receive
from kirzl_lab.service.routes import API, STREAMED
from kirzl_lab.service.state import state_of
from kirzl_lab.store.members import Member, binding_of, courses_of

router = APIRouter(tags=["exchange"])

OF_ASSIGNMENT = "/api/courses/{course}/assignments/{assignment}"
OF_SUBMISSION = "/api/courses/{course}/submissions/{submission}"

TAKES: dict[str, Any] = STREAMED | {
    "openapi_extra": {
        "requestBody": {"required": True, "content": {GZIP: {"schema": {"type": "string", "format": "binary"}}}}
    }
}


@router.get("/api/courses", name="api_courses", summary="Your courses", **API)
async def api_courses(request: Request) -> CoursesAnswer:
    """The courses of the person, archived ones as well; from a notebook server the course of that server alone."""
    viewer = viewer_of(request)
    async with state_of(request).reading() as session:
        members, preview = await courses_of(session, viewer.person_id), False
        if viewer.server_name is not None:
            bound = await binding_of(session, viewer.person_id, viewer.server_name)
            members = [member for member in members if bound is not None and member.space.name == bound.space]
            preview = bound is not None and bound.purpose == "preview"
    return CoursesAnswer(courses=[_course(member, preview) for member in members])


@router.get("/api/courses/{course}/assignments", name="api_assignments", summary="The assignments of a course", **API)
async def api_assignments(request: Request, course: CourseName) -> AssignmentsAnswer:
    """By name, each with what the person handed in; students see what is released and what they handed in for."""
    place = course_place_of(request)
    async with state_of(request).reading() as session:
        lines = await assignments_of(session, place.space.id, viewer_of(request).person_id, staff=place.staff)
    return AssignmentsAnswer(assignments=[AssignmentAnswer.model_validate(line) for line in lines])


@router.get(f"{OF_ASSIGNMENT}/release", name="api_release", summary="Fetches an assignment", **GIVES)
async def api_release(request: Request, course: CourseName, assignment: AssignmentName) -> Response:
    """What students work on; for staff also while it is withdrawn."""
    place = course_place_of(request)
    async with state_of(request).reading() as session:
        found = await exchange.assignment_called(session, place.space.id, assignment)
    if place.staff and found is not None and found.release_sha256 is not None:
        return await archive(request, found.release_sha256, assignment)
    return await archive(request, must_be_released(found, assignment).release_sha256, assignment)


@router.put(
    f"{OF_ASSIGNMENT}/release", name="api_put_release", status_code=204, summary="Releases an assignment", **TAKES
)
async def api_put_release(
    request: Request, course: CourseName, assignment: AssignmentName, due: Due = None, force: Force = False
) -> None:
    """Let students fetch the archive in the body, and hand in."""
    state, space = state_of(request), course_place_of(request).space
    async with receive(request, limits_of(space)) as received, state.writing() as session:
        await exchange.release(
            session, state.blobs, space, assignment, received, by=_by(request), due_at=due, force=force
        )


@router.delete(
    f"{OF_ASSIGNMENT}/release", name="api_withdraw", status_code=204, summary="Withdraws an assignment", **API
)
async def api_withdraw(request: Request, course: CourseName, assignment: AssignmentName) -> None:
    """Nobody can fetch it or hand it in any more; what was handed in stays."""
    state = state_of(request)
    async with state.writing() as session:
        space = course_place_of(request).space
        await exchange.withdraw(session, space, assignment, by=_by(request), now=state.clock())


@router.get(f"{OF_ASSIGNMENT}/source", name="api_source", summary="What an assignment is made from", **GIVES)
async def api_source(request: Request, course: CourseName, assignment: AssignmentName) -> Response:
    """With solutions and hidden tests."""
    async with state_of(request).reading() as session:
        found = await exchange.assignment_called(session, course_place_of(request).space.id, assignment)
    if found is None:
        raise UnknownAssignment(assignment=assignment)
    if found.source_sha256 is None:
        raise NoSource(assignment=assignment)
    return await archive(request, found.source_sha256, f"{assignment}-source")


@router.put(
    f"{OF_ASSIGNMENT}/source",
    name="api_put_source",
    status_code=204,
    summary="Keeps what an assignment is made from",
    **TAKES,
)
async def api_put_source(request: Request, course: CourseName, assignment: AssignmentName) -> None:
    """Keep the archive in the body in place of the one before."""
    state, space = state_of(request), course_place_of(request).space
    async with receive(request, limits_of(space)) as received, state.writing() as session:
        await exchange.keep_source(session, state.blobs, space, assignment, received)


@router.post(
    f"{OF_ASSIGNMENT}/submissions",
    name="api_submit",
    status_code=201,
    summary="Hands in an assignment",
    **TAKES
    | {"responses": API["responses"] | {200: {"model": OwnSubmission, "description": "It was handed in before."}}},
)
async def api_submit(
    request: Request,
    response: Response,
    course: CourseName,
    assignment: AssignmentName,
    idempotency_key: Annotated[
        str | None, Header(description=f"Made by the client, the same for each try: `{KEY}`.")
    ] = None,
) -> OwnSubmission:
    """Hand in the archive in the body; answers 200 and the same submission for a key that came before.

    The time is the lab's, when all of it had come.
    """
    if idempotency_key is None or re.fullmatch(KEY, idempotency_key) is None:
        raise KeyMissing()
    state, space, by = state_of(request), course_place_of(request).space, _by(request)
    async with state.reading() as session:
        await exchange.may_submit(session, space, assignment, by=by, key=idempotency_key)
    async with receive(request, limits_of(space)) as received, state.writing() as session:
        handed_in = await exchange.submit(
            session, state.blobs, space, assignment, received, by=by, key=idempotency_key, signer=state.signer
        )
        line = await submission_line(session, handed_in.submission.id)
    if not handed_in.new:
        response.status_code = 200
    return OwnSubmission.model_validate(line)


@router.get(
    "/api/courses/{course}/submissions", name="api_submissions", summary="What was handed in in a course", **API
)
async def api_submissions(
    request: Request, course: CourseName, asked: Annotated[SubmissionsAsked, Query()]
) -> SubmissionsAnswer:
    """Oldest first, a page at a time."""
    async with state_of(request).reading() as session:
        found = await submissions_page(
            session,
            course_place_of(request).space.id,
            assignment=asked.assignment,
            student=asked.student,
            page=asked.page,
            per_page=asked.per_page,
        )
    return SubmissionsAnswer(
        submissions=[SubmissionAnswer.model_validate(line) for line in found.items],
        page=found.page,
        pages=found.pages,
        per_page=found.per_page,
        total=found.total,
    )


@router.get(f"{OF_SUBMISSION}/files", name="api_files", summary="The files of a submission", **GIVES)
async def api_files(request: Request, course: CourseName, submission: SubmissionNumber) -> Response:
    """As they were handed in."""
    return await archive(request, submission_of(request).sha256, f"submission-{submission}")


@router.get(
    f"{OF_SUBMISSION}/receipt",
    name="api_receipt",
    summary="The receipt of a submission",
    response_class=PlainTextResponse,
    **API,
)
async def api_receipt(request: Request, course: CourseName, submission: SubmissionNumber) -> PlainTextResponse:
    """A signed statement of what was handed in, and when."""
    return PlainTextResponse(submission_of(request).receipt, headers=HEADERS)


@router.get(f"{OF_SUBMISSION}/feedback", name="api_feedback", summary="Feedback on a submission", **GIVES)
async def api_feedback(request: Request, course: CourseName, submission: SubmissionNumber) -> Response:
    """One page in HTML for each notebook; 404 before it is released."""
    sha256 = submission_of(request).feedback_sha256
    if sha256 is None:
        raise NoFeedback()
    return await archive(request, sha256, f"feedback-{submission}")


@router.put(f"{OF_SUBMISSION}/feedback", name="api_put_feedback", status_code=204, summary="Releases feedback", **TAKES)
async def api_put_feedback(request: Request, course: CourseName, submission: SubmissionNumber) -> None:
    """Let the person whose submission it is fetch the archive in the body."""
    state, space = state_of(request), course_place_of(request).space
    async with receive(request, limits_of(space)) as received, state.writing() as session:
        about = await exchange.submission_to_change(session, submission)
        await exchange.release_feedback(session, state.blobs, space, about, received, by=_by(request))


@router.delete(
    f"{OF_SUBMISSION}/feedback",
    name="api_withdraw_feedback",
    status_code=204,
    summary="Takes feedback back",
    **API,
)
async def api_withdraw_feedback(request: Request, course: CourseName, submission: SubmissionNumber) -> None:
    """The person cannot fetch it any more; 404 when there is none."""
    state, space = state_of(request), course_place_of(request).space
    async with state.writing() as session:
        about = await exchange.submission_to_change(session, submission)
        await exchange.withdraw_feedback(session, space, about, by=_by(request), now=state.clock())


@router.get("/api/receipts/key", name="api_receipts_key", summary="The key that checks receipts")
async def api_receipts_key(request: Request) -> JSONResponse:
    """A JSON Web Key Set (RFC 7517)."""
    return JSONResponse(state_of(request).signer.public_keys, headers=HEADERS)


def _by(request: Request) -> By:
    viewer = viewer_of(request)
    return By(viewer.person_id, viewer.hub_name)


def _course(member: Member, preview: bool) -> CourseAnswer:
    space = member.space
    return CourseAnswer(
        name=space.name,
        title=Text(de=space.title_de, en=space.title_en),
        term=CourseFile.model_validate(space.spec).term,
        role=Role.STUDENT if preview else member.role,
        section=member.section,
        archived_at=space.archived_at,
    )
