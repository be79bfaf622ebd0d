"""How the hub asks an institution's servers: bounded in time and size, no redirects, never blocking the event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPResponse
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from kirzl_lab.federation.addresses import may_be_asked
from kirzl_lab.federation.refusals import Unreachable
from kirzl_lab.federation.strict_json import read_object

CONNECT_LIMIT_S = 5.0
ANSWER_LIMIT_S = 5.0
LARGEST_ANSWER = 256 * 1024
"""In bytes, of a discovery document, a key set, a token response or userinfo, unpacked."""
LARGEST_READ = 2 * 1024 * 1024
"""In bytes. An answer between the two is read to its end, so that we can say that it came and was too large; at this
length the connection is cut, which looks like no answer."""
MOST_AT_ONCE = 64
"""Requests of the hub to one institution; more wait."""

LIMITS: dict[str, Any] = {
    "follow_redirects": False,
    "connect_timeout": CONNECT_LIMIT_S,
    "request_timeout": ANSWER_LIMIT_S,
    "validate_cert": True,
}

T = TypeVar("T")


class TooLarge(ValueError):  # noqa: N818 - reads as what happened where it is raised
    """An answer of more than `LARGEST_ANSWER`."""


def new_client() -> AsyncHTTPClient:
    """A client of one institution's own, so that a slow one takes no places from the others."""
    return SimpleAsyncHTTPClient(force_instance=True, max_clients=MOST_AT_ONCE, max_body_size=LARGEST_READ)


def body_of(response: HTTPResponse) -> bytes:
    """The body of an answer. Raises `TooLarge`."""
    if len(response.body) > LARGEST_ANSWER:
        raise TooLarge(f"{len(response.body)} bytes, more than {LARGEST_ANSWER}")
    return response.body


async def get_object(client: AsyncHTTPClient, url: str) -> dict[str, Any]:
    """The JSON object at `url`. Raises `Unreachable` when it cannot be had within the limits."""
    if not may_be_asked(url):
        raise Unreachable(f"{url} is neither https nor on loopback")
    try:
        response = await client.fetch(url, headers={"Accept": "application/json"}, **LIMITS)
        return read_object(body_of(response))
    except (HTTPClientError, OSError, ValueError) as error:
        raise Unreachable(f"{url}: {type(error).__name__} {error}"[:500]) from error


class Shared(Generic[T]):
    """Something that many wait for and one fetches: callers at the same time get the same answer or error."""

    def __init__(self, fetch: Callable[[], Awaitable[T]]) -> None:
        self._fetch = fetch
        self._task: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The answer of the fetch that is under way, or else of a new one. A caller that gives up ends nobody's wait."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())
            self._task.add_done_callback(_look_at)
        return await asyncio.shield(self._task)

    async def _run(self) -> T:
        return await self._fetch()


def _look_at(task: "asyncio.Task[Any]") -> None:
    """So that asyncio does not complain of an error for which nobody waited any more."""
    if not task.cancelled():
        task.exception()
