"""The hub's process: its HTTP server takes no long bodies, its HTTP client is Tornado's own."""

import sys
from collections.abc import Iterator

import httpx
import pytest
from tornado import httpclient, httpserver, web
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from tornado.testing import bind_unused_port

from kirzl_lab.cli.hub import LONGEST_BODY, limit_bodies, without_curl


class Echo(web.RequestHandler):
    def post(self) -> None:
        self.write(str(len(self.request.body)))


@pytest.fixture
def limited() -> Iterator[None]:
    saved = httpserver.HTTPServer._save_configuration()
    limit_bodies()
    yield
    httpserver.HTTPServer._restore_configuration(saved)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_long_body_is_refused_before_any_handler(limited: None, chunked: bool) -> None:
    # Made as JupyterHub makes its own (jupyterhub/app.py, start).
    server = httpserver.HTTPServer(web.Application([("/", Echo)]), ssl_options=None, xheaders=True)
    socket, port = bind_unused_port()
    server.add_socket(socket)

    async def pieces(size: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
        for _ in range(size // 1000):
            yield b"x" * 1000

    def body(size: int) -> object:
        return pieces(size) if chunked else b"x" * size

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.post("/", content=body(LONGEST_BODY))).text == str(LONGEST_BODY)
        try:
            status = (await client.post("/", content=body(2 * LONGEST_BODY))).status_code
        except httpx.TransportError:
            status = 0  # closed while we still wrote
    assert status in (0, 400, 413)
    server.stop()


def test_a_configuration_that_asks_for_curl_gets_tornados_own_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tornado.curl_httpclient", raising=False)
    saved = httpclient.AsyncHTTPClient._save_configuration()
    without_curl()
    try:
        # Zero to JupyterHub's jupyterhub_config.py, word for word.
        httpclient.AsyncHTTPClient.configure("tornado.curl_httpclient.CurlAsyncHTTPClient")
        assert httpclient.AsyncHTTPClient.configured_class() is SimpleAsyncHTTPClient
    finally:
        httpclient.AsyncHTTPClient._restore_configuration(saved)
        del sys.modules["tornado.curl_httpclient"]
