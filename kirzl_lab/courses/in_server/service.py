"""The lab service, asked by a person's server with the server's own token. Blocking: callers have threads.

Guarantees: every question ends in bounded time; files are streamed both ways, whatever their size; what goes wrong is
a `ServiceError` whose text tells people what to do next.
"""

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from time import sleep
from types import MappingProxyType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

URL = "KIRZL_LAB_SERVICE_URL"
"""The variable with the address of the service, which ends in its prefix."""
TOKEN = "JUPYTERHUB_API_TOKEN"  # noqa: S105 - the name of a variable
"""The variable with the server's own token: the service takes person, space and purpose from it."""

LIMITS = httpx.Timeout(10, connect=3)
"""Seconds without any progress before a question is given up."""
TRANSFER_LIMITS = httpx.Timeout(60, connect=3)
"""The same for files: the service writes an archive to its blob store before it answers."""
CHUNK = 256 * 1024

QUICK = (0.3, 1.0)
"""Seconds before the second and third try to fetch something, on average."""
PATIENT = (0.5, 1.0, 2.0, 4.0, 8.0)
"""The same for handing in: a service that is started anew is there again after these."""
WORTH_ANOTHER_TRY = frozenset({408, 429, 500, 502, 503, 504})

AWAY = (
    "The lab does not answer at the moment. Nothing is lost, your files are as they were: please try again in a "
    "minute. If it stays like this, tell the people who run the lab."
)
OUT_OF_DATE = (
    "The lab does not know this server any more. Save your work, stop the server under My spaces and start it again."
)
NO_LAB = "This is no server of a lab: there is no exchange here. Start the course under My spaces."
DAMAGED = "What the lab sent arrived damaged. Please try again."

Answer = TypeVar("Answer")


class ServiceError(Exception):
    """The service is away (status 0) or refuses; the text says what to do next."""

    def __init__(self, text: str, status: int = 0, slug: str = "") -> None:
        self.status = status
        self.slug = slug
        super().__init__(text)


class LabService:
    """The REST API of the lab service. Paths are below `/api/courses/COURSE`. Used in a `with`."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        url, token = environment.get(URL), environment.get(TOKEN)
        if not url or not token:
            raise ServiceError(NO_LAB)
        self._client = httpx.Client(
            base_url=url.rstrip("/") + "/api",
            headers={"Authorization": f"token {token}", "Accept-Language": "en"},
            timeout=LIMITS,
            trust_env=False,  # it is in the same network: a proxy for packages has no way to it
        )

    def __enter__(self) -> Self:
        """Open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._client.close()

    # -- what there is -----------------------------------------------------------------------------------------

    def spaces(self) -> list[dict[str, Any]]:
        """What the person may open, by name."""
        return list(self._json("/spaces")["spaces"])

    def assignments(self, course: str) -> list[dict[str, Any]]:
        """The assignments of the course that the person may see, with their own submissions to each."""
        return list(self._json(f"{_course(course)}/assignments")["assignments"])

    def submissions(self, course: str, assignment: str = "", student: str = "") -> list[dict[str, Any]]:
        """What was handed in, oldest first; for people who run the course."""
        asked = {name: value for name, value in (("assignment", assignment), ("student", student)) if value}
        found: list[dict[str, Any]] = []
        page, pages = 1, 1
        while page <= pages:
            answer = self._json(f"{_course(course)}/submissions", asked | {"page": str(page), "per_page": "200"})
            found += answer["submissions"]
            page, pages = page + 1, int(answer["pages"])
        return found

    # -- grading -----------------------------------------------------------------------------------------------

    def grade(self, course: str, assignment: str, students: list[str] | None) -> dict[str, Any]:
        """Begin to grade what these students handed in last, or everybody; the run."""
        path = f"{_course(course)}{path_of(assignment, 'runs')}"
        return self._object(self._trying(lambda: _checked(self._client.post(path, json={"students": students})), ()))

    def run(self, course: str, run: int) -> dict[str, Any]:
        """A run, how far it is, and its tasks."""
        return self._json(f"{_course(course)}/runs/{run}", waits=QUICK)

    def graded(self, course: str) -> list[dict[str, Any]]:
        """What is graded: the newest folder of each submission."""
        return list(self._json(f"{_course(course)}/graded")["graded"])

    # -- files -------------------------------------------------------------------------------------------------

    def download(self, course: str, path: str, to: Path) -> None:
        """Write the archive at `path` to the file `to`."""

        def once() -> None:
            with self._client.stream("GET", _course(course) + path, timeout=TRANSFER_LIMITS) as answer:
                _check(answer)
                digest = hashlib.sha256()
                with to.open("wb") as file:
                    for data in answer.iter_bytes(CHUNK):
                        digest.update(data)
                        file.write(data)
                if answer.headers.get("etag", "").strip('"') != digest.hexdigest():
                    raise ServiceError(DAMAGED, 502)

        self._trying(once, QUICK)

    def upload(self, method: str, course: str, path: str, file: Path, **asked: str) -> None:
        """Send the archive `file` to `path`."""
        self._upload(method, course, path, file, asked=asked)

    def submit(self, course: str, assignment: str, file: Path, key: str) -> dict[str, Any]:
        """Hand in the archive `file`; the submission. With the same key it is the same submission, however often."""
        path = f"/assignments/{quote(assignment, safe='')}/submissions"
        return dict(self._upload("POST", course, path, file, headers={"Idempotency-Key": key}, waits=PATIENT).json())

    def delete(self, course: str, path: str) -> None:
        """Have what is at `path` gone."""
        self._trying(lambda: _checked(self._client.delete(_course(course) + path)), QUICK)

    def _upload(
        self,
        method: str,
        course: str,
        path: str,
        file: Path,
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        asked: Mapping[str, str] = MappingProxyType({}),
        waits: tuple[float, ...] = QUICK,
    ) -> httpx.Response:
        about = {"Content-Type": "application/gzip", "Content-Length": str(file.stat().st_size), **headers}

        def once() -> httpx.Response:
            return _checked(
                self._client.request(
                    method,
                    _course(course) + path,
                    content=_chunks(file),
                    headers=about,
                    params=dict(asked),
                    timeout=TRANSFER_LIMITS,
                )
            )

        return self._trying(once, waits)

    # -- how ---------------------------------------------------------------------------------------------------

    def _json(self, path: str, asked: Mapping[str, str] | None = None, waits: tuple[float, ...] = ()) -> dict[str, Any]:
        # Once alone: somebody waits in front of a page, and formgrader's pages ask on the server's event loop.
        return self._object(self._trying(lambda: _checked(self._client.get(path, params=asked)), waits))

    def _object(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ServiceError(AWAY)
        return found

    def _trying(self, once: Callable[[], Answer], waits: tuple[float, ...]) -> Answer:
        for wait in (*waits, None):
            try:
                return once()
            except ServiceError as error:
                if wait is None or error.status not in WORTH_ANOTHER_TRY:
                    raise
            except httpx.TransportError as error:
                if wait is None:
                    raise ServiceError(AWAY) from error
            # Not all at once: hundreds may have been told to come again.
            sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
        raise AssertionError("the last try returns or raises")


def path_of(assignment: str, what: str) -> str:
    """Where something of an assignment is: its `release`, its `source`."""
    return f"/assignments/{quote(assignment, safe='')}/{what}"


def _course(name: str) -> str:
    return f"/courses/{quote(name, safe='')}"


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while data := stream.read(CHUNK):
            yield data


def _checked(answer: httpx.Response) -> httpx.Response:
    _check(answer)
    return answer


def _check(answer: httpx.Response) -> None:
    """Raises `ServiceError` in the service's own words unless the answer is one of success."""
    if answer.is_success:
        return
    details: Any = None
    with suppress(ValueError, httpx.HTTPError):
        answer.read()
        details = answer.json()
    if not isinstance(details, dict) or "detail" not in details:
        raise ServiceError(AWAY, answer.status_code)
    slug, text = str(details.get("slug", "")), str(details["detail"])
    if answer.status_code == 401:
        text = OUT_OF_DATE
    raise ServiceError(text, answer.status_code, slug)
