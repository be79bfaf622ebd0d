"""When a server has nothing to do. Pure: clock and signs are given. Runs inside a person's server.

Guarantees: while a kernel is busy there is work; after the last sign of work `idle_s` counts up with the clock; the end
is due once it has reached the limit, and a warning for the last ten minutes before it (half of the time where the
limit is shorter than twenty).

Time is counted on a clock that stands still while the machine sleeps, and moments that others wrote down are only
compared with each other: a laptop that is opened in the morning has its warning first, and a clock that is set
ends nothing.

It imports nothing of the lab, so that it can be in images without the rest.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

IDLE = "idle"
"""First word of what a server leaves behind that ended because it had nothing to do; the second is the limit in hours."""

WARNING_S = 600.0
LOOK_EVERY_S = 30.0

CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
BOOKKEEPING = ("lab/api/workspaces",)
"""What JupyterLab changes without anybody's doing: which tabs are open."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What is seen of kernels and terminals in one look."""

    busy: bool
    """Whether a kernel is executing."""
    marks: Hashable
    """Each kernel and terminal with the time of its last activity: another value is work since the last look."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a server stands with its limit."""

    idle_s: float
    left_s: float
    """Until the end, when no work comes; never below 0."""
    warn_in_s: float
    """Until people are told."""

    @property
    def warn(self) -> bool:
        """Whether people are told."""
        return self.warn_in_s == 0

    @property
    def over(self) -> bool:
        """Whether the end is due."""
        return self.left_s == 0


class Activity:
    """What is known of the work in one server since it started, which counts as work."""

    def __init__(self, limit_s: float, clock: Callable[[], float]) -> None:
        self.limit_s = limit_s
        self._clock = clock
        self._last_work = clock()
        self._marks: Hashable = None

    def worked(self) -> None:
        """Somebody did something just now."""
        self._last_work = self._clock()

    def look(self, signs: Signs) -> Standing:
        """Take in what kernels and terminals show."""
        if signs.busy or signs.marks != self._marks:
            self.worked()
        self._marks = signs.marks
        return self.standing()

    def standing(self) -> Standing:
        """How it stands at this moment, by what has been seen."""
        idle_s = max(0.0, self._clock() - self._last_work)
        left_s = max(0.0, self.limit_s - idle_s)
        return Standing(idle_s, left_s, warn_in_s=max(0.0, left_s - min(WARNING_S, self.limit_s / 2)))


def is_work(method: str, path: str, status: int) -> bool:
    """Whether a request to the server is something that somebody did.

    What changes something and worked is: a save, an upload, a kernel started, an assignment handed in. Reading is not,
    because a forgotten tab reads all day; nor is a save that was refused, because a forgotten tab tries it again.
    `path` is relative to the server's own address, without a slash at the front.
    """
    return method in CHANGES and status < 400 and not path.startswith(BOOKKEEPING)


def look_every_s(limit_s: float) -> float:
    """Seconds between two looks: short limits, as in tests, are kept about as well as long ones."""
    return min(LOOK_EVERY_S, limit_s / 4)


def last_words(limit_s: float) -> str:
    """What a server leaves behind that ends for lack of work."""
    return f"{IDLE} {limit_s / 3600:g}"
