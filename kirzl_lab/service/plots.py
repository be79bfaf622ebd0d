"""Plots as shapes: what `_plots.html` draws as SVG. All in units of the drawing, 640 wide; texts in the page's language.

No script and no style: the Content-Security-Policy forbids both in pages, and colours come from the stylesheet's
variables, so that both themes have them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal, format_percent

from kirzl_lab.courses.gradebook_view import TaskResult
from kirzl_lab.courses.statistics import Bin, Step

WIDTH, LEFT, TOP, INNER = 640.0, 44.0, 22.0, 180.0
"""Room on the left for numbers and above for the highest one; `INNER` is the height of the bars' room."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar, and what it says."""

    x: float
    y: float
    width: float
    height: float
    label: str
    """What it is about: a range of points, a day."""
    value: str
    named: bool
    """Whether there is room for the label under it."""
    thinned: bool
    """Whether that room is not there on a phone."""
    late: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line across at the height of a number."""

    y: float
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A line from top to bottom with words."""

    x: float
    label: str
    left: bool
    """Whether the words stand to the left of it."""


@dataclass(frozen=True, slots=True)
class Plot:
    """Bars over a baseline."""

    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    mark: Mark | None = None
    width: float = WIDTH
    left: float = LEFT
    top: float = TOP
    base: float = TOP + INNER


@dataclass(frozen=True, slots=True)
class TaskBar:
    """The share of points that was reached with one graded cell."""

    notebook: str
    cell: str
    share: float
    """0 to 1, cut there; `value` has the whole."""
    value: str
    task: TaskResult


def score_plot(bins: Sequence[Bin], mean: float | None, language: str) -> Plot:
    """How many students have how many points, with a mark at the mean."""
    labels = [
        f"> {_number(one.low, language)}"
        if one.high is None
        else f"{_number(one.low, language)}–{_number(one.high, language)}"
        for one in bins
    ]
    plot = _bars([one.count for one in bins], labels, 1, language)
    most = max((one.high for one in bins if one.high is not None), default=0.0)
    if mean is None or not most:
        return plot
    regular = sum(one.high is not None for one in bins)
    room = (WIDTH - LEFT) * regular / len(bins)
    x = LEFT + room * min(mean / most, 1.0)
    return Plot(plot.bars, plot.lines, Mark(round(x, 1), _number(mean, language), left=x > WIDTH * 0.7))


def time_plot(steps: Sequence[Step], width: timedelta, due_at: datetime | None, language: str) -> Plot:
    """How much was handed in when, with a mark where it was due if that is inside. Later bars are marked as late."""
    labels = [_moment(step.begins, width, language) for step in steps]
    late = [due_at is not None and step.begins >= due_at for step in steps]
    plot = _bars([step.count for step in steps], labels, math.ceil(len(steps) / 8) or 1, language, late)
    if due_at is None or not steps or not steps[0].begins <= due_at <= steps[-1].begins + width:
        return plot
    at = max(number for number, step in enumerate(steps) if step.begins <= due_at)
    share = min((due_at - steps[at].begins) / width, 1.0)
    x = LEFT + (WIDTH - LEFT) * (at + share) / len(steps)
    return Plot(plot.bars, plot.lines, Mark(round(x, 1), "", left=x > WIDTH * 0.7))


def task_bars(tasks: Sequence[TaskResult], language: str) -> list[TaskBar]:
    """The graded cells in their order."""
    return [
        TaskBar(
            task.notebook,
            task.cell,
            min(max(task.success or 0.0, 0.0), 1.0),
            "–" if task.success is None else format_percent(task.success, locale=language),
            task,
        )
        for task in tasks
    ]


def _bars(counts: Sequence[int], labels: Sequence[str], every: int, language: str, late: Sequence[bool] = ()) -> Plot:
    """`every`: how many labels share the room of one."""
    top = _top(max(counts, default=0))
    lines = tuple(Line(round(TOP + INNER * (1 - part / 4), 1), _number(top * part / 4, language)) for part in range(5))
    if not counts:
        return Plot((), lines)
    room = (WIDTH - LEFT) / len(counts)
    gap = min(room * 0.15, 6.0)
    bars = tuple(
        Bar(
            x=round(LEFT + room * number + gap / 2, 2),
            y=round(TOP + INNER * (1 - count / top), 2),
            width=round(room - gap, 2),
            height=round(INNER * count / top, 2),
            label=label,
            value=_number(count, language),
            named=number % every == 0,
            thinned=number % (3 * every) != 0,
            late=bool(late and late[number]),
        )
        for number, (count, label) in enumerate(zip(counts, labels, strict=True))
    )
    return Plot(bars, lines)


def _top(most: int) -> int:
    """The end of the axis: the next of 4, 8, 12, 20, 40 and so on, so that its quarters are whole numbers."""
    power = 4
    while True:
        for factor in (1, 2, 3, 5):
            if most <= power * factor:
                return power * factor
        power *= 10


def _number(value: float, language: str) -> str:
    return format_decimal(value, "#,##0.##", locale=language)


def _moment(moment: datetime, width: timedelta, language: str) -> str:
    if width < timedelta(days=1):
        return format_datetime(moment, "EEE HH:mm", tzinfo=moment.tzinfo, locale=language)
    return format_date(moment, "d. MMM" if language == "de" else "d MMM", locale=language)
