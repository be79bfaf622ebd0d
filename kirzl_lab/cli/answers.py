"""Whether an address of the lab answers. Only the standard library: the inner supervisor asks with it."""

import asyncio
from urllib.parse import urlsplit

from kirzl_lab.cli.parts import Check

LIMIT_S = 2.0


async def status_of(url: str, limit_s: float = LIMIT_S) -> int | None:
    """The HTTP status that a GET of `url` (http only) gives, or None when nothing answers in time."""
    try:
        async with asyncio.timeout(limit_s):
            return await _get(url)
    except (OSError, TimeoutError, ValueError, IndexError):
        return None


async def answers(check: Check, limit_s: float = LIMIT_S) -> bool:
    """Whether a part answers as its check expects."""
    return await status_of(check.url, limit_s) in check.accept


async def _get(url: str) -> int:
    parts = urlsplit(url)
    # 127.0.0.1 whatever the name says: everything of a laptop's lab listens there, and `localhost` may be ::1 first.
    reader, writer = await asyncio.open_connection("127.0.0.1", parts.port or 80)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {parts.netloc}\r\nAccept: */*\r\n\r\n".encode())
        await writer.drain()
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()
