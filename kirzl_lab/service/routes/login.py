"""The end of a login: the hub sends the browser back here with a code (OAuth 2.0, RFC 6749, 4.1)."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse

from kirzl_lab.problems import HubAway, LoginNotAccepted, Problem, ScopeMissing
from kirzl_lab.service import metrics
from kirzl_lab.service.sessions import local_path
from kirzl_lab.service.state import state_of

router = APIRouter()

Short = Annotated[str, Query(max_length=500)]


@router.get("/oauth_callback", name="oauth_callback", include_in_schema=False, summary="The end of a login at the hub")
async def oauth_callback(request: Request, state: Short = "", code: Short = "") -> RedirectResponse:
    """Exchange the code for a token, check it, and go on to the page that was asked for.

    Raises `LoginNotAccepted` for a login that this browser did not begin, that came back before, or that the hub
    refuses.
    """
    try:
        response = await _finish(request, state, code)
    except Problem as problem:
        away = isinstance(problem, HubAway)
        metrics.LOGINS.labels(metrics.Login.HUB_AWAY if away else metrics.Login.REFUSED).inc()
        raise
    metrics.LOGINS.labels(metrics.Login.OK).inc()
    return response


async def _finish(request: Request, state: str, code: str) -> RedirectResponse:
    service = state_of(request)
    now = service.clock()
    login = service.cookies.finish_login(request.cookies, state, now)
    if login is None or not code:
        raise LoginNotAccepted()
    token = await service.hub.token_for_code(
        {
            "client_id": service.place.client_id,
            "client_secret": service.place.api_token,
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": service.place.callback,
            "code_verifier": login.verifier,
        }
    )
    owner = await service.tokens.owner(token) if token else None
    if token is None or owner is None:
        raise LoginNotAccepted()
    if not owner.may_use_service(service.place.service_name):
        raise ScopeMissing(scope=service.place.scope)
    wanted = local_path(login.next, service.place.prefix)
    response = RedirectResponse(wanted, status_code=303, headers={"Cache-Control": "no-store"})
    service.cookies.forget_login(response, state)
    lasts = timedelta(hours=service.catalogue.lab.session_hours)
    service.cookies.keep_session(response, request.cookies, token, now, lasts)
    return response
