"""Writes what `difference` found, in the caller's transaction and in bulk."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Executable, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.store.difference import Change, InstitutionFacts, InstitutionSteps, RosterSteps, SpaceFacts
from kirzl_lab.store.tables import AuditEntry, Identity, InstitutionRow, Membership, RosterEntry, Space

ACTOR = "catalogue"
"""Who did it, in the audit."""

INSTITUTIONS, ROSTER, MEMBERSHIPS, AUDIT = (
    model.metadata.tables[model.__tablename__] for model in (InstitutionRow, RosterEntry, Membership, AuditEntry)
)


async def write_institutions(session: AsyncSession, steps: InstitutionSteps, now: datetime) -> None:
    """Write institutions, and take identities along."""
    this = INSTITUTIONS.c.name == bindparam("this")
    # Issuers are unique: whoever changes lets go of the old one first, so that two can swap.
    await _each(
        session, update(INSTITUTIONS).where(this).values(issuer=None), [{"this": f.name} for f in steps.changed]
    )
    await _each(session, update(INSTITUTIONS).where(this), [{"this": f.name} | _columns(f) for f in steps.changed])
    await _each(session, insert(INSTITUTIONS), [{"name": f.name} | _columns(f) for f in steps.new])
    for removed, at in ((True, now), (False, None)):
        names = [facts.name for facts in steps.changed if facts.removed == removed]
        differs = InstitutionRow.removed_at.is_(None) if removed else InstitutionRow.removed_at.is_not(None)
        change = update(InstitutionRow).where(InstitutionRow.name.in_(names), differs).values(removed_at=at)
        await session.execute(change)
    for issuer, institution in steps.takeovers:
        # What the other institution asserted is not what this one would: nothing binds before the next login.
        others = update(Identity).where(Identity.issuer == issuer, Identity.institution_name != institution)
        await session.execute(others.values(institution_name=institution, claims={}))
    for institution, before, _ in steps.moves:
        own = update(Identity).where(Identity.issuer == before, Identity.institution_name == institution)
        await session.execute(own.values(issuer=f"moving:{institution}"))
    for institution, _, after in steps.moves:
        moving = update(Identity).where(Identity.issuer == f"moving:{institution}")
        await session.execute(moving.values(issuer=after))


def _columns(facts: InstitutionFacts) -> dict[str, Any]:
    return {
        "issuer": facts.issuer,
        "demo": facts.demo,
        "title_de": facts.title_de,
        "title_en": facts.title_en,
    }


async def write_spaces(
    session: AsyncSession, changes: Iterable[Change], wanted: Mapping[str, SpaceFacts], now: datetime
) -> dict[str, int]:
    """Write spaces, and return the ids of all by name."""
    for change in changes:
        facts = wanted.get(change.space or "")
        this = update(Space).where(Space.name == change.space)
        if facts is None:
            await session.execute(this.values(archived_at=now))
            continue
        values = {
            "kind": facts.kind,
            "title_de": facts.title_de,
            "title_en": facts.title_en,
            "spec": facts.spec,
            "managed_by": facts.managed_by,
            "archived_at": None,
        }
        if (await session.execute(this.values(values).returning(Space.id))).first() is None:
            await session.execute(insert(Space).values(name=facts.name, created_at=now, **values))
    return {name: id_ for name, id_ in await session.execute(select(Space.name, Space.id))}


async def write_roster(session: AsyncSession, steps: RosterSteps, spaces: Mapping[str, int], now: datetime) -> None:
    """Write one roster and the memberships that its bound rows give."""
    space_id = None if steps.space is None else spaces[steps.space]
    new = [
        {
            "space_id": space_id,
            "institution_name": institution,
            "claim": claim,
            "value": value,
            "role": role,
            "section": section,
            "created_at": now,
        }
        for (institution, claim, value), (role, section) in steps.new
    ]
    await _each(session, insert(ROSTER), new)
    this = ROSTER.c.id == bindparam("this")
    kept = [(row, place) for row, place in steps.changed if place is not None]
    await _each(
        session,
        update(ROSTER).where(this).values(removed_at=None),
        [{"this": row.id, "role": role, "section": section} for row, (role, section) in kept],
    )
    changed = [{"this": row.id} for row, (role, _) in kept if row.person_id is not None and row.place[0] != role]
    await _each(session, update(ROSTER).where(this).values(role_changed_at=now), changed)
    gone = [{"this": row.id} for row, place in steps.changed if place is None and not row.removed]
    await _each(session, update(ROSTER).where(this).values(removed_at=now), gone)
    # A membership that changes is written anew: it has no history of its own, the audit has.
    await _each(
        session,
        delete(MEMBERSHIPS).where(MEMBERSHIPS.c.roster_row_id == bindparam("this")),
        [{"this": row.id} for row, _ in steps.changed if row.membership is not None],
    )
    await _each(
        session,
        insert(MEMBERSHIPS),
        [
            {
                "person_id": row.person_id,
                "space_id": space_id,
                "roster_row_id": row.id,
                "role": role,
                "section": section,
                "created_at": now,
            }
            for row, (role, section) in kept
            if row.person_id is not None
        ],
    )


async def write_audit(
    session: AsyncSession, changes: Iterable[Change], spaces: Mapping[str, int], now: datetime, actor: str = ACTOR
) -> None:
    """Remember in the audit every change that `actor` made."""
    entries = [
        {
            "at": now,
            "actor": actor,
            "action": change.action.value,
            "person_id": change.person_id,
            "space_id": spaces[change.space] if change.space else None,
            "institution_name": change.institution,
            "detail": change.detail,
        }
        for change in changes
    ]
    await _each(session, insert(AUDIT), entries)


async def _each(session: AsyncSession, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
    """Run `statement` once for each of `rows`, in one go; with no rows it does not run at all."""
    if rows:
        await (await session.connection()).execute(statement, rows)
