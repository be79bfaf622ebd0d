"""`python -P -m kirzl_lab.grading.carrier fetch|report ENDPOINT FOLDER`: carries a task's files into and out of its pod.

Runs in the containers beside the one with student code, with a token that works once, from the environment. On the
standard library and the lab's archives alone. Ends with 1 where the lab refused or did not answer, and with the status
of `Reason.OUTPUT` where what the submission left behind cannot be sent.
"""

import http.client
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kirzl_lab.grading.outcomes import EXIT_STATUS, Reason
from kirzl_lab.store import archives

Answer = TypeVar("Answer")

TOKEN = "KIRZL_LAB_TASK_TOKEN"  # noqa: S105 - the name of a variable
LIMIT_S = 60
CHUNK = 1 << 20
TRIES = 5
PAUSE_S = 2.0


def fetch(endpoint: str, folder: Path, token: str) -> None:
    """Unpack the task's prepared files into the new folder. The token is used up by the first answer."""
    asked = urllib.request.Request(f"{endpoint}/prepared", headers=_headers(token))  # noqa: S310 - from the lab
    with tempfile.TemporaryFile(dir=folder.parent) as spool:
        with _tried(lambda: urllib.request.urlopen(asked, timeout=LIMIT_S), _never_arrived) as answer:  # noqa: S310
            while chunk := answer.read(CHUNK):
                spool.write(chunk)
        spool.flush()
        archives.unpack(Path(f"/proc/self/fd/{spool.fileno()}"), folder)


def report(endpoint: str, folder: Path, token: str) -> None:
    """Send what is in the folder. Tried again while the lab does not answer: it takes one report."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:  # the one place that can be written to
        packed = Path(scratch, "executed.tar.gz")
        archives.pack(folder, packed)
        _tried(lambda: _send(f"{endpoint}/result", packed, token), _may_pass)


def _tried(ask: Callable[[], Answer], again: Callable[[Exception], bool]) -> Answer:
    for left in range(TRIES - 1, -1, -1):
        try:
            return ask()
        except (OSError, http.client.HTTPException) as error:
            if not (left and again(error)):
                raise
            time.sleep(PAUSE_S)  # the lab may be starting anew
    raise AssertionError("the last try returns or raises")


def _never_arrived(error: Exception) -> bool:
    return isinstance(error, urllib.error.URLError) and isinstance(error.reason, ConnectionRefusedError)


def _may_pass(error: Exception) -> bool:
    return not isinstance(error, urllib.error.HTTPError) or error.code >= 500


def _not_sent(error: Exception) -> bool:
    """Whether the lab takes no such files, now or later."""
    return isinstance(error, archives.ArchiveRefused) or (
        isinstance(error, urllib.error.HTTPError) and error.code in (413, 422)
    )


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
        return EXIT_STATUS[Reason.OUTPUT] if what == "report" and _not_sent(error) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
