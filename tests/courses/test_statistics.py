"""Figures of an assignment: nothing is lost or counted twice, and days begin at midnight."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.courses.statistics import MOST_STEPS, STEPS, Bin, Summary, distribution, over_time, summary

BERLIN = ZoneInfo("Europe/Berlin")
MOMENTS = st.datetimes(datetime(2026, 9, 1), datetime(2027, 4, 1), timezones=st.just(UTC))


@given(st.lists(st.floats(-5, 50)), st.floats(0.01, 40), st.integers(1, 20))
def test_every_score_is_in_one_bin(scores: list[float], most: float, bins: int) -> None:
    made = distribution(scores, most, bins)
    assert sum(one.count for one in made) == len(scores)
    regular = [one for one in made if one.high is not None]
    assert len(regular) == bins
    assert [one.high for one in regular[:-1]] == [one.low for one in regular[1:]]
    for number, one in enumerate(regular):
        last = number == bins - 1
        assert one.count == sum(
            1 for score in scores if score <= most and _inside(max(score, 0.0), one, last)
        )  # fmt: skip
    beyond = [one for one in made if one.high is None]
    assert sum(one.count for one in beyond) == sum(score > most for score in scores)


def _inside(score: float, one: Bin, last: bool) -> bool:
    assert one.high is not None
    return one.low <= score and (last or score < one.high)


def test_the_ends_of_bins() -> None:
    assert [one.count for one in distribution([0, 0.999, 1, 9.9, 10], 10)] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert distribution([11], 10)[-1] == Bin(10, None, 1)
    assert distribution([1, 2], 0) == []


def test_summary() -> None:
    assert summary([]) == Summary(0, 0.0, 0.0, 0.0, 0.0)
    assert summary([1, 2, 6]) == Summary(3, 3.0, 2, 1, 6)


@given(st.lists(MOMENTS, min_size=1, max_size=60))
def test_every_submission_is_in_one_step(moments: list[datetime]) -> None:
    steps, width = over_time(moments, BERLIN)
    assert len(steps) <= MOST_STEPS
    assert width in STEPS
    assert sum(step.count for step in steps) == steps[-1].until_now == len(moments)
    ends = [*(step.begins for step in steps[1:]), None]
    for step, end in zip(steps, ends, strict=True):
        inside = [one for one in moments if one >= step.begins and (end is None or one < end)]
        assert len(inside) == step.count
        assert (step.begins.minute, step.begins.second) == (0, 0)
        if width >= timedelta(days=1):
            assert step.begins.hour == 0, "a day begins at midnight, also when the clocks change"


def test_steps_are_as_fine_as_there_is_room_for() -> None:
    begin = datetime(2026, 10, 12, 8, 20, tzinfo=UTC)

    def width(last: timedelta) -> timedelta:
        return over_time([begin, begin + last], BERLIN)[1]

    assert width(timedelta(hours=30)) == timedelta(hours=1)
    assert width(timedelta(days=5)) == timedelta(hours=6)
    assert width(timedelta(days=30)) == timedelta(days=1)
    assert width(timedelta(days=200)) == timedelta(days=7)
    assert width(timedelta(days=9000)) == timedelta(days=28)
    assert over_time([], BERLIN)[0] == []


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    moments = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1, 2)]  # 2:30, 2:30 and 3:30 in Berlin
    steps, _ = over_time(moments, BERLIN)
    assert [step.count for step in steps] == [1, 1, 1]
    assert [step.begins.hour for step in steps] == [2, 2, 3]
