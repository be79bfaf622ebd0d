"""Figures of an assignment. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from statistics import fmean, median

BINS = 10
STEPS = (timedelta(hours=1), timedelta(hours=6), timedelta(days=1), timedelta(days=7), timedelta(days=28))
MOST_STEPS = 36
"""More bars than this cannot be told apart on a phone."""


@dataclass(frozen=True, slots=True)
class Bin:
    """How many scores are from `low` up to `high`, in points. `high` itself is in the next bin, but for the last."""

    low: float
    high: float | None
    """None: everything from `low` on, which only extra credit reaches."""
    count: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What there is to say of some scores, in points; all zero when there are none."""

    count: int
    mean: float
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Step:
    """How much was handed in from `begins` until the next step."""

    begins: datetime
    count: int
    until_now: int
    """This and all steps before."""


def summary(scores: Sequence[float]) -> Summary:
    """Mean, median and range."""
    if not scores:
        return Summary(0, 0.0, 0.0, 0.0, 0.0)
    return Summary(len(scores), fmean(scores), median(scores), min(scores), max(scores))


def distribution(scores: Sequence[float], max_score: float, bins: int = BINS) -> list[Bin]:
    """The scores in `bins` bins of one width from 0 to `max_score`, and one more where extra credit went beyond.

    Every score is in exactly one bin. No bins without points to reach. Scores below 0 count as 0.
    """
    if max_score <= 0:
        return []
    width = max_score / bins
    counts = [0] * bins
    beyond = 0
    for score in scores:
        if score > max_score:
            beyond += 1
        else:
            counts[_bin(max(score, 0.0), width, bins)] += 1
    made = [Bin(width * number, width * (number + 1), count) for number, count in enumerate(counts)]
    return [*made, Bin(max_score, None, beyond)] if beyond else made


def _bin(score: float, width: float, bins: int) -> int:
    number = min(math.floor(score / width), bins - 1)
    # A division may round up to the next bin what is below its lower end.
    return number - 1 if number and score < width * number else number


def over_time(moments: Sequence[datetime], zone: tzinfo) -> tuple[list[Step], timedelta]:
    """Submissions by hour, six hours, day, week or four weeks, as fine as `MOST_STEPS` steps allow, and which it is.

    Steps begin at whole hours and days of `zone`; those in which nothing happened are there, too. `moments` in any order.
    """
    if not moments:
        return [], STEPS[0]
    # As seconds: two moments of one zone compare by the wall's clock, on which an hour comes twice in autumn.
    ordered = sorted(moment.timestamp() for moment in moments)
    first, last = (datetime.fromtimestamp(ordered[at], zone) for at in (0, -1))
    for width in STEPS:
        begins = _begins(first, last, width)
        if len(begins) <= MOST_STEPS:
            break
    steps: list[Step] = []
    at = 0
    for begin, end in zip(begins, [*begins[1:], None], strict=True):
        before = at
        while at < len(ordered) and (end is None or ordered[at] < end.timestamp()):
            at += 1
        steps.append(Step(begin, at - before, at))
    return steps, width


def _begins(first: datetime, last: datetime, width: timedelta) -> list[datetime]:
    """Where steps of that width begin, from the one that holds `first` to the one that holds `last`.

    Days are counted on the wall's clock, so that each begins at midnight where the clocks change; hours are not.
    """
    if width < timedelta(days=1):
        hours = width // timedelta(hours=1)
        begin = first.replace(hour=first.hour - first.hour % hours, minute=0, second=0, microsecond=0)
        begins: list[datetime] = []
        moment = begin.timestamp()
        while moment <= last.timestamp() and len(begins) <= MOST_STEPS:
            begins.append(datetime.fromtimestamp(moment, first.tzinfo))
            moment += width.total_seconds()
        return begins
    begin = first.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    begins = []
    # The last width may need more steps than there is room for: a submission years later is no reason to leave it out.
    while begin <= last and (len(begins) <= MOST_STEPS or width == STEPS[-1]):
        begins.append(begin)
        begin += width
    return begins
