"""Metrics that hub and lab service both have. Who counts them is told by Prometheus' label `job`.

Labels are bounded by the code or the catalogue: never a person, never text that somebody sent.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from prometheus_client import Counter, Histogram, disable_created_metrics

from kirzl_lab.problems import Problem

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which tells when it began

DATABASE_SECONDS = Histogram(
    "kirzl_lab_database_seconds",
    "How long a look into the lab database, or a change of it, took, in seconds.",
    ["access"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
DATABASE_AWAY = Counter(
    "kirzl_lab_database_away", "Looks into the lab database, and changes of it, that it did not answer in time."
)
REFUSALS = Counter("kirzl_lab_refusals", "Requests that were refused, by the slug of the problem.", ["problem"])

SHARED = (DATABASE_SECONDS, DATABASE_AWAY, REFUSALS)

# A 0 where nothing has happened yet, so that the first time is seen as a change.
for _problem in Problem.__subclasses__():
    if _problem.__module__ == Problem.__module__:
        REFUSALS.labels(_problem.slug)
for _access in ("read", "write"):
    DATABASE_SECONDS.labels(_access)


@contextmanager
def database(access: Literal["read", "write"]) -> Iterator[None]:
    """Measure how long the lab database takes for what is done in the block."""
    with DATABASE_SECONDS.labels(access).time():
        yield


def refused(problem: Problem) -> None:
    """Somebody is told a problem."""
    REFUSALS.labels(problem.slug).inc()
