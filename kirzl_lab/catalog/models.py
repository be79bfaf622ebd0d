"""The models of the catalogue: one for each file a site edits."""

import re
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from kirzl_lab.catalog.values import (
    ADDRESS,
    IMAGE,
    RESOURCE,
    RUNTIME_CLASS,
    SPACE_NAME,
    VARIABLE,
    ClaimName,
    ClaimNames,
    ClaimValue,
    Domains,
    Hosts,
    Issuer,
    Label,
    LabelValue,
    Name,
    Names,
    OAuthScopes,
    Sentence,
    TimeZone,
)

SHARED_CLAIMS = frozenset(
    {
        "eduperson_affiliation",
        "eduperson_assurance",
        "eduperson_entitlement",
        "eduperson_scoped_affiliation",
        "entitlements",
        "schac_home_organization",
        "voperson_external_affiliation",
    }
)
"""Claims whose values many people share. A roster row is for one person: the first to log in would take it."""

SCOPED_CLAIMS = frozenset(
    {
        "email",
        "eduperson_principal_name",
        "eduperson_scoped_affiliation",
        "voperson_external_affiliation",
        "schac_home_organization",
    }
)
"""Claims whose values end in a domain; an institution may assert them for its own domains only."""

EMAIL = re.compile(r"[\x21-\x3f\x41-\x7e]+@[\x21-\x3f\x41-\x7e]+")
"""ASCII only: lower() maps some letters of other scripts onto a-z, and two mailboxes would become one."""


class Role(StrEnum):
    """What a person may do in a space. `operator` is for the site as a whole."""

    STUDENT = "student"
    ASSISTANT = "assistant"
    INSTRUCTOR = "instructor"
    MEMBER = "member"
    OWNER = "owner"
    OPERATOR = "operator"


STAFF = frozenset({Role.INSTRUCTOR, Role.ASSISTANT, Role.OWNER})
"""Roles that run a space: they may open it before it starts and after it ends, and preview it."""


class Kind(StrEnum):
    """What a space is for."""

    COURSE = "course"
    SANDBOX = "sandbox"
    RESEARCH = "research"


class Model(BaseModel):
    """Strict about its keys, frozen once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Text(Model):
    """A text in both languages of the lab."""

    de: Sentence = Field(description="The text in German.")
    en: Sentence = Field(description="The text in English.")

    def in_language(self, language: str) -> str:
        """The text in `de`, and in English for every other language."""
        return self.de if language == "de" else self.en


class NetworkReach(StrEnum):
    """What a server may reach besides the lab itself."""

    NONE = "none"
    PACKAGE_MIRRORS = "package-mirrors"
    INTERNET = "internet"


class Toleration(Model):
    """A taint of nodes that servers may ignore, as in a pod's `tolerations`."""

    key: Label = Field(description="The taint's key.")
    operator: Literal["Exists", "Equal"] = Field(default="Exists", description="Equal compares the value, too.")
    value: LabelValue | None = Field(default=None, description="The taint's value, with operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="The taint's effect; without it every effect."
    )


class Flavour(Model):
    """How a GPU is handed out."""

    resource: str = Field(pattern=RESOURCE, description="Kubernetes resource name, for example nvidia.com/gpu.")
    share: Literal["whole", "mig", "shared"] = Field(description="A whole GPU, a MIG slice, or a share in time.")
    memory_gib: float = Field(gt=0, le=4096, description="GPU memory of one unit, in GiB.")
    watts: float = Field(gt=0, le=100_000, description="Power that one unit draws at full load, in watts.")
    node_selector: dict[Label, LabelValue] = Field(
        default_factory=dict, description="Labels of the nodes that have it, where the resource alone does not tell."
    )
    tolerations: tuple[Toleration, ...] = Field(
        default=(), description="Taints of those nodes that its servers may ignore."
    )
    runtime_class: Annotated[str, StringConstraints(pattern=RUNTIME_CLASS)] | None = Field(
        default=None, description="RuntimeClass of its servers, for example nvidia."
    )


class Size(Model):
    """A named bundle of CPU, memory and GPU."""

    title: Text = Field(description="What people read on the Start button.")
    cpus: float = Field(gt=0, le=256, description="CPU limit, in cores.")
    memory_gib: float = Field(gt=0, le=4096, description="Memory limit, in GiB.")
    gpu: Name | None = Field(default=None, description="GPU flavour of which a server of this size holds one unit.")
    guaranteed_cpus: float | None = Field(
        default=None,
        gt=0,
        le=256,
        description="Cores that a server in a cluster is sure of. By default a quarter of cpus.",
    )
    guaranteed_memory_gib: float | None = Field(
        default=None,
        gt=0,
        le=4096,
        description="Memory that a server in a cluster is sure of, in GiB. By default all of memory_gib.",
    )

    @field_validator("guaranteed_cpus", "guaranteed_memory_gib")
    @classmethod
    def _at_most_the_limit(cls, guaranteed: float | None, info: ValidationInfo) -> float | None:
        limit = info.data.get(str(info.field_name).removeprefix("guaranteed_"))
        if guaranteed is not None and limit is not None and guaranteed > limit:
            raise ValueError(f"expected at most {limit:g}, the limit of this size")
        return guaranteed


class SizesFile(Model):
    """`sizes.yaml`: the sizes a server can have, and how GPUs are handed out."""

    flavours: dict[Name, Flavour] = Field(default_factory=dict, description="GPU flavours by name.")
    sizes: dict[Name, Size] = Field(min_length=1, description="Sizes by name, smallest first.")


class Institution(Model):
    """A partner organisation whose people log in with its own OpenID Connect issuer."""

    title: Text = Field(description="The name people look for on the login page.")
    issuer: Issuer | None = Field(
        default=None,
        description="The issuer's address, exactly as in its discovery document. Not for demo institutions.",
    )
    client_id: str = Field(
        min_length=1, max_length=255, description="The client that the institution registered for us."
    )
    client_secret_env: str | None = Field(
        default=None,
        pattern=VARIABLE,
        description="Environment variable that holds the client's secret. Without it the client is a public one (PKCE alone).",
    )
    request_scopes: OAuthScopes = Field(
        default=("openid", "profile", "email"), description="OAuth scopes to ask for; openid must be one of them."
    )
    domains: Domains = Field(
        min_length=1,
        description="The domains of the institution: e-mail addresses and scoped affiliations outside them are ignored.",
    )
    claims: ClaimNames = Field(
        default=("email",), description="Claims of this institution that roster rows and course_creators may name."
    )
    algorithm: Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"] = (
        Field(default="RS256", description="The one algorithm with which this institution signs ID tokens.")
    )
    demo: bool = Field(
        default=False,
        validate_default=True,
        description="Served by the demo institutions; never on a public address.",
    )

    @field_validator("request_scopes")
    @classmethod
    def _asks_for_an_id_token(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in scopes:
            raise ValueError("expected openid among them")
        return scopes

    @field_validator("demo")
    @classmethod
    def _has_one_issuer(cls, demo: bool, info: ValidationInfo) -> bool:
        # An issuer that was refused itself is not in the data, but it was given.
        given = "issuer" not in info.data or info.data["issuer"] is not None
        if demo and given:
            raise ValueError("expected either issuer or demo: a demo institution has no issuer of its own")
        if not demo and not given:
            raise ValueError("expected issuer, the address of the institution's OpenID provider")
        return demo


class InstitutionsFile(Model):
    """`institutions.yaml`: who may log in, and what each institution may say about its people."""

    institutions: dict[Name, Institution] = Field(min_length=1, description="Institutions by a short name.")


class Promise(Model):
    """A claim and the value that an institution must assert for somebody."""

    institution: Name = Field(description="The institution that asserts the claim.")
    claim: ClaimName = Field(description="The claim to look at.")
    value: ClaimValue = Field(description="The value it must have; e-mail addresses are compared in lower case.")

    @field_validator("value")
    @classmethod
    def _email_in_lower_case(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("claim") != "email":
            return value
        if not EMAIL.fullmatch(value):
            raise ValueError("expected an e-mail address")
        return value.lower()


class Operator(Promise):
    """A promise of the operator role, bound at that person's login through that institution."""


class CourseCreators(Model):
    """Everybody for whom an institution asserts this value; one that many people share is meant here."""

    institution: Name = Field(description="The institution that asserts the claim.")
    claim: ClaimName = Field(description="The claim to look at, for example eduperson_scoped_affiliation.")
    value: ClaimValue = Field(description="The value it must have, for example faculty@uni.example.")


class LabFile(Model):
    """`lab.yaml`: the lab as a whole."""

    title: Text = Field(description="The name of the lab, shown in the navigation bar.")
    contact: Annotated[str, StringConstraints(pattern=ADDRESS, max_length=254)] = Field(
        description="E-mail address that people in trouble are told to write to."
    )
    session_hours: int = Field(default=12, ge=1, le=168, description="How long a login lasts, in hours.")
    operators: tuple[Operator, ...] = Field(default=(), description="Who operates the lab.")
    package_mirrors: Hosts = Field(
        default=(),
        description="Hosts that servers with network reach package-mirrors may ask, in a cluster.",
    )
    course_creators: tuple[CourseCreators, ...] = Field(
        default=(),
        description="Who may create courses, besides operators and whoever is instructor of a course already.",
    )
    grace_minutes: int = Field(
        default=10,
        ge=0,
        le=1440,
        description="How long a server goes on after its person has lost the space, in minutes.",
    )


class CourseFile(Model):
    """`course.yaml`: a space of kind course."""

    title: Text = Field(description="The course's name.")
    description: Text | None = Field(default=None, description="One sentence on what the course is about.")
    term: Sentence = Field(description="The term in which it runs, for example 2026/27 winter.")
    timezone: TimeZone = Field(default="Europe/Berlin", description="Time zone of the dates below.")
    starts: date | None = Field(default=None, description="First day on which students may open it.")
    ends: date | None = Field(default=None, description="Last day on which students may open it.")
    image: Annotated[str, StringConstraints(pattern=IMAGE)] = Field(
        default="notebook",
        description=(
            "Image of its servers in a cluster: one of the lab's, or the full name of another. A server ends after"
            " idle_hours only where its image has the lab's extension: make another one from the lab's image notebook."
        ),
    )
    sizes: Names = Field(min_length=1, description="Sizes that its members may choose.")
    default_size: Name = Field(description="The size that is chosen unless somebody chooses another.")
    storage_gib: int = Field(default=10, ge=1, le=10_000, description="Size of each member's home, in GiB.")
    network_reach: NetworkReach = Field(
        default=NetworkReach.NONE,
        description="What its servers in a cluster may reach besides the lab: none, package-mirrors or internet.",
    )
    idle_hours: float = Field(
        default=2, gt=0, le=168, description="A server in which nothing was done for so long ends by itself, in hours."
    )
    max_submission_mib: int = Field(
        default=100,
        ge=1,
        le=100,
        description="Largest submission, in MiB, packed; unpacked it may be ten times that, and 500 MiB at most.",
    )
    max_submission_files: int = Field(default=1000, ge=1, le=10_000, description="Most files in a submission.")
    late_penalty: Literal["none", "zero"] = Field(
        default="none",
        description="What a late submission loses: nothing, or all of its points (nbgrader's own choices).",
    )

    @field_validator("ends")
    @classmethod
    def _ends_after_it_starts(cls, ends: date | None, info: ValidationInfo) -> date | None:
        starts = info.data.get("starts")
        if starts and ends and ends < starts:
            raise ValueError(f"expected a day on or after starts, {starts}")
        return ends

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of `starts` and `ends`."""
        return ZoneInfo(self.timezone)


class RosterRow(Promise):
    """One line of `roster.csv`."""

    role: Literal[Role.STUDENT, Role.ASSISTANT, Role.INSTRUCTOR] = Field(description="The role that the row promises.")
    section: Annotated[str, StringConstraints(strip_whitespace=True, max_length=60)] = Field(
        default="", description="Group within the course, if any."
    )


class Course(Model):
    """A course folder: its name, its file, its roster."""

    name: Name
    file: CourseFile
    roster: tuple[RosterRow, ...] = ()
    materials: bool = False
    """Whether the folder has a `materials` folder."""
    assignments: tuple[str, ...] = ()
    """Names of the assignments in its `source` folder, in order."""


class Catalogue(Model):
    """Everything a site wrote, checked as a whole."""

    lab: LabFile
    sizes: dict[str, Size]
    flavours: dict[str, Flavour]
    institutions: dict[str, Institution]
    courses: dict[str, Course]


def is_space_name(name: str) -> bool:
    """Whether `name` may be the name of a space: 1 to 24 of `[a-z0-9-]`, a letter first, no `--`, no `-` at the end."""
    return len(name) <= 24 and re.fullmatch(SPACE_NAME, name) is not None
