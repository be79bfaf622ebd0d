"""`python -P -m kirzl_lab.grading.carrier fetch|report ENDPOINT FOLDER`: carries a task's files into and out of its pod.

Runs in the containers beside the one with student code, with a token that works once, from the environment. On the
standard library and the lab's archives alone. Ends with 1 where the lab refused or did not answer.
"""

import http.client
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from kirzl_lab.store import archives

TOKEN = "KIRZL_LAB_TASK_TOKEN"  # noqa: S105 - the name of a variable
LIMIT_S = 60
CHUNK = 1 << 20
TRIES = 5
PAUSE_S = 2.0


def fetch(endpoint: str, folder: Path, token: str) -> None:
    """Unpack the task's prepared files into the new folder. The token is used up by the first try."""
    with tempfile.TemporaryFile(dir=folder.parent) as spool:
        asked = urllib.request.Request(f"{endpoint}/prepared", headers=_headers(token))  # noqa: S310 - from the lab
        with urllib.request.urlopen(asked, timeout=LIMIT_S) as answer:  # noqa: S310 - the same
            while chunk := answer.read(CHUNK):
                spool.write(chunk)
        spool.flush()
        archives.unpack(Path(f"/proc/self/fd/{spool.fileno()}"), folder)


def report(endpoint: str, folder: Path, token: str) -> None:
    """Send what is in the folder. Tried again while the lab does not answer: it takes one report."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:  # the one place that can be written to
        packed = Path(scratch, "executed.tar.gz")
        archives.pack(folder, packed)
        for left in range(TRIES - 1, -1, -1):
            try:
                return _send(f"{endpoint}/result", packed, token)
            except (OSError, http.client.HTTPException) as error:
                refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
                if refused or not left:
                    raise
                time.sleep(PAUSE_S)  # the lab may be starting anew
    return None


def _send(address: str, file: Path, token: str) -> None:
    headers = _headers(token) | {"Content-Type": "application/gzip", "Content-Length": str(file.stat().st_size)}
    with file.open("rb") as body:
        asked = urllib.request.Request(address, data=body, headers=headers, method="PUT")  # noqa: S310 - from the lab
        urllib.request.urlopen(asked, timeout=LIMIT_S).close()  # noqa: S310 - the same


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def main() -> int:
    """What is asked for on the command line; the status to end with."""
    what, endpoint, folder = sys.argv[1:]
    token = os.environ.pop(TOKEN)
    try:
        {"fetch": fetch, "report": report}[what](endpoint, Path(folder), token)
    except (OSError, http.client.HTTPException, archives.ArchiveRefused) as error:
        print(f"{what}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
