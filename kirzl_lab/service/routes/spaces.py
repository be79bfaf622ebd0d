"""What a person may open, and for operators every space there is."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from kirzl_lab.catalog.models import STAFF, CourseFile, Kind, Text
from kirzl_lab.service.access import viewer_of
from kirzl_lab.service.models import Lines, OwnSpace, OwnSpaces, SpaceAnswer, SpacesAsked, lines
from kirzl_lab.service.pages import page, words_of
from kirzl_lab.service.routes import API
from kirzl_lab.service.state import state_of
from kirzl_lab.service.words import KINDS, ROLES
from kirzl_lab.spawning.choice import SpaceFacts, is_open
from kirzl_lab.store.members import Member, memberships
from kirzl_lab.store.pages import Page, SpaceLine, spaces_page

router = APIRouter()


@router.get("/", name="front", include_in_schema=False, summary="The way in")
async def front(request: Request) -> RedirectResponse:
    """Operators go to People, everybody else to My spaces."""
    place = state_of(request).place
    wanted = f"{place.prefix}people" if viewer_of(request).operator else f"{place.hub_prefix}home"
    return RedirectResponse(wanted, status_code=303, headers={"Cache-Control": "no-store"})


@router.get("/api/spaces", name="api_spaces", tags=["spaces"], summary="What you may open", **API)
async def api_spaces(request: Request) -> OwnSpaces:
    """The spaces of the person whose token it is, by name. Archived ones are left out.

    What a roster has gained since is there as soon as the person opens My spaces or starts something: only the hub
    binds roster rows.
    """
    state = state_of(request)
    async with state.reading() as session:
        members = await memberships(session, viewer_of(request).person_id)
    offered = set(state.catalogue.sizes)
    return OwnSpaces(spaces=[_own(member, offered, request) for member in members])


@router.get("/api/spaces/all", name="api_all_spaces", tags=["operators"], summary="Every space there is", **API)
async def api_all_spaces(request: Request, asked: Annotated[SpacesAsked, Query()]) -> Lines[SpaceAnswer]:
    """Spaces by name, a page at a time."""
    return lines(await _found(request, asked), SpaceAnswer)


@router.get("/spaces", name="spaces", include_in_schema=False, summary="Every space there is, as a page")
async def spaces(request: Request, asked: Annotated[SpacesAsked, Query()]) -> HTMLResponse:
    """The operators' page Spaces."""
    return page(
        request,
        "spaces.html",
        nav="spaces",
        asked=asked,
        found=await _found(request, asked),
        kinds=KINDS,
        kind_options=[(kind, words_of(request).gettext(KINDS[kind])) for kind in Kind],
        roles=ROLES,
    )


async def _found(request: Request, asked: SpacesAsked) -> Page[SpaceLine]:
    async with state_of(request).reading() as session:
        return await spaces_page(
            session,
            search=asked.search,
            kind=asked.kind,
            archived=asked.archived,
            page=asked.page,
            per_page=asked.per_page,
        )


def _own(member: Member, offered: set[str], request: Request) -> OwnSpace:
    space, file = member.space, CourseFile.model_validate(member.space.spec)
    title = Text(de=space.title_de, en=space.title_en)
    today: date = state_of(request).clock().astimezone(file.zone).date()
    facts = SpaceFacts.of(space.name, space.kind, title, file)
    return OwnSpace(
        name=space.name,
        kind=Kind(space.kind),
        title=title,
        description=file.description,
        term=file.term,
        role=member.role,
        section=member.section,
        sizes=[size for size in file.sizes if size in offered],
        default_size=file.default_size,
        open=member.role in STAFF or is_open(facts, today),
        starts=file.starts,
        ends=file.ends,
        timezone=file.timezone,
    )
