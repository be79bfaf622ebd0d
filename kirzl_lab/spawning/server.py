"""What runs in a server's process: JupyterHub's single-user server, started in half the time.

`jupyter_events` brings in `jsonschema`, which imports `rfc3987_syntax` where it is installed; that builds a parser for
the grammar of IRIs at import, for a second of CPU. It is needed only to check the formats `iri` and `iri-reference`,
which no schema of Jupyter uses; jsonschema does without when the import fails.
"""

import sys

from kirzl_lab import logs


def main() -> None:
    """Become JupyterHub's single-user server."""
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment] # makes the import fail, see importlib
    from jupyterhub.singleuser import main as singleuser  # noqa: PLC0415 - only after the line above

    logs.clean_records()
    singleuser()


if __name__ == "__main__":
    main()
