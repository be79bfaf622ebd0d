"""A lab as data: which processes it has, what each needs before it starts, and how one sees that it answers.

Only the standard library, since the inner supervisor lives as long as the lab and should weigh next to nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """A part answers when a GET of `url` gives one of the statuses in `accept`."""

    url: str
    accept: tuple[int, ...] = (200,)


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the lab."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    """Where it runs."""
    log: str
    """The file that takes what it writes."""
    check: Check | None = None
    """None for a part that runs once: it is ready when it has ended with 0."""
    after: tuple[str, ...] = ()
    """Parts that must be ready before this one starts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the inner supervisor is told to run."""

    parts: tuple[Part, ...]
    at_last: Check | None = None
    """What answers, too, soon after all parts do: the lab as browsers see it."""
    start_limit_s: float = 60
    """How long all parts together may take until they answer."""
    ends_first: str | None = None
    """The part that is asked to end before the others, since it ends processes of its own in good order."""
    ends_first_limit_s: float = 10
    end_limit_s: float = 3
    """How long the others may take to end before they are killed."""
    check_every_s: float = field(default=0.05)

    def dumps(self) -> str:
        """The plan as one line of JSON. It holds secrets: for a pipe, never for a file or an argument."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, line: str | bytes) -> "Plan":
        """The plan that `dumps` wrote."""
        raw = json.loads(line)
        parts = tuple(
            Part(
                **part
                | {
                    "argv": tuple(part["argv"]),
                    "after": tuple(part["after"]),
                    "check": _check(part["check"]),
                }
            )
            for part in raw.pop("parts")
        )
        return cls(parts=parts, at_last=_check(raw.pop("at_last")), **raw)


def _check(raw: dict[str, Any] | None) -> Check | None:
    return Check(raw["url"], tuple(raw["accept"])) if raw else None
