"""Names below `localhost` in Python: they mean loopback (RFC 6761, section 6.3), but only browsers know that here."""

import httpx

LOOPBACK = "127.0.0.1"


def address(host: str) -> str:
    """Where to connect for `host`."""
    return LOOPBACK if host == "localhost" or host.endswith(".localhost") else host


class Loopback(httpx.HTTPTransport):
    """Sends requests to `*.localhost` to loopback. Host header and cookies keep the name."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url.copy_with(host=address(request.url.host))
        there = httpx.Request(
            request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
        )
        return super().handle_request(there)
