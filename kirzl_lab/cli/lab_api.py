"""The lab service's REST API, as commands use it: with a token of the person's own, and words for what goes wrong."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.state import Folder, read_note

TOKEN = "KIRZL_LAB_TOKEN"  # noqa: S105 - the name of a variable
LIMIT_S = 60.0


class LabApi:
    """Asks the lab. Every method raises `Stop` when the lab refuses or does not answer."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, path: str, **query: Any) -> Any:
        """What is at that path below `/services/lab/api/`."""
        return self._send("GET", path, params=query).json()

    def send(self, method: str, path: str, *, json: Any = None, body: bytes | None = None, **query: Any) -> Any:
        """The answer to a request that changes something, as JSON."""
        return self._send(method, path, params=query, json=json, content=body).json()

    def upload(self, method: str, path: str, archive: bytes, *, key: str | None = None, **query: Any) -> None:
        """Send an archive; with the same `key` it is the same submission, however often."""
        headers = {"Content-Type": "application/gzip"} | ({"Idempotency-Key": key} if key else {})
        self._send(method, path, params=query, content=archive, headers=headers)

    def archive(self, path: str) -> bytes:
        """A small archive, whole."""
        return self._send("GET", path).content

    def every(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """The items of a list, all of its pages."""
        found: list[dict[str, Any]] = []
        page = pages = 1
        while page <= pages:
            answer = self.get(path, **query, page=page, per_page=200)
            found += answer["items"]
            page, pages = page + 1, answer["pages"]
        return found

    def save(self, path: str, file: Path) -> int:
        """Write what is at that path into a new file, and return how many bytes it is; a part of it is none."""
        size = 0
        with _told(), self._client.stream("GET", path) as answer:
            if answer.is_error:
                answer.read()
            _must_succeed(answer)
            with file.open("xb") as stream:
                try:
                    for part in answer.iter_bytes():
                        stream.write(part)
                        size += len(part)
                except BaseException:
                    file.unlink()
                    raise
        return size

    def _send(self, method: str, path: str, **about: Any) -> httpx.Response:
        with _told():
            answer = self._client.request(method, path, **about)
        _must_succeed(answer)
        return answer


@contextmanager
def lab_api(url: str | None, data: Path, environment: Mapping[str, str] = os.environ) -> Iterator[LabApi]:
    """The lab at `url`, or the one that runs on the data folder. Raises `Stop` without an address or a token."""
    note = None if url else read_note(Folder.at(data))
    address = url or (note.url if note else None)
    if not address:
        raise Stop(Exit.USAGE, "Which lab? Say it with --url, for example --url https://lab.uni.example.")
    token = environment.get(TOKEN, "").strip()
    if not token:
        raise Stop(
            Exit.USAGE,
            f"Put a token of yours into the environment variable {TOKEN}: the lab's page “API tokens” makes one.",
        )
    base = f"{address.rstrip('/')}/services/lab/api/"
    try:
        client = httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=LIMIT_S)
    except (httpx.InvalidURL, ValueError):
        raise Stop(Exit.USAGE, f"{address} is no address of a lab.") from None
    with client:
        yield LabApi(client)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        reason = str(error) or type(error).__name__
        raise Stop(Exit.CANNOT, f"The lab does not answer ({reason}): look at the address, and try again.") from None


def _must_succeed(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    try:
        told = answer.json()
        sentence, slug = str(told["detail"]), str(told["slug"])
    except (ValueError, KeyError, TypeError):
        raise Stop(Exit.CANNOT, f"What answers there is no lab (HTTP status {answer.status_code}).") from None
    code = Exit.CANNOT if answer.is_server_error else Exit.NO
    raise Stop(code, sentence, details={"slug": slug, "status": answer.status_code})
