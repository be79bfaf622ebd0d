"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T | None], what: str, limit_s: float = 60) -> T:
    """The first true answer of `condition`; `AssertionError` that says `what` was awaited when the limit is over."""
    deadline = time.monotonic() + limit_s
    while True:
        if answer := condition():
            return answer
        assert time.monotonic() < deadline, f"{what}: not within {limit_s:g} s"
        time.sleep(0.05)  # between two looks, not instead of one
