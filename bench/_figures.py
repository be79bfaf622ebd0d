"""What both benches say of the times that they took. Not a bench itself."""

import math
from collections.abc import Sequence


def percentile(times: Sequence[float], percent: int) -> float | None:
    """The nearest rank: the smallest of `times` that at least `percent` per cent of them do not exceed; None of none."""
    return sorted(times)[max(1, math.ceil(percent * len(times) / 100)) - 1] if times else None


def spread(times: Sequence[float]) -> dict[str, float | None]:
    """`p50_s` and `p95_s` of `times`, in seconds, rounded to hundredths."""
    both = ((percent, percentile(times, percent)) for percent in (50, 95))
    return {f"p{percent}_s": None if found is None else round(found, 2) for percent, found in both}
