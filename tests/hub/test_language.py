"""The language that somebody switched to, where their servers have origins of their own and where they have not."""

from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from jupyterhub.app import JupyterHub
from jupyterhub.auth import DummyAuthenticator
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from traitlets.config import Config

from kirzl_lab.hub.pages import SwitchLanguage
from kirzl_lab.spawning.server_extension import LANGUAGE_COOKIE
from tests.federation.hub import NoProxy


class Authenticator(DummyAuthenticator):
    """Nobody logs in here."""

    def get_handlers(self, app: Any) -> list[tuple[Any, ...]]:
        return [(r"/language/([a-z]+)", SwitchLanguage)]


@pytest.mark.parametrize(
    ("subdomain_host", "domain"),
    [("", ""), ("http://lab.localhost:8000", "lab.localhost"), ("https://lab.uni.example", "lab.uni.example")],
)
async def test_the_switch_reaches_servers_on_their_own_origins(
    tmp_path: Path, subdomain_host: str, domain: str
) -> None:
    (socket,) = bind_sockets(0, "127.0.0.1")
    url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    config = Config()
    config.JupyterHub.authenticator_class = Authenticator
    config.JupyterHub.proxy_class = NoProxy
    config.JupyterHub.bind_url = url
    config.JupyterHub.subdomain_host = subdomain_host
    config.JupyterHub.db_url = f"sqlite:///{tmp_path}/hub.sqlite"
    config.JupyterHub.cookie_secret_file = f"{tmp_path}/cookie_secret"
    config.JupyterHub.log_level = "WARN"
    config.Authenticator.allow_all = True
    hub = JupyterHub(config=config)
    await hub.initialize([])
    server = HTTPServer(hub.tornado_application)
    server.add_sockets([socket])
    try:
        request = HTTPRequest(f"{url}/hub/language/de", follow_redirects=False)
        response = await AsyncHTTPClient().fetch(request, raise_error=False)
    finally:
        server.stop()
        hub.db.close()
        JupyterHub.clear_instance()
    assert response.code == 302
    (cookie,) = (
        found[LANGUAGE_COOKIE]
        for found in map(SimpleCookie, response.headers.get_list("Set-Cookie"))
        if LANGUAGE_COOKIE in found
    )
    assert (cookie.value, cookie["path"], cookie["domain"]) == ("de", "/", domain)
