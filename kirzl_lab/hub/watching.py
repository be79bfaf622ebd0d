"""How one sees from outside what the hub does: its log, the ids of requests, and who may read its metrics."""

import logging
import logging.config
from collections.abc import Mapping
from typing import Any

from jupyterhub.log import CoroutineLogFormatter
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform

from kirzl_lab import logs

METRICS_TOKEN = "KIRZL_LAB_METRICS_TOKEN"  # noqa: S105 - the name of a variable
"""Names the token with which Prometheus reads `/hub/metrics` and the lab service's metrics."""


class HubFormatter(CoroutineLogFormatter):
    """JupyterHub's form of a line, cleaned."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without secrets."""
        return logs.clean(super().format(record))


class RequestId(OutputTransform):
    """Gives every request its id and sends it back.

    Tornado makes an output transform for each request before its handler runs, in the context that the handler's task
    inherits: the one place that JupyterHub's own handlers pass, too.
    """

    def __init__(self, request: HTTPServerRequest) -> None:
        self._id = logs.begin(request.headers.get(logs.HEADER))

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, _finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """The answer with the id in a header."""
        headers[logs.HEADER] = self._id
        return status_code, headers, chunk


def watch(c: Any, environment: Mapping[str, str]) -> None:
    """Configure JupyterHub so. Call it when its services, roles and tornado settings are there."""
    _logs(c, environment)
    c.JupyterHub.tornado_settings["transforms"] = [RequestId]
    token = environment.get(METRICS_TOKEN)
    if token:
        c.JupyterHub.services.append({"name": "metrics", "api_token": token, "display": False})
        c.JupyterHub.load_roles.append({"name": "metrics", "services": ["metrics"], "scopes": ["read:metrics"]})


def _logs(c: Any, environment: Mapping[str, str]) -> None:
    as_json = logs.as_json(environment)
    logging.captureWarnings(as_json)
    kind = logs.JsonFormatter if as_json else HubFormatter
    for handler in logging.getLogger("JupyterHub").handlers if as_json else ():
        handler.setFormatter(logs.JsonFormatter())  # for what it says while it still reads its configuration
    c.JupyterHub.logging_config = {
        # JupyterHub's own formatter with its format, of another class.
        "formatters": {"console": {"class": f"{kind.__module__}.{kind.__name__}"}},
        # Libraries that log by themselves write in the same form.
        "root": {"level": "WARNING", "handlers": ["console"]},
    }
