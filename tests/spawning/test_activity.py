"""From signs of work to the end of a server that has none, on a clock that the tests turn."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.spawning.activity import (
    WARNING_S,
    Activity,
    Signs,
    is_work,
    last_words,
    look_every_s,
)

QUIET = Signs(busy=False, marks=())
BUSY = Signs(busy=True, marks=())
LIMIT_S = 7200.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def watched(limit_s: float = LIMIT_S) -> tuple[Activity, Callable[[float], None]]:
    clock = Clock()

    def later(seconds: float) -> None:
        clock.now += seconds

    activity = Activity(limit_s, clock)
    activity.look(QUIET)
    return activity, later


def test_two_hours_without_work_end_a_server_and_not_a_second_less() -> None:
    activity, later = watched()
    later(LIMIT_S - 1)
    assert not activity.look(QUIET).over
    later(1)
    assert activity.look(QUIET).over


def test_a_busy_kernel_is_work_for_days() -> None:
    activity, later = watched()
    for _ in range(5 * 24 * 120):
        later(30)
        assert activity.look(BUSY).idle_s == 0


def test_the_time_counts_from_when_the_kernel_was_last_seen_busy() -> None:
    activity, later = watched()
    later(LIMIT_S)
    activity.look(BUSY)
    later(600)
    assert activity.look(QUIET).idle_s == 600


def test_what_ran_between_two_looks_is_work() -> None:
    activity, later = watched()
    activity.look(Signs(busy=False, marks=("kernel", "08:00")))
    later(LIMIT_S)
    assert activity.look(Signs(busy=False, marks=("kernel", "08:01"))).idle_s == 0


def test_somebody_who_says_so_is_still_here() -> None:
    activity, later = watched()
    later(LIMIT_S - 1)
    assert activity.standing().warn
    activity.worked()
    assert (activity.standing().left_s, activity.standing().warn) == (LIMIT_S, False)


@pytest.mark.parametrize(("limit_s", "warned_s"), [(LIMIT_S, WARNING_S), (1200, 600), (600, 300), (8, 4)])
def test_the_warning_comes_ten_minutes_before_or_at_half_time(limit_s: float, warned_s: float) -> None:
    activity, later = watched(limit_s)
    later(limit_s - warned_s - 1)
    assert not activity.standing().warn
    later(1)
    assert activity.standing().warn


@given(st.lists(st.tuples(st.floats(0, 4000), st.booleans(), st.integers(0, 2), st.booleans())))
def test_idle_is_the_time_since_the_last_sign(steps: list[tuple[float, bool, int, bool]]) -> None:
    """Compared with a count by hand: the model knows only when there was work."""
    activity, later = watched()
    idle, marks = 0.0, 0
    activity.look(Signs(busy=False, marks=marks))
    for seconds, busy, mark, told in steps:
        later(seconds)
        idle += seconds
        if told:
            activity.worked()
        standing = activity.look(Signs(busy=busy, marks=mark))
        if busy or told or mark != marks:
            idle = 0.0
        marks = mark
        assert standing.idle_s == pytest.approx(idle, abs=1e-6)
        assert standing.left_s == pytest.approx(max(0.0, LIMIT_S - idle), abs=1e-6)
        assert standing.over == (standing.left_s == 0)
        assert standing.warn or not standing.over, "nobody is ended without a warning"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "api/contents/a.ipynb"),
        ("POST", "api/contents/materials"),
        ("PATCH", "api/contents/a.ipynb"),
        ("DELETE", "api/contents/a.ipynb"),
        ("POST", "api/sessions"),
        ("POST", "assignments/submit"),
        ("PUT", "formgrader/api/grade/1"),
    ],
)
def test_what_changes_something_is_work_when_it_worked(method: str, path: str) -> None:
    assert is_work(method, path, 201)
    assert not is_work(method, path, 403), "a save that is refused is tried again for ever"


@pytest.mark.parametrize("path", ["api/kernels", "api/sessions", "api/contents/a.ipynb", "api/terminals", "lab"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_look_is_no_work(method: str, path: str) -> None:
    assert not is_work(method, path, 200)


def test_which_tabs_are_open_is_no_work() -> None:
    assert not is_work("PUT", "lab/api/workspaces/default", 204)


@given(st.floats(min_value=0.0001, max_value=168))
def test_short_limits_are_looked_at_often_enough_to_warn(hours: float) -> None:
    assert 0 < look_every_s(hours * 3600) <= 30
    assert look_every_s(hours * 3600) < hours * 3600 / 2


def test_last_words_say_after_how_long() -> None:
    assert last_words(7200) == "idle 2"
    assert last_words(1800) == "idle 0.5"
