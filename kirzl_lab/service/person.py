"""One person: what the lab knows of them, and what operators do to them. Every change is in the audit before it happens."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.problems import OwnAccount, Problem, ServerNotRunning, UnknownPerson
from kirzl_lab.service.state import ServiceState
from kirzl_lab.store import audit, people
from kirzl_lab.store.members import Bound, bindings, person_called
from kirzl_lab.store.pages import PersonLine, person_line
from kirzl_lab.store.tables import InstitutionRow, Person, ServerBinding


@dataclass(frozen=True, slots=True)
class Seen:
    """A person, and what their servers' names mean."""

    line: PersonLine
    meanings: dict[str, Bound]
    """By name of the server."""


async def look_up(session: AsyncSession, hub_name: str) -> Seen:
    """The person with that hub name. Raises `UnknownPerson`."""
    person = await _person(session, hub_name)
    line = await person_line(session, hub_name)
    if line is None:
        raise UnknownPerson(person=hub_name)
    return Seen(line=line, meanings={bound.server_name: bound for bound in await bindings(session, person.id)})


async def institution_titles(session: AsyncSession, language: str) -> dict[str, str]:
    """Titles of all institutions by name, those that are gone included, sorted by title."""
    title = InstitutionRow.title_de if language == "de" else InstitutionRow.title_en
    query = select(InstitutionRow.name, title).order_by(title, InstitutionRow.name)
    return {name: title for name, title in await session.execute(query)}


async def stop_server(state: ServiceState, operator: str, hub_name: str, server_name: str) -> None:
    """Stop a server for an operator. Raises `UnknownPerson`, `ServerNotRunning` and `HubAway`."""
    async with state.reading() as session:
        await _person(session, hub_name)
    if server_name not in {server.name for server in await state.hub.servers(hub_name)}:
        raise ServerNotRunning(server=server_name)
    await _stop(state, operator, hub_name, [server_name], "operator")


async def block(state: ServiceState, operator: str, hub_name: str) -> bool:
    """Block a person and stop what they have running. Returns whether nothing of theirs runs any more.

    Nothing of theirs starts and no page opens from the moment that the row is written. Raises `UnknownPerson` and
    `OwnAccount`.
    """
    if operator == hub_name:
        raise OwnAccount()
    async with state.writing() as session:
        await people.block(session, hub_name, operator, state.clock())
    try:
        running = await state.hub.servers(hub_name)
        await _stop(state, operator, hub_name, [server.name for server in running], "blocked")
    except Problem:
        return False
    return True


async def unblock(state: ServiceState, operator: str, hub_name: str) -> None:
    """Lift the block of a person. Raises `UnknownPerson`."""
    async with state.writing() as session:
        await people.unblock(session, hub_name, operator, state.clock())


async def _person(session: AsyncSession, hub_name: str) -> Person:
    person = await person_called(session, hub_name)
    if person is None:
        raise UnknownPerson(person=hub_name)
    return person


async def _stop(
    state: ServiceState,
    operator: str,
    hub_name: str,
    servers: Sequence[str],
    reason: Literal["operator", "blocked"],
) -> None:
    """Write down and stop. Raises `HubAway` when one could not be stopped, after all have been tried."""
    async with state.writing() as session:
        person = await _person(session, hub_name)
        for server in servers:
            audit.record(
                session,
                at=state.clock(),
                actor=operator,
                action=audit.Action.SERVER_STOPPED,
                person_id=person.id,
                space_id=await _space_of(session, person.id, server),
                detail={"server": server, "reason": reason},
            )
    told = await asyncio.gather(*(state.hub.stop(hub_name, server) for server in servers), return_exceptions=True)
    for error in told:
        # One that ended by itself in between is stopped as well.
        if isinstance(error, BaseException) and not isinstance(error, ServerNotRunning):
            raise error


async def _space_of(session: AsyncSession, person_id: int, server_name: str) -> int | None:
    query = select(ServerBinding.space_id).where(
        ServerBinding.person_id == person_id, ServerBinding.server_name == server_name
    )
    return (await session.execute(query)).scalar_one_or_none()
