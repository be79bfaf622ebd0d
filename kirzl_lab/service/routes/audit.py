"""The audit: who did what to whom, and when. Read only."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.service.models import AuditAnswer, AuditAsked, Lines, lines
from kirzl_lab.service.pages import language_of, page, words_of
from kirzl_lab.service.person import institution_titles
from kirzl_lab.service.routes import API
from kirzl_lab.service.state import state_of
from kirzl_lab.service.words import VERBS, Teller
from kirzl_lab.store.pages import AuditLine, Page, audit_page
from kirzl_lab.store.tables import Person

router = APIRouter()


@router.get("/api/audit", name="api_audit", tags=["operators"], summary="Who did what to whom, and when", **API)
async def api_audit(request: Request, asked: Annotated[AuditAsked, Query()]) -> Lines[AuditAnswer]:
    """Entries, newest first, a page at a time."""
    async with state_of(request).reading() as session:
        return lines(await _found(session, asked), AuditAnswer)


@router.get("/audit", name="audit", include_in_schema=False, summary="The audit, as a page")
async def audit(request: Request, asked: Annotated[AuditAsked, Query()]) -> HTMLResponse:
    """The operators' page Audit: entries in words."""
    state = state_of(request)
    async with state.reading() as session:
        found = await _found(session, asked)
        names = await _display_names(session, found, asked)
        titles = await institution_titles(session, language_of(request))
    teller = Teller(words=words_of(request), prefix=state.place.prefix, names=names, titles=titles)
    return page(
        request,
        "audit.html",
        nav="audit",
        asked=asked,
        found=found,
        said={line.id: teller.say(line) for line in found.items},
        names=names,
        titles=titles,
        verb_options=[(verb, words_of(request).gettext(title)) for verb, title in VERBS.items()],
    )


async def _found(session: AsyncSession, asked: AuditAsked) -> Page[AuditLine]:
    return await audit_page(
        session,
        actor=asked.actor,
        action=asked.action,
        person=asked.person,
        space=asked.space,
        institution=asked.institution,
        since=asked.begins,
        until=asked.ends,
        page=asked.page,
        per_page=asked.per_page,
    )


async def _display_names(session: AsyncSession, found: Page[AuditLine], asked: AuditAsked) -> Mapping[str, str]:
    wanted = {line.actor for line in found.items} | {line.person for line in found.items if line.person}
    wanted |= {name for name in (asked.person, asked.actor) if name}
    query = select(Person.hub_name, Person.display_name).where(Person.hub_name.in_(wanted))
    return {hub_name: display_name for hub_name, display_name in await session.execute(query)}
