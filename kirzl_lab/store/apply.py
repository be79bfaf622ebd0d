"""Brings the catalogue into the lab database: compare, then write everything in one transaction, or nothing.

Guarantees: applying twice changes nothing the second time; a dry run tells exactly what would be done; no work is
deleted. What is wanted, how it differs and how that is written are `wanted`, `difference` and `steps`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.catalog.models import Catalogue
from kirzl_lab.problems import CatalogueRefused
from kirzl_lab.store.database import Store
from kirzl_lab.store.difference import (
    Change,
    InstitutionFacts,
    InstitutionSteps,
    RosterSteps,
    SpaceFacts,
    institution_steps,
    roster_steps,
    space_changes,
)
from kirzl_lab.store.known_rosters import known_rosters, lock_rosters
from kirzl_lab.store.steps import write_audit, write_institutions, write_roster, write_spaces
from kirzl_lab.store.tables import Identity, InstitutionRow, Space
from kirzl_lab.store.wanted import Wanted, wanted_by

__all__ = ["Change", "apply"]


async def apply(
    store: Store, catalogue: Catalogue, issuers: Mapping[str, str], *, now: datetime, dry_run: bool = False
) -> list[Change]:
    """Make the lab remember what the catalogue says, and return what changed; with `dry_run` only return it.

    `issuers` has the issuer of every institution that people can log in with; a demo institution that does not run
    may be missing and keeps the issuer it had. The identities of a demo institution follow its issuer, because only
    the port of the same machine changed. Those of a real one never do: another issuer is another set of people.

    Raises `CatalogueRefused` when the catalogue contradicts itself or the lab in a way that no single file shows.
    """
    wanted = wanted_by(catalogue, issuers)
    if dry_run:
        async with store.reading() as session:
            return (await _plan(session, wanted)).changes
    async with store.writing() as session:
        await lock_rosters(session)
        plan = await _plan(session, wanted)
        await write_institutions(session, plan.institutions, now)
        spaces = await write_spaces(session, plan.spaces, wanted.spaces, now)
        for steps in plan.rosters:
            await write_roster(session, steps, spaces, now)
        await write_audit(session, plan.changes, spaces, now)
    return plan.changes


@dataclass(frozen=True, slots=True)
class _Plan:
    institutions: InstitutionSteps
    spaces: list[Change]
    rosters: list[RosterSteps]

    @property
    def changes(self) -> list[Change]:
        rosters = (change for steps in self.rosters for change in steps.changes)
        return [*self.institutions.changes, *self.spaces, *rosters]


async def _plan(session: AsyncSession, wanted: Wanted) -> _Plan:
    spaces = await _known_spaces(session, wanted)
    rosters = await known_rosters(session)
    return _Plan(
        institutions=institution_steps(
            await _known_institutions(session), wanted.institutions, await _identity_groups(session)
        ),
        spaces=space_changes(spaces, wanted.spaces),
        rosters=[roster_steps(space, rosters.get(space, []), rows) for space, rows in wanted.rosters.items()],
    )


async def _known_institutions(session: AsyncSession) -> dict[str, InstitutionFacts]:
    rows = await session.scalars(select(InstitutionRow).order_by(InstitutionRow.name))
    return {
        row.name: InstitutionFacts(
            row.name, row.issuer, row.demo, row.title_de, row.title_en, removed=row.removed_at is not None
        )
        for row in rows
    }


async def _identity_groups(session: AsyncSession) -> dict[tuple[str, str], int]:
    pair = (Identity.institution_name, Identity.issuer)
    rows = await session.execute(select(*pair, func.count()).group_by(*pair).order_by(*pair))
    return {(institution, issuer): count for institution, issuer, count in rows}


async def _known_spaces(session: AsyncSession, wanted: Wanted) -> dict[str, SpaceFacts]:
    known = {}
    for row in await session.scalars(select(Space).order_by(Space.name)):
        if row.managed_by is not None:
            known[row.name] = SpaceFacts(
                row.name, row.kind, row.title_de, row.title_en, row.spec, row.managed_by, row.archived_at is not None
            )
        elif row.name in wanted.spaces:
            raise CatalogueRefused(
                reason=f"there is a {row.kind} called {row.name} already that no file describes: rename the course"
            )
    return known
