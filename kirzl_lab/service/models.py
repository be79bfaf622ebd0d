"""What the REST API answers, and what lists can be asked for. The OpenAPI description is made from these."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from kirzl_lab.catalog.models import Kind, Role, Text
from kirzl_lab.store.audit import Action
from kirzl_lab.store.pages import Page

Line = TypeVar("Line", bound=BaseModel)


def _sayable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected text without control characters")
    return text


def blank(value: object) -> object:
    """Forms send empty fields as empty strings."""
    return None if value == "" else value


Search = Annotated[str, Field(max_length=200), AfterValidator(_sayable)]
Word = Annotated[str, Field(max_length=100), AfterValidator(_sayable), BeforeValidator(blank)]
Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2199, 12, 31))]


class Asked(BaseModel):
    """What every list can be asked for."""

    page: int = Field(default=1, ge=1, le=100_000, description="Which page, counted from 1.")
    per_page: int = Field(default=50, ge=1, le=200, description="How many items a page has.")

    @property
    def filtered(self) -> bool:
        """Whether less than everything is asked for."""
        return bool(self.model_dump(exclude_defaults=True, exclude={"page", "per_page"}))

    def query(self, page: int) -> dict[str, Any]:
        """The parameters of another page of the same list."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"page"}) | {"page": page}


class PeopleAsked(Asked):
    """Which persons."""

    search: Search = Field(default="", description="A part of a name, a subject or what an institution asserted.")
    institution: Annotated[Word | None, BeforeValidator(blank)] = Field(
        default=None, description="Only people of the institution with this name."
    )
    blocked: Annotated[bool | None, BeforeValidator(blank)] = Field(
        default=None, description="Only those who are blocked, or who are not."
    )


class SpacesAsked(Asked):
    """Which spaces."""

    search: Search = Field(default="", description="A part of the name or of a title.")
    kind: Annotated[Kind | None, BeforeValidator(blank)] = Field(default=None, description="Only spaces of this kind.")
    archived: Annotated[bool | None, BeforeValidator(blank)] = Field(
        default=None, description="Only those that are archived, or that are not."
    )


class AuditAsked(Asked):
    """Which entries of the audit."""

    actor: Annotated[Word | None, BeforeValidator(blank)] = Field(
        default=None, description="Only what this hub name did; also `catalogue`, `login` and `hub`."
    )
    action: Annotated[Action | None, BeforeValidator(blank)] = Field(default=None, description="Only this verb.")
    person: Annotated[Word | None, BeforeValidator(blank)] = Field(
        default=None, description="Only what happened to the person with this hub name."
    )
    space: Annotated[Word | None, BeforeValidator(blank)] = Field(
        default=None, description="Only what is about the space with this name."
    )
    institution: Annotated[Word | None, BeforeValidator(blank)] = Field(
        default=None, description="Only what is about the institution with this name."
    )
    since: Annotated[Day | None, BeforeValidator(blank)] = Field(default=None, description="First day, in UTC.")
    until: Annotated[Day | None, BeforeValidator(blank)] = Field(
        default=None, description="Last day, in UTC; it is included."
    )

    @property
    def begins(self) -> datetime | None:
        """The first moment that is asked for."""
        return datetime.combine(self.since, time(), UTC) if self.since else None

    @property
    def ends(self) -> datetime | None:
        """The first moment that is not asked for any more."""
        return datetime.combine(self.until, time(), UTC) + timedelta(days=1) if self.until else None


class Answer(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(from_attributes=True)


class Health(Answer):
    """The process is alive."""

    alive: Literal[True] = True


class Ready(Answer):
    """What the service needs, and whether it answers."""

    ready: bool = Field(description="Whether both answer.")
    lab_database: bool = Field(description="Whether the lab database answers within a second.")
    hub: bool = Field(description="Whether the hub answers within a second.")


class OwnSpace(Answer):
    """A space that the person may open."""

    name: str = Field(description="Its name, as in the options of a server.")
    kind: Kind = Field(description="What it is for.")
    title: Text = Field(description="Its title in both languages.")
    description: Text | None = Field(description="One sentence on what it is about.")
    term: str = Field(description="The term in which it runs.")
    role: Role = Field(description="The person's role in it.")
    section: str = Field(description="The person's group within it, if any.")
    sizes: list[str] = Field(description="Names of the sizes that its servers may have.")
    default_size: str = Field(description="The size that is chosen unless somebody chooses another.")
    open: bool = Field(description="Whether the person may open it today: staff always may.")
    starts: date | None = Field(description="First day on which students may open it.")
    ends: date | None = Field(description="Last day on which students may open it.")
    timezone: str = Field(description="Time zone of the days.")


class OwnSpaces(Answer):
    """What the person may open, by name."""

    spaces: list[OwnSpace]


class IdentityAnswer(Answer):
    """One identity of a person."""

    institution: str = Field(description="Name of the institution.")
    issuer: str
    subject: str
    last_login_at: datetime


class MembershipAnswer(Answer):
    """One role of a person."""

    space: str = Field(description="Name of the space.")
    role: Role
    section: str
    archived: bool = Field(description="Whether the space is archived.")


class PersonAnswer(Answer):
    """A person."""

    hub_name: str = Field(description="Their name at the hub; never handed to anybody else.")
    display_name: str
    created_at: datetime = Field(description="When they came first.")
    blocked_at: datetime | None = Field(description="Since when they are blocked.")
    last_login_at: datetime | None
    operator: bool = Field(description="Whether they operate the lab.")
    identities: list[IdentityAnswer]
    memberships: list[MembershipAnswer]


class ServerAnswer(Answer):
    """A server that runs, starts or stops."""

    name: str = Field(description="Its name at the hub.")
    started: datetime | None
    ready: bool = Field(description="Whether it can be used.")
    pending: str | None = Field(description="`spawn` or `stop`, while it is in between.")


class PersonWithServers(PersonAnswer):
    """A person, and what they have running."""

    servers: list[ServerAnswer]


class SpaceAnswer(Answer):
    """A space, as operators see it."""

    name: str
    kind: Kind
    title: Text
    managed_by: str | None = Field(description="The course file that describes it.")
    created_at: datetime
    archived_at: datetime | None
    members: dict[Role, int] = Field(description="How many persons have each role.")
    waiting: int = Field(description="Roster rows whose person has not logged in yet.")


class AuditAnswer(Answer):
    """An entry of the audit."""

    id: int
    at: datetime
    actor: str = Field(description="Who did it: a hub name, `catalogue`, `login`, or `hub` for what nobody asked for.")
    action: str = Field(description="A verb of the lab.")
    person: str | None = Field(description="Hub name of the person it happened to.")
    space: str | None
    institution: str | None
    detail: dict[str, Any]
    note: str = Field(description="One sentence for the log, in English.")


class Lines(Answer, Generic[Line]):
    """A page of a list."""

    items: list[Line]
    page: int = Field(description="Which page this is, counted from 1.")
    pages: int = Field(description="How many pages there are.")
    per_page: int
    total: int = Field(description="How many items there are on all pages.")


def lines(page: Page[Any], kind: type[Line]) -> Lines[Line]:
    """The answer for a page of the store, whose items become `kind`."""
    return Lines[Line](
        items=[kind.model_validate(item) for item in page.items],
        page=page.page,
        pages=page.pages,
        per_page=page.per_page,
        total=page.total,
    )
