"""What the operators' pages show: persons, spaces and the audit, a page at a time.

Each function searches, filters and counts in the database and gives plain records. Searches ignore case and take
`%` and `_` for what they are.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.catalog.models import Kind, Role, Text
from kirzl_lab.store.audit import Action

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some of the items, and how many there are."""

    items: tuple[Item, ...]
    page: int
    """Counted from 1."""
    per_page: int
    total: int

    @property
    def pages(self) -> int:
        """How many pages there are; 1 when there is nothing."""
        return max(1, -(-self.total // self.per_page))


@dataclass(frozen=True, slots=True)
class IdentityLine:
    """One identity of a person."""

    institution: str
    issuer: str
    subject: str
    last_login_at: datetime


@dataclass(frozen=True, slots=True)
class MembershipLine:
    """One role of a person, by one roster row."""

    space: str
    role: Role
    section: str
    archived: bool


@dataclass(frozen=True, slots=True)
class PersonLine:
    """A person as the page People shows them."""

    hub_name: str
    display_name: str
    created_at: datetime
    blocked_at: datetime | None
    operator: bool
    identities: tuple[IdentityLine, ...]
    memberships: tuple[MembershipLine, ...]
    """By name of the space; the operator role is not among them."""

    @property
    def institutions(self) -> tuple[str, ...]:
        """The institutions of the person, by name."""
        return tuple(sorted({identity.institution for identity in self.identities}))

    @property
    def last_login_at(self) -> datetime | None:
        """When the person last logged in, through any institution."""
        return max((identity.last_login_at for identity in self.identities), default=None)


@dataclass(frozen=True, slots=True)
class SpaceLine:
    """A space as the page Spaces shows it."""

    name: str
    kind: Kind
    title: Text
    managed_by: str | None
    created_at: datetime
    archived_at: datetime | None
    members: dict[Role, int]
    """How many persons have each role; somebody with two roles counts for both. Roles nobody has are left out."""
    waiting: int
    """Roster rows whose person has not logged in yet."""


@dataclass(frozen=True, slots=True)
class AuditLine:
    """An entry of the audit, with names in place of keys."""

    id: int
    at: datetime
    actor: str
    action: str
    person: str | None
    """The hub name of the person it happened to."""
    space: str | None
    institution: str | None
    detail: dict[str, Any]
    note: str


async def persons_page(
    session: AsyncSession,
    *,
    search: str = "",
    institution: str | None = None,
    blocked: bool | None = None,
    page: int = 1,
    per_page: int = 50,
) -> Page[PersonLine]:
    """Persons by hub name. `search` looks at names, subjects and asserted values of unbound claims too."""
    raise NotImplementedError


async def spaces_page(
    session: AsyncSession,
    *,
    search: str = "",
    kind: Kind | None = None,
    archived: bool | None = None,
    page: int = 1,
    per_page: int = 50,
) -> Page[SpaceLine]:
    """Spaces by name. `search` looks at the name and both titles."""
    raise NotImplementedError


async def audit_page(
    session: AsyncSession,
    *,
    actor: str | None = None,
    action: Action | None = None,
    person: str | None = None,
    space: str | None = None,
    institution: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    page: int = 1,
    per_page: int = 50,
) -> Page[AuditLine]:
    """The audit, newest first; `since` is included, `until` is not. `actor` and `person` are hub names."""
    raise NotImplementedError
