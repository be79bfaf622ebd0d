"""From what somebody asked for to a `Choice`, or a refusal. Pure: knows no JupyterHub, no Kubernetes, no database.

Guarantees: a `Choice` is made only for a member of the space, for a size that the space offers and that can be had
here, under the one name that this person has for this space and purpose. Everything else raises a `Problem` with an
HTTP status below 500, so the hub never counts it as a failed start.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any, Literal

from kirzl_lab.catalog.models import STAFF, CourseFile, Flavour, NetworkReach, Role, Size, Text, is_space_name
from kirzl_lab.problems import (
    BadOptions,
    BadServerName,
    NameBound,
    NameTaken,
    NotAMember,
    Phrase,
    PurposeRefused,
    SizeFull,
    SizeNotAllowed,
    SizeUnavailable,
    SpaceNotOpen,
    UnknownSpace,
)

Purpose = Literal["work", "preview"]
PURPOSES: tuple[Purpose, ...] = ("work", "preview")

SERVER_NAME = re.compile(r"[a-z](?:-?[a-z0-9])*")
SERVER_NAME_LENGTH = 30
"""JupyterHub 6: up to 30 of `[a-z0-9-]`, start with a letter, no `--`, no `-` at the end."""


@dataclass(frozen=True, slots=True)
class Request:
    """The options of a server, well-formed but not yet judged."""

    space: str
    purpose: Purpose
    size: str


@dataclass(frozen=True, slots=True)
class SpaceFacts:
    """What there is to know about a space when somebody wants to open it."""

    name: str
    title: Text
    description: Text | None
    kind: str
    term: str
    sizes: tuple[str, ...]
    default_size: str
    starts: date | None
    ends: date | None
    materials: Path | None
    image: str
    storage_gib: int
    network_reach: NetworkReach
    idle_hours: float
    timezone: str

    @classmethod
    def of(cls, name: str, kind: str, title: Text, file: CourseFile, materials: Path | None = None) -> "SpaceFacts":
        """The facts in what the catalogue says of the space."""
        return cls(
            name=name,
            title=title,
            description=file.description,
            kind=kind,
            term=file.term,
            sizes=file.sizes,
            default_size=file.default_size,
            starts=file.starts,
            ends=file.ends,
            materials=materials,
            image=file.image,
            storage_gib=file.storage_gib,
            network_reach=file.network_reach,
            idle_hours=file.idle_hours,
            timezone=file.timezone,
        )


@dataclass(frozen=True, slots=True)
class Binding:
    """What one of a person's server names means."""

    server_name: str
    space: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a decision rests on, read at one moment."""

    hub_name: str
    institution: str
    """Through which the person logged in last."""
    space: SpaceFacts | None
    role: Role | None
    bindings: Sequence[Binding]
    sizes: Mapping[str, Size]
    flavours: Mapping[str, Flavour]
    unavailable: Mapping[str, Phrase]
    """Size -> why it cannot be had on this machine or cluster."""
    today: date
    """In the space's time zone."""
    full: Mapping[str, int] = field(default_factory=dict)
    """Size -> how many units of its GPU there are, where all of them are in use."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What will be started: for whom, in which space, for which purpose, how large."""

    hub_name: str
    server_name: str
    space: str
    title: Text
    kind: str
    purpose: Purpose
    role: Role
    size_name: str
    size: Size
    flavour: Flavour | None
    """How the size's GPU is handed out; None for a size without one."""
    institution: str
    image: str
    storage_gib: int
    network_reach: NetworkReach
    idle_hours: float
    timezone: str
    materials_source: Path | None
    cpu_sizes: tuple[str, ...] = ()
    """What else the person could start in the space: the sizes without a GPU."""

    @property
    def staff(self) -> bool:
        """Whether the server is opened by somebody who runs the space, to work and not to preview."""
        return self.role in STAFF and self.purpose == "work"


def parse_options(options: object) -> Request:
    """The request in a server's `user_options`, which are exactly space, purpose and size; else `BadOptions`."""
    if not isinstance(options, Mapping) or not options:
        raise BadOptions(found=Phrase("they are missing"))
    if wrong := _wrong_keys(options) or _wrong_values(options):
        raise BadOptions(found=wrong)
    return Request(space=options["space"], purpose=options["purpose"], size=options["size"])


def _wrong_keys(options: Mapping[Any, Any]) -> Phrase | None:
    keys = ("space", "purpose", "size")
    for key in keys:
        if key not in options:
            return Phrase("%(key)s is missing", {"key": key})
    for key in options:
        if key not in keys:
            return Phrase("“%(key)s” is none of them", {"key": _short(key)})
    return None


def _wrong_values(options: Mapping[Any, Any]) -> Phrase | None:
    for key in ("space", "size"):
        if not isinstance(options[key], str) or not is_space_name(options[key]):
            return Phrase("%(key)s must be a name of a-z, 0-9 and hyphens", {"key": key})
    # A value of another type may not even be hashable: compare, do not look it up.
    if not any(options["purpose"] == purpose for purpose in PURPOSES):
        return Phrase("purpose must be work or preview")
    return None


def decide(facts: Facts, server_name: str, request: Request) -> Choice:
    """The choice that `request` makes under `server_name`.

    `facts` are about the person and the space that the request names. Raises `BadServerName` (400), `UnknownSpace`
    (404), `NotAMember`, `PurposeRefused`, `SpaceNotOpen`, `SizeNotAllowed` (403), `SizeUnavailable`, `NameTaken`,
    `NameBound` and `SizeFull` (409).
    """
    if not is_server_name(server_name):
        raise BadServerName()
    space, role = facts.space, facts.role
    if space is None:
        raise UnknownSpace(space=request.space)
    if role is None:
        raise NotAMember(space=space.name)
    if request.purpose == "preview" and role not in STAFF:
        raise PurposeRefused(space=space.name)
    if role not in STAFF:
        _must_be_open(space, facts.today)
    offered = [name for name in space.sizes if name in facts.sizes]
    if request.size not in offered:
        raise SizeNotAllowed(space=space.name, size=request.size, allowed=", ".join(offered))
    if request.size in facts.unavailable:
        raise SizeUnavailable(size=request.size, reason=facts.unavailable[request.size])
    _must_be_its_name(facts.bindings, server_name, request)
    size = facts.sizes[request.size]
    choice = Choice(
        hub_name=facts.hub_name,
        server_name=server_name,
        space=space.name,
        title=space.title,
        kind=space.kind,
        purpose=request.purpose,
        role=role,
        size_name=request.size,
        size=size,
        flavour=facts.flavours[size.gpu] if size.gpu else None,
        institution=facts.institution,
        image=space.image,
        storage_gib=space.storage_gib,
        network_reach=space.network_reach,
        idle_hours=space.idle_hours,
        timezone=space.timezone,
        materials_source=space.materials,
        cpu_sizes=tuple(name for name in offered if facts.sizes[name].gpu is None and name not in facts.unavailable),
    )
    if request.size in facts.full:
        raise size_full(choice, facts.full[request.size])
    return choice


def size_full(choice: Choice, units: int) -> SizeFull:
    """The problem that all `units` of the choice's GPU are in use."""
    instead = (
        Phrase("take %(sizes)s now, or try again later", {"sizes": ", ".join(choice.cpu_sizes)})
        if choice.cpu_sizes
        else Phrase("try again later")
    )
    return SizeFull(
        size=choice.size_name,
        units=units,
        instead=instead,
        space=choice.space,
        purpose=choice.purpose,
        cpu_sizes=choice.cpu_sizes,
    )


def is_open(space: SpaceFacts, today: date) -> bool:
    """Whether students may open the space on that day; both ends count."""
    return not (space.starts and today < space.starts) and not (space.ends and today > space.ends)


def not_open(space: SpaceFacts) -> SpaceNotOpen:
    """The problem that students may not open the space today."""
    return SpaceNotOpen(space=space.title, starts=space.starts or "…", ends=space.ends or "…")


def is_server_name(name: str) -> bool:
    """Whether JupyterHub takes `name` for a named server; the empty name of the default server is none."""
    return len(name) <= SERVER_NAME_LENGTH and SERVER_NAME.fullmatch(name) is not None


def server_name_for(space: str, purpose: Purpose, bindings: Sequence[Binding]) -> str:
    """The name under which a person opens a space for a purpose: the one they have, or else a free one."""
    taken = {binding.server_name for binding in bindings}
    for binding in bindings:
        if (binding.space, binding.purpose) == (space, purpose):
            return binding.server_name
    return next(name for name in _candidates(space, purpose) if name not in taken)


def _candidates(space: str, purpose: Purpose) -> Iterator[str]:
    # A space name has at most 24 characters, which leaves room for a suffix; the name carries no meaning.
    first = space if purpose == "work" else f"{space}-view"
    yield first
    for number in count(2):
        yield f"{space}-{number}"


def _must_be_open(space: SpaceFacts, today: date) -> None:
    if not is_open(space, today):
        raise not_open(space)


def _must_be_its_name(bindings: Sequence[Binding], server_name: str, request: Request) -> None:
    for binding in bindings:
        same_name = binding.server_name == server_name
        same_meaning = (binding.space, binding.purpose) == (request.space, request.purpose)
        if same_meaning and not same_name:
            raise NameTaken(space=request.space, server=binding.server_name)
        if same_name and not same_meaning:
            raise NameBound(server=server_name, space=binding.space)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:39] + "…"
