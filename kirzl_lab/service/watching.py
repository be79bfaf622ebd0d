"""Around every request to the lab service: its id, a line in the log, and the metrics."""

import logging
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kirzl_lab import logs
from kirzl_lab.service import metrics

LOG = logging.getLogger("kirzl_lab.service.requests")

QUIET = frozenset({"health", "ready", "metrics"})
"""Routes that machines ask all day: not in the log as long as all is well."""


class Watching:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request and take note of it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = logs.begin(Headers(scope=scope).get(logs.HEADER))
        began = time.perf_counter()
        status = 500  # of a mistake of ours: it is answered further out

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[logs.HEADER] = request_id
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            _note(scope, status, time.perf_counter() - began)


def _note(scope: Scope, status: int, seconds: float) -> None:
    route: Any = scope.get("route")
    metrics.answered(getattr(route, "path", None), scope["method"], status, seconds)
    level = logging.DEBUG if getattr(route, "name", "") in QUIET and status < 500 else logging.INFO
    LOG.log(level, "%s %s %s %.0f ms", scope["method"], scope["path"], status, seconds * 1000)
