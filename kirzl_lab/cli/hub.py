"""What runs in the hub's process: JupyterHub, started a second of CPU sooner.

JupyterHub imports `jupyter_events`, which builds a grammar that nothing here uses: decision 403 tells the story, and does
the same for servers.
"""

import sys

from tornado.httpserver import HTTPServer

LONGEST_BODY = 1_000_000
"""Bytes of the body of a request to the hub: forms and JSON of a few kilobytes at most."""

BODY_LIMIT_S = 30.0
"""How long a body may take to arrive."""


def main() -> None:
    """Become JupyterHub; the arguments are its own."""
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment] # makes the import fail, see importlib
    from jupyterhub.app import main as jupyterhub  # noqa: PLC0415 - only after the line above

    limit_bodies()
    jupyterhub()


def limit_bodies() -> None:
    """Have every HTTP server that this process makes from now on refuse long bodies, and stop waiting for slow ones.

    JupyterHub makes its server itself and passes no limits, so Tornado's 100 MB hold: kept in memory before any handler
    asks who is there. `configure` is Tornado's own way to give defaults to servers that others make.
    """
    HTTPServer.configure(None, max_body_size=LONGEST_BODY, body_timeout=BODY_LIMIT_S)


if __name__ == "__main__":
    main()
