"""Who asks, and whether they may: `admit` runs before every endpoint and reads the one table of access by the route's name."""

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import urlsplit

from fastapi import Request, Response

from kirzl_lab import logs
from kirzl_lab.catalog.models import STAFF, Role
from kirzl_lab.courses.exchange_lists import submission_in
from kirzl_lab.problems import (
    CourseArchived,
    FormExpired,
    InstructorsOnly,
    LecturersOnly,
    NotAMember,
    NotFound,
    NotLoggedIn,
    OperatorsOnly,
    OwnLoginNeeded,
    PersonBlocked,
    ScopeMissing,
    StaffOnly,
    TooLarge,
    UnknownCourse,
    UnknownSubmission,
)
from kirzl_lab.service.access_table import ACCESS, IN_A_COURSE, NOT_FROM_A_SERVER, WHILE_ARCHIVED, Who
from kirzl_lab.service.hub import TokenOwner
from kirzl_lab.service.sessions import Session
from kirzl_lab.service.state import ServiceState, state_of
from kirzl_lab.store.course_tables import Submission
from kirzl_lab.store.members import binding_of, is_operator, may_create_courses, member_of_course, person_called
from kirzl_lab.store.tables import Space

AUTHORIZATION = re.compile(r"(?:bearer|token) +([!-~]{1,4000})", re.IGNORECASE)
"""`Bearer` (RFC 6750, 2.1) or JupyterHub's own `token`."""


LARGEST_FORM = 4 * 2**20
"""Bytes of a form: a roster of the largest size, every character of it quoted."""


@dataclass(frozen=True, slots=True)
class CoursePlace:
    """The course that a request is about, and the place there of who asks."""

    space: Space
    role: Role
    section: str

    @property
    def staff(self) -> bool:
        """Whether it is somebody who runs the course."""
        return self.role in STAFF


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks."""

    person_id: int
    hub_name: str
    display_name: str
    operator: bool
    by: Literal["session", "token"]
    form_key: str
    """What the forms of a session carry; empty for a token."""
    server_name: str | None = None
    """The server whose token asks, None for a person's own token and for a session."""


async def admit(request: Request, response: Response) -> None:
    """Let the request through to its endpoint, or raise the `Problem` that stands against it."""
    response.headers["Cache-Control"] = "no-store"
    who = ACCESS.get(request.scope["route"].name)
    if who is None:
        raise NotFound()
    if who in NO_PERSON:
        NO_PERSON[who](request)
        return
    viewer = await find_viewer(request)
    if who is Who.OPERATOR and not viewer.operator:
        raise OperatorsOnly()
    if who in NOT_FROM_A_SERVER and viewer.server_name is not None:
        raise OwnLoginNeeded()
    if who is Who.LECTURER:
        await _must_be_lecturer(request, viewer)
    if who in IN_A_COURSE:
        request.state.course_place = await _find_course_place(request, viewer, who)
        if "submission" in request.path_params:
            request.state.submission = await _find_submission(request, viewer)
    if request.method not in ("GET", "HEAD") and viewer.by == "session":
        await _check_form(request, viewer)


async def find_viewer(request: Request) -> Viewer:
    """Who asks, by token or by session; remembered for the request.

    Raises `NotLoggedIn`, `ScopeMissing`, `PersonBlocked`, `NotAMember` (the lab does not know them), `HubAway` and
    `LabDatabaseAway`. A request that brings a token is never answered by its cookie.
    """
    state = state_of(request)
    session: Session | None = None
    if "authorization" in request.headers:
        token = _sent_token(request)
    else:
        session = state.cookies.session(request.cookies, state.clock())
        token = session.token if session else None
    if token is None:
        raise NotLoggedIn()
    owner = await state.tokens.owner(token)
    if owner is None:
        raise NotLoggedIn()
    if not owner.may_use_service(state.place.service_name):
        raise ScopeMissing(scope=state.place.scope)
    logs.about(owner.hub_name)
    request.state.viewer = await _viewer(state, owner, session)
    return cast(Viewer, request.state.viewer)


def _sent_token(request: Request) -> str | None:
    match = AUTHORIZATION.fullmatch(request.headers.get("authorization", "").strip())
    return match.group(1) if match else None


def _check_metrics_token(request: Request) -> None:
    expected = state_of(request).place.metrics_token
    if not expected or "authorization" not in request.headers:  # a login would not help a browser
        raise NotFound()
    if not hmac.compare_digest((_sent_token(request) or "").encode(), expected.encode()):
        raise NotLoggedIn()


def _find_task_token(request: Request) -> None:
    """Whether it is a task's, is decided where it is used up."""
    token = _sent_token(request)
    if token is None:
        raise NotLoggedIn()
    request.state.task_token = token


def task_token_of(request: Request) -> str:
    """The token that a grader sent."""
    return cast(str, request.state.task_token)


NO_PERSON: dict[Who, Callable[[Request], None]] = {
    Who.ANYONE: lambda _request: None,
    Who.MONITORING: _check_metrics_token,
    Who.TASK: _find_task_token,
}
"""For whom no person is looked for -> what is asked of them."""


def viewer_of(request: Request) -> Viewer:
    """Whom `admit` let through."""
    return cast(Viewer, request.state.viewer)


def course_place_of(request: Request) -> CoursePlace:
    """The course of the address, as `admit` found it; for routes that are in a course alone."""
    return cast(CoursePlace, request.state.course_place)


def submission_of(request: Request) -> Submission:
    """The submission of the address, as `admit` found it: the viewer's own, or one of the course that they run."""
    return cast(Submission, request.state.submission)


async def _find_submission(request: Request, viewer: Viewer) -> Submission:
    """The submission of the address. One that is not theirs to see is none that there is."""
    place, number = course_place_of(request), request.path_params["submission"]
    if re.fullmatch("[1-9][0-9]{0,8}", number) is None:
        raise UnknownSubmission()
    async with state_of(request).reading() as database:
        submission = await submission_in(database, place.space.id, int(number))
    if submission is None or not (place.staff or submission.person_id == viewer.person_id):
        raise UnknownSubmission()
    return submission


async def is_lecturer(request: Request, viewer: Viewer) -> bool:
    """Whether the viewer may create courses."""
    state = state_of(request)
    async with state.reading() as database:
        creators = state.catalogue.lab.course_creators
        return viewer.operator or await may_create_courses(database, viewer.person_id, creators)


async def _must_be_lecturer(request: Request, viewer: Viewer) -> None:
    if not await is_lecturer(request, viewer):
        raise LecturersOnly(contact=state_of(request).catalogue.lab.contact)


async def _find_course_place(request: Request, viewer: Viewer, who: Who) -> CoursePlace:
    """The viewer's place in the course of the address. A course that is not theirs is none that there is."""
    name = request.path_params["course"]
    async with state_of(request).reading() as database:
        member = await member_of_course(database, viewer.person_id, name)
        if member is None:
            raise UnknownCourse(course=name)
        role = member.role
        if viewer.server_name is not None:
            bound = await binding_of(database, viewer.person_id, viewer.server_name)
            if bound is None or bound.space != name:
                raise UnknownCourse(course=name)
            if bound.purpose == "preview":
                role = Role.STUDENT
    if who is Who.INSTRUCTOR and role is not Role.INSTRUCTOR:
        raise InstructorsOnly()
    if who is Who.STAFF and role not in STAFF:
        raise StaffOnly()
    writes = request.method not in ("GET", "HEAD")
    if member.space.archived_at is not None and writes and request.scope["route"].name not in WHILE_ARCHIVED:
        raise CourseArchived(course=name)
    return CoursePlace(space=member.space, role=role, section=member.section)


async def _viewer(state: ServiceState, owner: TokenOwner, session: Session | None) -> Viewer:
    async with state.reading() as database:
        person = await person_called(database, owner.hub_name)
        if person is None:
            raise NotAMember(space=state.catalogue.lab.title)
        if person.blocked_at is not None:
            raise PersonBlocked(contact=state.catalogue.lab.contact)
        return Viewer(
            person_id=person.id,
            hub_name=person.hub_name,
            display_name=person.display_name,
            operator=not owner.is_servers and await is_operator(database, person.id),
            by="session" if session else "token",
            form_key=session.form_key if session else "",
            server_name=owner.server_name,
        )


async def _check_form(request: Request, viewer: Viewer) -> None:
    """A form must come from a page of this origin and carry the session's key.

    The servers of people are on this host on a laptop and on sister hosts in a cluster: `same-site` is not enough.
    """
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise FormExpired()
    origin = request.headers.get("origin")
    ours = {urlsplit(state_of(request).settings.public_url).netloc, request.headers.get("host", "")}
    if origin is None or urlsplit(origin).netloc not in ours:
        raise FormExpired()
    # A form is read to its end, files on disk, before anybody can look at it. Without a length it has no body.
    told = request.headers.get("content-length", "0")
    counted = told.isascii() and told.isdigit() and "transfer-encoding" not in request.headers
    if not counted or int(told[:20]) > LARGEST_FORM:
        raise TooLarge(limit=f"{LARGEST_FORM // 2**20} MiB")
    sent = (await request.form()).get("form_key")
    if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), viewer.form_key.encode()):
        raise FormExpired()
