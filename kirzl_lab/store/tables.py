"""The tables of the lab database. Times are UTC and carry their zone; names of rooms and words are the design's."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, stored in UTC. SQLite has no zones: what comes back is given UTC. Naive values are refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment in UTC; ValueError when it has no zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment in UTC, with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def storable(text: str) -> bool:
    """Whether both databases can keep `text`: no NUL (PostgreSQL has none) and no half of a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


class Line(TypeDecorator[str]):
    """A text of limited length. What only one of the databases would take is refused on both, with a ValueError."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text as it is; ValueError when PostgreSQL could not keep it."""
        if value is not None and not storable(value):
            raise ValueError("a text with NUL or half a surrogate pair cannot be stored")
        return value


class Base(DeclarativeBase):
    """Names constraints, so that migrations can speak of them on both databases."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime(), dict[str, Any]: JSON()}


class InstitutionRow(Base):
    """A partner organisation, as the catalogue last described it. Never deleted: identities point to it."""

    __tablename__ = "institutions"

    name: Mapped[str] = mapped_column(Line(24), primary_key=True)
    issuer: Mapped[str | None] = mapped_column(Line(500), unique=True)
    """Empty for a demo institution that never ran here, and for one whose issuer another has taken over."""
    demo: Mapped[bool] = mapped_column(default=False)
    """Served by this machine: its issuer moves with a port, and its people move along."""
    title_de: Mapped[str] = mapped_column(Line(500))
    title_en: Mapped[str] = mapped_column(Line(500))
    removed_at: Mapped[datetime | None]
    """Since when the catalogue no longer has it; its people cannot log in."""


class Person(Base):
    """A human. Never deleted, so that a hub name is never handed out twice."""

    __tablename__ = "persons"

    id: Mapped[int] = mapped_column(primary_key=True)
    hub_name: Mapped[str] = mapped_column(Line(30), unique=True)
    display_name: Mapped[str] = mapped_column(Line(200))
    created_at: Mapped[datetime]
    blocked_at: Mapped[datetime | None]

    identities: Mapped[list["Identity"]] = relationship(back_populates="person")


class Identity(Base):
    """One (issuer, subject) pair of a person, with what its institution asserted at the last login."""

    __tablename__ = "identities"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("persons.id"), index=True)
    institution_name: Mapped[str] = mapped_column(ForeignKey("institutions.name"), index=True)
    issuer: Mapped[str] = mapped_column(Line(500))
    subject: Mapped[str] = mapped_column(Line(255))
    """Compared byte for byte: OpenID Connect subjects are case-sensitive (Core 1.0, section 2)."""
    claims: Mapped[dict[str, Any]]
    """Claim -> list of values that passed the institution's scopes; what roster rows are compared with."""
    dropped: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Claim -> why what was sent did not count (`federation.claims.Why`); never the values. None until the next login, for those from before."""
    created_at: Mapped[datetime]
    last_login_at: Mapped[datetime]

    person: Mapped[Person] = relationship(back_populates="identities")


class Space(Base):
    """What a server is started in."""

    __tablename__ = "spaces"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Line(24), unique=True)
    kind: Mapped[str] = mapped_column(Line(20))
    title_de: Mapped[str] = mapped_column(Line(500))
    title_en: Mapped[str] = mapped_column(Line(500))
    spec: Mapped[dict[str, Any]]
    """What the catalogue says of it: `CourseFile` in JSON for a course."""
    managed_by: Mapped[str | None] = mapped_column(Line(500))
    """The file that describes it, relative to the courses folder; pages show such a space read-only."""
    created_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]
    delete_after: Mapped[datetime | None]
    """Set when somebody deletes an archived space: until then it can be restored, afterwards its work goes."""


class RosterEntry(Base):
    """A roster row: a promise of membership, bound once. `space_id` is empty for the site's operators."""

    __tablename__ = "roster_rows"
    __table_args__ = (
        Index(
            "uq_roster_rows_space",
            "space_id",
            "institution_name",
            "claim",
            "value",
            unique=True,
            sqlite_where=text("space_id IS NOT NULL"),
            postgresql_where=text("space_id IS NOT NULL"),
        ),
        Index(
            "uq_roster_rows_site",
            "institution_name",
            "claim",
            "value",
            unique=True,
            sqlite_where=text("space_id IS NULL"),
            postgresql_where=text("space_id IS NULL"),
        ),
        Index("ix_roster_rows_lookup", "institution_name", "claim", "value"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    space_id: Mapped[int | None] = mapped_column(ForeignKey("spaces.id"), index=True)
    institution_name: Mapped[str] = mapped_column(ForeignKey("institutions.name"))
    claim: Mapped[str] = mapped_column(Line(100))
    value: Mapped[str] = mapped_column(Line(500))
    """E-mail addresses in lower case, everything else as it is."""
    role: Mapped[str] = mapped_column(Line(20))
    section: Mapped[str] = mapped_column(Line(60), default="")
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]
    """Since when the roster no longer has it. The row and its binding stay: a row that comes back is the same promise."""
    bound_person_id: Mapped[int | None] = mapped_column(ForeignKey("persons.id"), index=True)
    bound_at: Mapped[datetime | None]
    role_changed_at: Mapped[datetime | None]
    """Since when the person it is bound to has this role in place of another."""


class Membership(Base):
    """A person's role in a space (or the site, when `space_id` is empty), by one roster row. The strongest role counts."""

    __tablename__ = "memberships"

    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("persons.id"), index=True)
    space_id: Mapped[int | None] = mapped_column(ForeignKey("spaces.id"), index=True)
    roster_row_id: Mapped[int] = mapped_column(ForeignKey("roster_rows.id"), unique=True)
    role: Mapped[str] = mapped_column(Line(20))
    section: Mapped[str] = mapped_column(Line(60), default="")
    created_at: Mapped[datetime]


class ServerBinding(Base):
    """What a server's name means: (person, server name) is (space, purpose), for good."""

    __tablename__ = "servers"
    __table_args__ = (
        UniqueConstraint("person_id", "server_name"),
        UniqueConstraint("person_id", "space_id", "purpose", name="uq_servers_meaning"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("persons.id"))
    server_name: Mapped[str] = mapped_column(Line(30))
    space_id: Mapped[int] = mapped_column(ForeignKey("spaces.id"), index=True)
    purpose: Mapped[str] = mapped_column(Line(20))
    created_at: Mapped[datetime]
    last_start_at: Mapped[datetime | None]
    """Of the last start that worked."""
    staff: Mapped[bool | None]
    """Whether the last start was for somebody who runs the space, with its files to write. None: before the lab asked."""


class AuditEntry(Base):
    """Who did what to whom, and when. Only ever added to."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(Line(60), index=True)
    """A hub name, or `catalogue` when `apply` did it, `hub` or `lab` when nobody asked for it, or `login` when somebody
    not yet known tried to log in."""
    action: Mapped[str] = mapped_column(Line(60), index=True)
    """A verb of the lab: see `kirzl_lab.store.audit.Action`."""
    person_id: Mapped[int | None] = mapped_column(ForeignKey("persons.id"), index=True)
    space_id: Mapped[int | None] = mapped_column(ForeignKey("spaces.id"), index=True)
    institution_name: Mapped[str | None] = mapped_column(Line(24), index=True)
    detail: Mapped[dict[str, Any]]
    note: Mapped[str] = mapped_column(Line(), default="")
    """One English sentence for the log; pages say it from `action` and `detail`."""
