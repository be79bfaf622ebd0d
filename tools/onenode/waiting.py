"""Waiting for a condition: never a fixed time, and never for ever."""

import time
from collections.abc import Callable

_BETWEEN = 0.1  # seconds between two looks


def until(condition: Callable[[], object], what: str, within: float) -> None:
    """Returns as soon as the condition holds; raises `TimeoutError`, which names `what`, after `within` seconds."""
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"Waited {within:.0f} s for {what}.")
        time.sleep(_BETWEEN)
