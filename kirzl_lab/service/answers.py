"""How a refusal is told: RFC 9457 problem details, a page for browsers, or the way to the login."""

import logging
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import httpx
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.exceptions import HTTPException

from kirzl_lab import logs, metrics
from kirzl_lab.problems import (
    BadInput,
    LabDatabaseAway,
    MethodRefused,
    NotFound,
    NotLoggedIn,
    Problem,
    RequestRefused,
    TooLarge,
)
from kirzl_lab.service.access import find_viewer
from kirzl_lab.service.pages import language_of, page, words_of
from kirzl_lab.service.sessions import local_path
from kirzl_lab.service.state import state_of

PROBLEM_JSON = "application/problem+json"
LARGEST_JSON = 256 * 1024
"""Bytes of a body: JSON is read and understood before anybody has asked who sends it."""
LOG = logging.getLogger("kirzl_lab.service")


class ProblemDetails(BaseModel):
    """Why something was refused (RFC 9457)."""

    type: str = Field(description="Address of the description of this kind of problem.")
    title: str = Field(description="The kind of problem, in English.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What to do next, in the language of the request.")
    slug: str = Field(description="The kind of problem, for programs.")


def install(app: FastAPI) -> None:
    """Tell every error of the application in these ways, unknown addresses and mistakes of ours included."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _bad_input)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(SQLAlchemyError, _database)
    app.add_exception_handler(Exception, _mistake)


def wants_page(request: Request) -> bool:
    """Whether the client is a browser that shows pages."""
    return "text/html" in request.headers.get("accept", "")


async def tell(request: Request, problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """The answer for a problem."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept, Accept-Language, Cookie"} | (headers or {})
    if isinstance(problem, NotLoggedIn):
        if wants_page(request) and request.method == "GET" and "authorization" not in request.headers:
            return login(request)
        headers["WWW-Authenticate"] = 'Bearer realm="KIRZL Lab"'
    metrics.refused(problem)
    if problem.status in (
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INSUFFICIENT_STORAGE,
    ):
        headers["Retry-After"] = "30"
    if wants_page(request):
        await _look_for_viewer(request, problem)
        return page(request, "problem.html", status=problem.status, headers=headers, problem=problem)
    details = ProblemDetails(
        type=f"{state_of(request).place.prefix}reference#problem-{problem.slug}",
        title=problem.slug.replace("-", " ").capitalize(),
        status=problem.status,
        detail=problem.text(words_of(request).gettext, language_of(request)),
        slug=problem.slug,
    )
    headers["Content-Language"] = language_of(request)
    return JSONResponse(details.model_dump(), problem.status, headers=headers, media_type=PROBLEM_JSON)


def login(request: Request) -> Response:
    """Send the browser to the hub to say who it is, and remember what it wanted (RFC 6749, 4.1.1; RFC 7636)."""
    state = state_of(request)
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    response = RedirectResponse("", status_code=302, headers={"Cache-Control": "no-store"})
    begun = state.cookies.begin_login(response, request.cookies, local_path(wanted, state.place.prefix), state.clock())
    question = {
        "client_id": state.place.client_id,
        "redirect_uri": state.place.callback,
        "response_type": "code",
        "state": begun.state,
        "code_challenge": begun.challenge,
        "code_challenge_method": "S256",
    }
    response.headers["Location"] = f"{state.place.hub_prefix}api/oauth2/authorize?{urlencode(question)}"
    return response


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - what the handler is installed for
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        LOG.warning("%s %r: %s: %s", request.method, request.url.path, error.slug, _cause(error))
    return await tell(request, error)


async def _bad_input(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what the handler is installed for
    found = "; ".join(_found(one) for one in error.errors()[:5])
    return await tell(request, BadInput(found=found))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what the handler is installed for
    problem: Problem = RequestRefused()
    if error.status_code == HTTPStatus.NOT_FOUND:
        problem = NotFound()
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        problem = MethodRefused()
    elif error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        problem = TooLarge(limit=f"{LARGEST_JSON // 1024} KiB")
    return await tell(request, problem, dict(error.headers or {}))


async def _database(request: Request, error: Exception) -> Response:
    LOG.error("The lab database refused %s %s", request.method, request.url.path, exc_info=error)
    return await tell(request, LabDatabaseAway())


async def _mistake(request: Request, error: Exception) -> Response:
    # Starlette raises the error again after this answer, so that the server logs it with its trace. The answer passes
    # outside of `Watching`: its id, by which that trace can be found, is added here.
    return await tell(request, Problem(), {logs.HEADER: logs.request_id()})


async def _look_for_viewer(request: Request, problem: Problem) -> None:
    """Unknown addresses are told with the navigation bar of whoever asks, when that costs no second problem."""
    if isinstance(problem, NotFound) and not hasattr(request.state, "viewer"):
        with suppress(Problem):
            await find_viewer(request)


def _cause(problem: Problem) -> str:
    """What a problem came from, in one line for the log and without secrets."""
    cause = problem.__cause__
    if isinstance(cause, httpx.LocalProtocolError):  # quotes the header that it refuses, and so a token
        return type(cause).__name__
    if isinstance(cause, DBAPIError):  # quotes the values that were asked for
        cause = cause.orig
    return " ".join(repr(cause).split())


def _found(error: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"][1:]) or str(error["loc"][0])
    return f"{where}: {error['msg']}"
