"""The reference of the lab's metrics, made from the metrics: `python -m kirzl_lab.cli.metrics_reference`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client.metrics_core import Metric

from kirzl_lab.hub import metrics as hub
from kirzl_lab.metrics import SHARED
from kirzl_lab.service import metrics as service

PAGE = "docs/reference/metrics.md"

SIZE = "a size of the catalogue, or `other`"
PROBLEM = "the slug of a problem ([all of them](lab-service.md#problems))"

SAMPLES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
"""Type of a metric -> how the names of its samples end."""


def _one_of(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in sorted(values))


VALUES: Mapping[str, Mapping[str, str]] = {
    "kirzl_lab_server_starts": {
        "outcome": _one_of(hub.Start),
        "size": SIZE,
        "reason": f"of failed ones {_one_of(hub.FAILURES)}; of refused ones `throttled` or {PROBLEM}; else `none`",
    },
    "kirzl_lab_server_start_seconds": {"size": SIZE},
    "kirzl_lab_running_servers": {"size": SIZE, "kind": "a kind of space: `course`; or `other`"},
    "kirzl_lab_server_ends": {"size": SIZE, "reason": _one_of(hub.End)},
    "kirzl_lab_logins": {"institution": "an institution of the catalogue", "outcome": _one_of(hub.Login)},
    "kirzl_lab_database_seconds": {"access": "`read`, `write`"},
    "kirzl_lab_refusals": {"problem": PROBLEM},
    "kirzl_lab_service_requests": {
        "route": "the template of the route, below `/services/lab`; or `unmatched`",
        "method": "the HTTP method, or `other`",
        "status": "`2xx`, `3xx`, `4xx`, `5xx`",
    },
    "kirzl_lab_service_request_seconds": {"route": "as above"},
    "kirzl_lab_service_logins": {"outcome": _one_of(service.Login)},
}
"""Metric -> label -> what stands there."""


def families(metrics: Sequence[Any]) -> list[Metric]:
    """Name, type and help of each metric."""
    return [family for metric in metrics for family in metric.collect()]


def hub_families() -> list[Metric]:
    """Our metrics at the hub's endpoint."""
    return families([*hub.METRICS, hub.RUNNING, *SHARED])


def service_families() -> list[Metric]:
    """The metrics at the lab service's endpoint."""
    return families([*service.METRICS, *SHARED])


def sample_names(family: Metric) -> list[str]:
    """The names by which Prometheus knows a metric."""
    return [family.name + end for end in SAMPLES[family.type]]


def markdown() -> str:
    """The page."""
    parts = [
        "# Metrics",
        "Made from `kirzl_lab` by `python -m kirzl_lab.cli.metrics_reference`; a test fails when it is out of date.",
        "Hub and lab service tell Prometheus what they do. Both want the lab's token for metrics, as "
        "`Authorization: Bearer ...`: on a laptop it is in `<data>/secrets/metrics_token`, in a cluster under "
        "`KIRZL_LAB_METRICS_TOKEN` in the Secret `lab-metrics`. The chart makes what the Prometheus operator and "
        "Grafana need: see `monitoring` in its values.",
        "No label holds a person, or anything that somebody typed.",
        "## Hub: `/hub/metrics`",
        _table(hub_families()),
        "JupyterHub's own metrics (`jupyterhub_...`) and the process's (`process_...`, `python_...`) are there, too. Of "
        "these the lab's alerts use `jupyterhub_event_loop_interval_seconds`: how long the hub stood still.",
        "## Lab service: `/services/lab/metrics`",
        _table(service_families()),
        "The process's own metrics (`process_...`, `python_...`) are there, too. What both processes have is told apart "
        "by Prometheus' label `job`.",
    ]
    return "\n\n".join(parts) + "\n"


def _table(those: Iterable[Metric]) -> str:
    lines = [
        f"| `{family.name}{'_total' if family.type == 'counter' else ''}` | {family.type} | "
        f"{_labels(family.name)} | {family.documentation} |"
        for family in those
    ]
    return "\n".join(["| name | type | labels | what |", "|---|---|---|---|", *lines])


def _labels(name: str) -> str:
    return "<br>".join(f"`{label}`: {values}" for label, values in VALUES.get(name, {}).items())


if __name__ == "__main__":
    Path(PAGE).write_text(markdown(), encoding="utf-8")
