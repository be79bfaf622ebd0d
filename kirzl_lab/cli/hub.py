"""What runs in the hub's process: JupyterHub, started a second of CPU sooner.

JupyterHub imports `jupyter_events`, which builds a grammar that nothing here uses: decision 403 tells the story, and does
the same for servers.
"""

import sys


def main() -> None:
    """Become JupyterHub; the arguments are its own."""
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment] # makes the import fail, see importlib
    from jupyterhub.app import main as jupyterhub  # noqa: PLC0415 - only after the line above

    jupyterhub()


if __name__ == "__main__":
    main()
