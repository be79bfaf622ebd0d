"""The panels of the dashboard: what they ask Prometheus, and in which words they say what it means.

Counters are shown as events per interval: a lab has hundreds of starts a day, and "0.003 starts a second" tells nobody
anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

LAB = 'namespace="$namespace"'
GOOD, WARNING, BAD, CALM, PLAIN = "#2f9e6e", "#e0a325", "#d1495b", "#8a94a6", "#3d7dd8"

COLOURS: Mapping[str, Mapping[str, str]] = {
    "{{outcome}}": {"ready": GOOD, "refused": WARNING, "failed": BAD, "cancelled": CALM},
    "{{status}}": {"2xx": GOOD, "3xx": CALM, "4xx": WARNING, "5xx": BAD},
    "{{reason}}": {"asked": GOOD, "idle": CALM, "itself": CALM, "memory": BAD},
    "p50": {"p50": PLAIN},
    "p95": {"p95": WARNING},
}
"""Legend -> what it may say -> its colour; everything else takes the next one of Grafana's."""


@dataclass(frozen=True)
class Panel:
    """A panel: its queries by legend, and how they are drawn."""

    title: str
    says: str
    queries: Mapping[str, str]
    """Legend -> expression."""
    width: int
    height: int = 8
    kind: Literal["timeseries", "stat"] = "timeseries"
    unit: str = "short"
    style: Literal["lines", "bars", "area"] = "lines"
    steps: Sequence[tuple[float | None, str]] = field(default=((None, PLAIN),))
    """For a number: from which value on it has which colour."""


@dataclass(frozen=True)
class Row:
    """A heading and its panels, from left to right."""

    title: str
    panels: Sequence[Panel]


def quantile(part: float, metric: str, labels: str, by: str = "") -> str:
    """The quantile of a histogram."""
    return f"histogram_quantile({part}, sum by (le{by}) (rate({metric}_bucket{{{labels}}}[$__rate_interval])))"


def events(metric: str, labels: str, by: str) -> str:
    """How many events an interval had."""
    return f"sum by ({by}) (increase({metric}{{{labels}}}[$__interval]))"


FAILED = f'kirzl_lab_server_starts_total{{{LAB}, outcome="failed"}}'
ASKED = f'{LAB}, problem!="not-logged-in"'
"""The hub looks every minute whether the lab service is there, and is no person."""
TROUBLE = ((None, GOOD), (1.0, WARNING), (5.0, BAD))

ROWS = (
    Row(
        "Now",
        (
            Panel(
                "Running servers",
                "Servers that people have open.",
                {"servers": f"sum(kirzl_lab_running_servers{{{LAB}}})"},
                width=4,
                height=4,
                kind="stat",
            ),
            Panel(
                "Starts, last hour",
                "Starts that ended with a server.",
                {"starts": f'sum(increase(kirzl_lab_server_starts_total{{{LAB}, outcome="ready"}}[1h]))'},
                width=4,
                height=4,
                kind="stat",
            ),
            Panel(
                "Failed starts, last hour",
                "Starts that ended with an error. What a full lab refuses is not among them.",
                {"failed": f"sum(increase({FAILED}[1h]))"},
                width=4,
                height=4,
                kind="stat",
                steps=TROUBLE,
            ),
            Panel(
                "Waiting time, 95 %, last hour",
                "From the click to a server that is ready: 95 of 100 people waited less.",
                {
                    "p95": f"histogram_quantile(0.95, sum by (le) (increase(kirzl_lab_server_start_seconds_bucket{{{LAB}}}[1h])))"
                },
                width=4,
                height=4,
                kind="stat",
                unit="s",
                steps=((None, GOOD), (30.0, WARNING), (60.0, BAD)),
            ),
            Panel(
                "Failed logins, last hour",
                "What institutions sent did not pass, or they did not answer.",
                {"failed": f'sum(increase(kirzl_lab_logins_total{{{LAB}, outcome=~"refused|unreachable|other"}}[1h]))'},
                width=4,
                height=4,
                kind="stat",
                steps=TROUBLE,
            ),
            Panel(
                "Lab database away, last hour",
                "Questions that the lab database did not answer in time.",
                {"away": f"sum(increase(kirzl_lab_database_away_total{{{LAB}}}[1h]))"},
                width=4,
                height=4,
                kind="stat",
                steps=TROUBLE,
            ),
        ),
    ),
    Row(
        "Starts",
        (
            Panel(
                "Starts by outcome",
                "Refused starts are told to the person in a sentence; nobody has to mend anything.",
                {"{{outcome}}": events("kirzl_lab_server_starts_total", LAB, "outcome")},
                width=8,
                style="bars",
            ),
            Panel(
                "Waiting time",
                "From the click to a server that is ready.",
                {
                    "p50": quantile(0.5, "kirzl_lab_server_start_seconds", LAB),
                    "p95": quantile(0.95, "kirzl_lab_server_start_seconds", LAB),
                },
                width=8,
                unit="s",
            ),
            Panel(
                "Failed starts by reason",
                "docs/runbooks/LabStartsFail.md tells what each reason means.",
                {"{{reason}}": events("kirzl_lab_server_starts_total", f'{LAB}, outcome="failed"', "reason")},
                width=8,
                style="bars",
            ),
        ),
    ),
    Row(
        "Servers",
        (
            Panel(
                "Running servers by size",
                "Read from the hub, also after its restart.",
                {"{{size}}": f"sum by (size) (kirzl_lab_running_servers{{{LAB}}})"},
                width=16,
                style="area",
            ),
            Panel(
                "Ends by reason",
                "`asked`: somebody stopped it. `idle`: nothing was done in it. `memory`: it needed more than its size has.",
                {"{{reason}}": events("kirzl_lab_server_ends_total", LAB, "reason")},
                width=8,
                style="bars",
            ),
        ),
    ),
    Row(
        "Logins and refusals",
        (
            Panel(
                "Logins by institution",
                "Logins that worked.",
                {"{{institution}}": events("kirzl_lab_logins_total", f'{LAB}, outcome="ok"', "institution")},
                width=8,
                style="bars",
            ),
            Panel(
                "Logins that did not work",
                "`stray` is what anybody can send; `cancelled` and `expired` are people who changed their mind.",
                {
                    "{{institution}}: {{outcome}}": events(
                        "kirzl_lab_logins_total", f'{LAB}, outcome!="ok"', "institution, outcome"
                    )
                    + " > 0"
                },
                width=8,
                style="bars",
            ),
            Panel(
                "Refusals by problem",
                "What people were told, by the problem's slug (docs/reference/lab-service.md).",
                {"{{problem}}": f"topk(8, {events('kirzl_lab_refusals_total', ASKED, 'problem')}) > 0"},
                width=8,
                style="bars",
            ),
        ),
    ),
    Row(
        "Lab service",
        (
            Panel(
                "Requests by status",
                "Requests to the lab service.",
                {"{{status}}": events("kirzl_lab_service_requests_total", LAB, "status")},
                width=8,
                style="bars",
            ),
            Panel(
                "Slowest routes, 95 %",
                "The five routes that take longest to answer.",
                {"{{route}}": f"topk(5, {quantile(0.95, 'kirzl_lab_service_request_seconds', LAB, ', route')})"},
                width=8,
                unit="s",
            ),
            Panel(
                "What it did not get an answer to",
                "Questions to the hub, and logins by way of it, that failed; servers ended for want of a right.",
                {
                    "hub away": f"sum(increase(kirzl_lab_service_hub_away_total{{{LAB}}}[$__interval]))",
                    "logins {{outcome}}": events("kirzl_lab_service_logins_total", f'{LAB}, outcome!="ok"', "outcome"),
                    "servers ended": f"sum(increase(kirzl_lab_service_grace_ends_total{{{LAB}}}[$__interval]))",
                },
                width=8,
                style="bars",
            ),
        ),
    ),
    Row(
        "Underneath",
        (
            Panel(
                "Lab database, 95 %",
                "How long a look or a change took, as hub and lab service see it.",
                {"{{job}} {{access}}": quantile(0.95, "kirzl_lab_database_seconds", LAB, ", job, access")},
                width=8,
                unit="s",
            ),
            Panel(
                "Event loop of the hub, 99 %",
                "How long the hub stands still: everybody waits meanwhile.",
                {"p99": quantile(0.99, "jupyterhub_event_loop_interval_seconds", f'{LAB}, job="hub"')},
                width=8,
                unit="s",
            ),
            Panel(
                "Memory",
                "Resident memory of hub and lab service.",
                {"{{job}}": f'sum by (job) (process_resident_memory_bytes{{{LAB}, job=~"hub|service"}})'},
                width=8,
                unit="bytes",
            ),
        ),
    ),
)
