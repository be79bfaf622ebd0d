"""Runs inside a person's server: watches for work, tells the page how long the server goes on, and ends it.

Kernels and terminals are looked at every half minute, requests are seen as they are answered. What Jupyter itself
calls activity (and tells the hub) is more: a tab that nobody looks at asks for the list of kernels all day.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.ioloop import PeriodicCallback
from tornado.web import authenticated

from kirzl_lab.spawning.activity import Activity, Signs, Standing, is_work, last_words, look_every_s

HOURS = "KIRZL_LAB_IDLE_HOURS"
"""How long a server goes on without work. Where it is not set, for ever."""

LAST_WORDS = "KIRZL_LAB_TERMINATION_LOG"
"""The file in which a server that ends by itself leaves why: whoever started it reads it."""

ADDRESS = "kirzl-lab/idle"
"""GET tells how long the server goes on, POST says that somebody is there."""


class IdleEnd:
    """Ends the server when there was no work for `limit_s`."""

    def __init__(
        self, server: Any, limit_s: float, last_words_file: Path | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.activity = Activity(limit_s, clock)
        self._server = server
        self._file = last_words_file
        self._looking = PeriodicCallback(self.look, look_every_s(limit_s) * 1000)

    def watch(self) -> None:
        """Begin to look and to listen."""
        settings = self._server.web_app.settings
        settings["log_function"] = self._noticing(settings.get("log_function"))
        address = url_path_join(self._server.base_url, ADDRESS)
        self._server.web_app.add_handlers(".*$", [(address, IdleHandler, {"idle": self})])
        self._looking.start()

    def look(self) -> None:
        """Look once; the server ends when the time is up."""
        standing = self.activity.look(signs(self._server))
        if standing.over:
            self._end(standing)

    def _end(self, standing: Standing) -> None:
        self._looking.stop()
        self._server.log.warning("No work for %.0f s: this server ends. Its files are kept.", standing.idle_s)
        if self._file is not None:
            try:
                self._file.write_text(last_words(self.activity.limit_s), encoding="utf-8")
            except OSError:
                self._server.log.exception("%s cannot be written: why this server ended will not be told", self._file)
        self._server.stop()  # shuts down kernels and terminals, then the process ends with status 0

    def _noticing(self, log: Callable[[Any], None] | None) -> Callable[[Any], None]:
        """The function that Tornado calls after each answer."""

        def noticed(handler: Any) -> None:
            request = handler.request
            path = request.path.removeprefix(self._server.base_url)
            if is_work(request.method, path, handler.get_status()):
                self.activity.worked()
            if log is not None:
                log(handler)

        return noticed


class IdleHandler(APIHandler):
    """How long the server goes on, for our extension in its page."""

    _track_activity = False
    """To ask is no activity for the hub either."""

    def initialize(self, idle: IdleEnd) -> None:
        """Each server has one `IdleEnd`."""
        self.idle = idle

    @authenticated
    def get(self) -> None:
        """Seconds until the end, and whether people are to be told."""
        self._tell(self.idle.activity.standing())

    @authenticated
    def post(self) -> None:
        """Somebody is there: this is work like any other."""
        self.idle.activity.worked()
        self._tell(self.idle.activity.standing())

    def _tell(self, standing: Standing) -> None:
        self.finish({"left_s": standing.left_s, "warn_in_s": standing.warn_in_s, "warn": standing.warn})


def signs(server: Any) -> Signs:
    """What kernels and terminals of the server show; Jupyter keeps the times of both.

    A kernel's time moves with what is executed, completed or inspected there and with what it prints. It does not
    with a browser that connects (`MappingKernelManager.untracked_message_types`).
    """
    kernels = server.kernel_manager.list_kernels()
    # Some servers have no terminals: it is an extension of its own.
    terminals = getattr(server.web_app.settings.get("terminal_manager"), "terminals", {})
    return Signs(
        busy=any(kernel["execution_state"] == "busy" for kernel in kernels),
        marks=(
            frozenset((kernel["id"], kernel["last_activity"]) for kernel in kernels),
            frozenset((name, getattr(terminal, "last_activity", None)) for name, terminal in list(terminals.items())),
        ),
    )


def install(server: Any, environment: Mapping[str, str]) -> None:
    """Let the server end for lack of work, where the environment says after how long."""
    try:
        limit_s = float(environment.get(HOURS, "")) * 3600
    except ValueError:
        return
    if 0 < limit_s < float("inf"):
        file = environment.get(LAST_WORDS)
        IdleEnd(server, limit_s, Path(file) if file else None).watch()
