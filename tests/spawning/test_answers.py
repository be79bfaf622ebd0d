"""Whether a server that starts answers already: slow, closed and absent ones are asked again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kirzl_lab.spawning.answering import answers

HEAD = b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n"


@asynccontextmanager
async def listener(answer: bytes | None) -> AsyncIterator[str]:
    """Something that accepts, and then answers so and closes; with None it stays silent."""
    done = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await done.wait()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api"
    finally:
        done.set()
        server.close()


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (None, False),
        (b"", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", False),
        (HEAD % 503, False),
        (HEAD % 403, True),
        (HEAD % 200, True),
    ],
    ids=["silent", "closed", "half", "starting", "refuses", "answers"],
)
async def test_what_counts_as_an_answer(answer: bytes | None, ready: bool) -> None:
    async with listener(answer) as url:
        assert await answers(url) is ready


async def test_nobody_listens() -> None:
    async with listener(b"") as url:
        pass
    assert not await answers(url)
