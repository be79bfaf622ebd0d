"""Metrics of the hub, at `/hub/metrics` together with JupyterHub's own (docs/reference/metrics.md).

Labels are bounded: sizes and institutions by the catalogue, everything else by enumerations in the code.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

from jupyterhub.utils import AnyTimeoutError
from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from tornado.web import HTTPError

from kirzl_lab.federation.authenticator import ANYBODYS
from kirzl_lab.federation.refusals import Refused, Unreachable
from kirzl_lab.problems import (
    InstitutionUnreachable,
    LabDatabaseAway,
    LoginCancelled,
    LoginExpired,
    PersonBlocked,
    Problem,
)
from kirzl_lab.spawning import endings, last_words, troubles

OTHER = "other"
"""Stands for a label's value that the catalogue does not have (any more)."""


class Start(StrEnum):
    """How a start ended."""

    READY = "ready"
    REFUSED = "refused"
    """The last check, or JupyterHub, said no; the reason is the problem's slug."""
    FAILED = "failed"
    CANCELLED = "cancelled"


class Reason(StrEnum):
    """Why a start ended as it did, besides `troubles.Reason` and the slugs of problems."""

    NONE = "none"
    THROTTLED = "throttled"
    """JupyterHub had too many starts under way, and refused."""
    ERROR = "error"
    """A mistake of the lab or of what it stands on: the hub's log says which."""
    OTHER = OTHER


FAILURES = frozenset({*troubles.Reason, Reason.ERROR, Reason.OTHER})
"""Why a start failed. Where a spawner gives another reason, it counts as `other`."""


class End(StrEnum):
    """Why a server ended."""

    ASKED = "asked"
    """Its person or an operator stopped it, or the person may no longer open the space."""
    IDLE = "idle"
    MEMORY = "memory"
    """It needed more memory than its size has."""
    ITSELF = "itself"
    """Also when its person ended it from inside."""
    EVICTED = "evicted"
    """Its node was short of space."""
    DRAINED = "drained"
    """Its node was taken out of service."""
    NODE_LOST = "node-lost"
    REMOVED = "removed"
    """Somebody removed its pod."""
    OTHER = OTHER


ENDS_BY_WORDS: Mapping[str, End] = {
    last_words.IDLE_HOURS: End.IDLE,
    last_words.IDLE_MINUTES: End.IDLE,
    endings.OUT_OF_MEMORY: End.MEMORY,
    endings.ENDED_ITSELF: End.ITSELF,
    endings.EVICTED: End.EVICTED,
    endings.DRAINED: End.DRAINED,
    endings.NODE_LOST: End.NODE_LOST,
    endings.REMOVED: End.REMOVED,
}
"""What people are told of an end, and what that is called here."""


class Login(StrEnum):
    """How a login at an institution ended."""

    OK = "ok"
    REFUSED = "refused"
    """What the institution sent did not pass our checks."""
    UNREACHABLE = "unreachable"
    CANCELLED = "cancelled"
    """Not completed at the institution."""
    EXPIRED = "expired"
    """It took too long, or was begun in another browser."""
    STRAY = "stray"
    """Nothing that we began: anybody can send it."""
    BLOCKED = "blocked"
    DATABASE_AWAY = "database-away"
    OTHER = OTHER


STARTS = Counter(
    "kirzl_lab_server_starts",
    "Starts of servers, by how they ended. What was refused before it began is in kirzl_lab_refusals_total.",
    ["outcome", "size", "reason"],
)
START_SECONDS = Histogram(
    "kirzl_lab_server_start_seconds",
    "From the click to a server that is ready, in seconds; of starts that worked.",
    ["size"],
    buckets=(1, 2, 3, 4, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120, 300),
)
ENDS = Counter("kirzl_lab_server_ends", "Servers that had started and ended, by why they did.", ["size", "reason"])
LOGINS = Counter("kirzl_lab_logins", "Logins at institutions, by how they ended.", ["institution", "outcome"])

METRICS = (STARTS, START_SECONDS, ENDS, LOGINS)

LOGIN_PROBLEMS: Mapping[type[Problem], Login] = {
    InstitutionUnreachable: Login.UNREACHABLE,
    LoginCancelled: Login.CANCELLED,
    LoginExpired: Login.EXPIRED,
    PersonBlocked: Login.BLOCKED,
    LabDatabaseAway: Login.DATABASE_AWAY,
}


class RunningServers(Collector):
    """Counts servers when it is asked: what the hub has at that moment, also after a restart."""

    NAME = "kirzl_lab_running_servers"

    def __init__(self) -> None:
        self._app: Any = None
        self.sizes: frozenset[str] = frozenset()

    def look_at(self, app: Any, sizes: Iterable[str]) -> None:
        """Count the servers of this JupyterHub."""
        self._app, self.sizes = app, frozenset(sizes)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauge; every size is in it, with 0 where none runs."""
        found = {(size, "course"): 0 for size in sorted(self.sizes)}
        for user in list(self._app.users.values()) if self._app else ():
            for spawner in list(user.spawners.values()):
                if spawner.ready:
                    size = (spawner.user_options or {}).get("size")
                    where = (known(size, self.sizes), getattr(spawner, "kind", None) or OTHER)
                    found[where] = found.get(where, 0) + 1
        family = GaugeMetricFamily(
            self.NAME, "Servers that run now, by size and by the kind of their space.", labels=["size", "kind"]
        )
        for labels, number in found.items():
            family.add_metric(labels, number)
        yield family


RUNNING = RunningServers()
REGISTRY.register(RUNNING)


def prepare(institutions: Iterable[str], sizes: Iterable[str]) -> None:
    """Have a 0 where nothing has happened yet, so that the first time is seen as a change."""
    for institution in institutions:
        for outcome in Login:
            LOGINS.labels(institution, outcome)
    for size in sizes:
        STARTS.labels(Start.READY, size, Reason.NONE)
        for reason in FAILURES:
            STARTS.labels(Start.FAILED, size, reason)
        START_SECONDS.labels(size)
        for end in End:
            ENDS.labels(size, end)


def known(value: object, allowed: Iterable[str]) -> str:
    """The value where it is one of `allowed`, else `other`."""
    return value if isinstance(value, str) and value in allowed else OTHER


def end_reason(ended_by: str | None, told: object) -> End:
    """Why a server ended that `ended_by` stopped, or of whose end people are `told` these words."""
    words = getattr(told, "message", told)
    if isinstance(words, str) and words:
        return ENDS_BY_WORDS.get(words, End.OTHER)
    return End.ASKED if ended_by else End.ITSELF


def ended(size: object, ended_by: str | None, told: object) -> None:
    """A server of that size, which had started, has ended."""
    ENDS.labels(known(size, RUNNING.sizes), end_reason(ended_by, told)).inc()


def login_outcome(error: Refused | Unreachable | Problem, problem: Problem) -> Login:
    """How a login ended that was told as `problem`, because of `error`."""
    if isinstance(error, Refused) and error.reason in ANYBODYS:
        return Login.STRAY
    if isinstance(error, Refused):
        return LOGIN_PROBLEMS.get(type(problem), Login.REFUSED)
    return LOGIN_PROBLEMS.get(type(problem), Login.OTHER)


def start_outcome(error: BaseException | None) -> tuple[Start, str]:
    """How a start ended that raised `error`, and why: a `Reason`, or the slug of the problem that refused it."""
    problem = getattr(error, "problem", None)
    if error is None:
        return Start.READY, Reason.NONE
    if isinstance(error, asyncio.CancelledError):
        return Start.CANCELLED, Reason.NONE
    if isinstance(problem, Problem):
        return Start.REFUSED, problem.slug
    if isinstance(error, AnyTimeoutError):
        return Start.FAILED, troubles.Reason.TIMEOUT
    if isinstance(error, HTTPError):
        return _http_outcome(error)
    return Start.FAILED, Reason.ERROR


def _http_outcome(error: HTTPError) -> tuple[Start, str]:
    if error.status_code == 429:
        return Start.REFUSED, Reason.THROTTLED
    if error.reason in FAILURES:  # JupyterHub's SpawnException carries ours
        return Start.FAILED, str(error.reason)
    return Start.FAILED, Reason.OTHER
