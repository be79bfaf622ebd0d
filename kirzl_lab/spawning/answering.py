"""Whether a server answers."""

import asyncio

from tornado.httpclient import AsyncHTTPClient, HTTPClientError


async def answers(url: str) -> bool:
    """Whether something answers there within a second; a server that needs longer is asked again."""
    try:
        response = await AsyncHTTPClient().fetch(url, raise_error=False, follow_redirects=False, request_timeout=1)
    # tornado raises for a silent or closed connection, whatever `raise_error` says.
    except (OSError, asyncio.IncompleteReadError, HTTPClientError):
        return False
    return 100 < response.code < 500
