"""People: who is known to the lab, and what operators do for or against them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from kirzl_lab.problems import HubAway, ServerNotRunning
from kirzl_lab.service import person as persons
from kirzl_lab.service.access import viewer_of
from kirzl_lab.service.hub import RunningServer
from kirzl_lab.service.models import (
    Lines,
    PeopleAsked,
    PersonAnswer,
    PersonWithServers,
    ServerAnswer,
    Word,
    lines,
)
from kirzl_lab.service.pages import language_of, page, with_query
from kirzl_lab.service.person import institution_titles, look_up
from kirzl_lab.service.routes import API
from kirzl_lab.service.state import state_of
from kirzl_lab.service.words import ROLES
from kirzl_lab.store.pages import Page, PersonLine, persons_page

router = APIRouter()

HubName = Annotated[Word, Path(description="The person's name at the hub.")]
ServerName = Annotated[Word, Path(description="The server's name at the hub.")]
Done = Literal["stopped", "blocked", "unblocked", "left"]


@router.get("/api/people", name="api_people", tags=["operators"], summary="Everybody the lab knows", **API)
async def api_people(request: Request, asked: Annotated[PeopleAsked, Query()]) -> Lines[PersonAnswer]:
    """Persons by hub name, a page at a time."""
    return lines(await _found(request, asked), PersonAnswer)


@router.get(
    "/api/people/{hub_name}", name="api_person", tags=["operators"], summary="A person and their servers", **API
)
async def api_person(request: Request, hub_name: HubName) -> PersonWithServers:
    """The person with that hub name, and what they have running; 404 when there is none, 503 when the hub is away."""
    state = state_of(request)
    async with state.reading() as session:
        seen = await look_up(session, hub_name)
    servers = [ServerAnswer.model_validate(server) for server in await state.hub.servers(hub_name)]
    return PersonWithServers(**PersonAnswer.model_validate(seen.line).model_dump(), servers=servers)


@router.get("/people", name="people", include_in_schema=False, summary="Everybody the lab knows, as a page")
async def people(request: Request, asked: Annotated[PeopleAsked, Query()]) -> HTMLResponse:
    """The operators' page People."""
    async with state_of(request).reading() as session:
        titles = await institution_titles(session, language_of(request))
    found = await _found(request, asked)
    return page(request, "people.html", nav="people", asked=asked, found=found, titles=titles, roles=ROLES)


@router.get("/people/{hub_name}", name="person", include_in_schema=False, summary="A person, as a page")
async def person(request: Request, hub_name: HubName, done: Done | None = None) -> HTMLResponse:
    """Identities, memberships and servers of a person; `done` is what an operator has just done."""
    state = state_of(request)
    async with state.reading() as session:
        seen = await look_up(session, hub_name)
        titles = await institution_titles(session, language_of(request))
    servers: list[RunningServer] | None
    try:
        servers = await state.hub.servers(hub_name)
    except HubAway:
        servers = None
    return page(
        request,
        "person.html",
        nav="people",
        person=seen.line,
        meanings=seen.meanings,
        servers=servers,
        titles=titles,
        roles=ROLES,
        done=done,
    )


@router.get("/people/{hub_name}/confirm", name="confirm", include_in_schema=False, summary="Asks before it is done")
async def confirm(
    request: Request,
    hub_name: HubName,
    do: Annotated[Literal["block", "stop"], Query()],
    server: Annotated[Word, Query()] = "",
) -> HTMLResponse:
    """The question before a person is blocked or a server is stopped."""
    state = state_of(request)
    async with state.reading() as session:
        seen = await look_up(session, hub_name)
    if do == "stop" and server not in {one.name for one in await state.hub.servers(hub_name)}:
        raise ServerNotRunning(server=server)
    return page(
        request,
        "confirm.html",
        nav="people",
        person=seen.line,
        do=do,
        server=server,
        meaning=seen.meanings.get(server),
    )


@router.post(
    "/people/{hub_name}/servers/{server_name}/stop",
    name="stop_server",
    include_in_schema=False,
    summary="Stops a server, with an entry in the audit",
)
async def stop_server(request: Request, hub_name: HubName, server_name: ServerName) -> RedirectResponse:
    """Stop a server and go back to the person's page."""
    await persons.stop_server(state_of(request), viewer_of(request).hub_name, hub_name, server_name)
    return _back(request, hub_name, "stopped")


@router.post(
    "/people/{hub_name}/block",
    name="block",
    include_in_schema=False,
    summary="Blocks a person and stops their servers, with an entry in the audit",
)
async def block(request: Request, hub_name: HubName) -> RedirectResponse:
    """Block a person and go back to their page."""
    stopped = await persons.block(state_of(request), viewer_of(request).hub_name, hub_name)
    return _back(request, hub_name, "blocked" if stopped else "left")


@router.post(
    "/people/{hub_name}/unblock",
    name="unblock",
    include_in_schema=False,
    summary="Lifts the block of a person, with an entry in the audit",
)
async def unblock(request: Request, hub_name: HubName) -> RedirectResponse:
    """Lift a block and go back to the person's page."""
    await persons.unblock(state_of(request), viewer_of(request).hub_name, hub_name)
    return _back(request, hub_name, "unblocked")


def _back(request: Request, hub_name: str, done: Done) -> RedirectResponse:
    address = request.url_for("person", hub_name=hub_name).path
    return RedirectResponse(with_query(address, done=done), status_code=303)


async def _found(request: Request, asked: PeopleAsked) -> Page[PersonLine]:
    async with state_of(request).reading() as session:
        return await persons_page(
            session,
            search=asked.search,
            institution=asked.institution,
            blocked=asked.blocked,
            page=asked.page,
            per_page=asked.per_page,
        )
