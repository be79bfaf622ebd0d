"""What runs in the hub's process: JupyterHub, started a second of CPU sooner.

JupyterHub imports `jupyter_events`, which builds a grammar that nothing here uses: decision 403 tells the story, and does
the same for servers.
"""

import sys
from types import ModuleType

from tornado.httpserver import HTTPServer
from tornado.simple_httpclient import SimpleAsyncHTTPClient

LONGEST_BODY = 1_000_000
"""Bytes of the body of a request to the hub: forms and JSON of a few kilobytes at most."""

BODY_LIMIT_S = 30.0
"""How long a body may take to arrive."""


def main() -> None:
    """Become JupyterHub; the arguments are its own."""
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment] # makes the import fail, see importlib
    from jupyterhub.app import main as jupyterhub  # noqa: PLC0415 - only after the line above

    limit_bodies()
    without_curl()
    jupyterhub()


def limit_bodies() -> None:
    """Have every HTTP server that this process makes from now on refuse long bodies, and stop waiting for slow ones.

    JupyterHub makes its server itself and passes no limits, so Tornado's 100 MB hold: kept in memory before any handler
    asks who is there. `configure` is Tornado's own way to give defaults to servers that others make.
    """
    HTTPServer.configure(None, max_body_size=LONGEST_BODY, body_timeout=BODY_LIMIT_S)


def without_curl() -> None:
    """Have Tornado's own HTTP client wherever curl's is asked for.

    Zero to JupyterHub's configuration asks for it, for a use that JupyterHub 6 no longer has; without the 17 MB of libraries
    behind it, it would fail. And where they are installed, the hub would have another client than in our tests.
    """
    module = ModuleType("tornado.curl_httpclient")
    module.CurlAsyncHTTPClient = SimpleAsyncHTTPClient  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module


if __name__ == "__main__":
    main()
