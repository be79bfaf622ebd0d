"""Metrics of the lab service, at `/services/lab/metrics` (docs/reference/metrics.md).

Labels are bounded: routes by their templates, everything else by enumerations in the code.
"""

from enum import StrEnum

from prometheus_client import Counter, Histogram

UNMATCHED = "unmatched"
"""Stands for addresses that no route has."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Login(StrEnum):
    """How a login at the lab service ended."""

    OK = "ok"
    REFUSED = "refused"
    HUB_AWAY = "hub-away"


REQUESTS = Counter(
    "kirzl_lab_service_requests",
    "Requests to the lab service, by the template of their route and the class of the status.",
    ["route", "method", "status"],
)
REQUEST_SECONDS = Histogram(
    "kirzl_lab_service_request_seconds",
    "How long the lab service took to answer, in seconds.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
)
LOGINS = Counter("kirzl_lab_service_logins", "Logins at the lab service by way of the hub.", ["outcome"])
HUB_AWAY = Counter("kirzl_lab_service_hub_away", "Questions to the hub that it did not answer, or with a 5xx.")

GRACE_ENDS = Counter(
    "kirzl_lab_service_grace_ends", "Servers that were ended because their person may no longer open the space."
)

METRICS = (REQUESTS, REQUEST_SECONDS, LOGINS, HUB_AWAY, GRACE_ENDS)

for _outcome in Login:
    LOGINS.labels(_outcome)


def answered(route: str | None, method: str, status: int, seconds: float) -> None:
    """A request was answered."""
    name = route or UNMATCHED
    known = method if method in METHODS else "other"
    REQUESTS.labels(name, known, f"{status // 100}xx").inc()
    REQUEST_SECONDS.labels(name).observe(seconds)
