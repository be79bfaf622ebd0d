"""Counts the starts of servers and how long people waited for them, wherever a handler starts one."""

import asyncio
import time
from functools import partial
from typing import Any

from kirzl_lab.hub import metrics
from kirzl_lab.hub.lab import the_lab


class CountedStart:
    """Mixed in before a handler of JupyterHub that starts servers.

    JupyterHub answers before a slow start is over; the start's own future tells how it ended.
    """

    async def spawn_single_user(
        self: Any, user: Any, server_name: str = "", display_name: str = "", options: Any = None
    ) -> None:
        """JupyterHub's, counted from the moment at which the request came."""
        clicked = time.perf_counter() - self.request.request_time()
        try:
            await super().spawn_single_user(user, server_name, display_name, options)  # type: ignore[misc]
        except BaseException as error:
            _watch(user.spawners[server_name], options, clicked, error)
            raise
        _watch(user.spawners[server_name], options, clicked, None)


def _watch(spawner: Any, options: Any, clicked: float, error: BaseException | None) -> None:
    size = metrics.known((options or spawner.user_options or {}).get("size"), the_lab().catalogue.sizes)
    start: asyncio.Future[None] | None = spawner._spawn_future
    if start is not None and not start.done():
        start.add_done_callback(partial(_count_done, size, clicked))
    elif start is not None and error is None:  # over meanwhile: JupyterHub keeps the future of a start that failed
        _count_done(size, clicked, start)
    else:
        _count(size, clicked, error)


def _count_done(size: str, clicked: float, start: "asyncio.Future[None]") -> None:
    _count(size, clicked, asyncio.CancelledError() if start.cancelled() else start.exception())


def _count(size: str, clicked: float, error: BaseException | None) -> None:
    outcome, reason = metrics.start_outcome(error)
    metrics.STARTS.labels(outcome, size, reason).inc()
    if outcome is metrics.Start.READY:
        metrics.START_SECONDS.labels(size).observe(time.perf_counter() - clicked)
