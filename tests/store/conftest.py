"""People, spaces and catalogues for the tests of the store."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from kirzl_lab.catalog.models import (
    Catalogue,
    Course,
    CourseFile,
    Institution,
    LabFile,
    Operator,
    RosterRow,
    Size,
    Text,
)
from kirzl_lab.store.database import Store
from kirzl_lab.store.tables import (
    Identity,
    InstitutionRow,
    Membership,
    Person,
    RosterEntry,
    Space,
)

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def text(words: str) -> Text:
    """The same words in both languages."""
    return Text(de=words, en=words)


def institution(name: str, *, demo: bool = False, title: str | None = None) -> Institution:
    """An institution; its issuer is what the test hands to `apply`."""
    issuer: dict[str, Any] = {} if demo else {"issuer": f"https://{name}.example/"}
    return Institution(
        title=text(title or name),
        client_id="lab",
        domains=(f"{name}.example",),
        claims=("email", "nr"),
        demo=demo,
        **issuer,
    )


def course(name: str, *rows: tuple[str, str, str, str] | tuple[str, str, str, str, str], **file: Any) -> Course:
    """A course; each row is institution, claim, value, role and, if any, section."""
    fields = {"title": text(name), "term": "2026/27 winter", "sizes": ("small",), "default_size": "small"} | file
    keys = ("institution", "claim", "value", "role", "section")
    roster = tuple(RosterRow.model_validate(dict(zip(keys, row, strict=False))) for row in rows)
    return Course(name=name, file=CourseFile.model_validate(fields), roster=roster)


def catalogue(
    *courses: Course,
    institutions: dict[str, Institution] | None = None,
    operators: tuple[tuple[str, str, str], ...] = (),
) -> Catalogue:
    """A catalogue of these courses; institutions `a` and `b` unless told otherwise."""
    return Catalogue(
        lab=LabFile(
            title=text("Lab"),
            contact="help@a.example",
            operators=tuple(Operator(institution=i, claim=c, value=v) for i, c, v in operators),
        ),
        sizes={"small": Size(title=text("small"), cpus=1, memory_gib=1)},
        flavours={},
        institutions=institutions or {"a": institution("a"), "b": institution("b")},
        courses={one.name: one for one in courses},
    )


ISSUERS = {"a": "https://a.example", "b": "https://b.example"}


async def log_in(
    store: Store, hub_name: str, institution: str, issuer: str, claims: dict[str, list[str]] | None = None
) -> int:
    """A person with one identity, whose subject is the hub name; returns the person's id."""
    async with store.writing() as session:
        person = Person(hub_name=hub_name, display_name=hub_name.title(), created_at=NOW)
        session.add(person)
        await session.flush()
        session.add(
            Identity(
                person_id=person.id,
                institution_name=institution,
                issuer=issuer,
                subject=hub_name,
                claims=claims or {},
                created_at=NOW,
                last_login_at=NOW,
            )
        )
        return person.id


async def bind(store: Store, person_id: int, value: str) -> None:
    """Bind every row that waits for `value` to the person, as a login would."""
    async with store.writing() as session:
        query = select(RosterEntry).where(
            RosterEntry.value == value, RosterEntry.bound_person_id.is_(None), RosterEntry.removed_at.is_(None)
        )
        for row in (await session.scalars(query)).all():
            row.bound_person_id, row.bound_at = person_id, NOW
            session.add(
                Membership(
                    person_id=person_id,
                    space_id=row.space_id,
                    roster_row_id=row.id,
                    role=row.role,
                    section=row.section,
                    created_at=NOW,
                )
            )


MEMORY = {
    "institutions": select(
        InstitutionRow.name, InstitutionRow.issuer, InstitutionRow.title_de, InstitutionRow.removed_at.is_not(None)
    ),
    "identities": select(Identity.institution_name, Identity.issuer, Identity.subject, Identity.person_id),
    "spaces": select(Space.name, Space.kind, Space.title_de, Space.spec, Space.archived_at.is_not(None)),
    "rows": select(
        Space.name,
        RosterEntry.institution_name,
        RosterEntry.claim,
        RosterEntry.value,
        RosterEntry.role,
        RosterEntry.section,
        RosterEntry.removed_at.is_not(None),
        RosterEntry.bound_person_id,
    ).outerjoin(Space, Space.id == RosterEntry.space_id),
    "memberships": select(Space.name, Membership.person_id, RosterEntry.value, Membership.role, Membership.section)
    .outerjoin(Space, Space.id == Membership.space_id)
    .join(RosterEntry, RosterEntry.id == Membership.roster_row_id),
}


async def memory(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that the lab remembers but the audit, without the keys and times that a run gives out."""
    async with store.reading() as session:
        return {
            name: sorted((tuple(row) for row in await session.execute(query)), key=repr)
            for name, query in MEMORY.items()
        }
