"""A real JupyterHub in this process, without proxy and servers, and browsers that log in to it."""

import os
from collections.abc import Mapping
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.app import JupyterHub
from jupyterhub.crypto import CryptKeeper
from jupyterhub.proxy import Proxy
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from traitlets.config import Config

from kirzl_lab.federation import handlers
from kirzl_lab.federation.authenticator import LabAuthenticator
from kirzl_lab.federation.institutions import LoginInstitution
from kirzl_lab.problems import Problem
from kirzl_lab.store.database import Store

TEMPLATES = Path(__file__).parent / "templates"


class NoProxy(Proxy):
    """Browsers talk to the hub itself."""

    should_start = False

    async def add_route(self, routespec: str, target: str, data: Mapping[str, Any]) -> None:
        pass

    async def delete_route(self, routespec: str) -> None:
        pass

    async def get_all_routes(self) -> dict[str, Any]:
        return {}


class Plain:
    """Tells a `Problem` as the wiring does, without its clothes."""

    def send_error(self: Any, status_code: int = 500, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        super().send_error(error.status if isinstance(error, Problem) else status_code, **kwargs)  # type: ignore[misc]

    def write_error(self: Any, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, Problem):
            self.finish(f"{error.slug}: {error}")
        else:
            super().write_error(status_code, **kwargs)  # type: ignore[misc]

    def log_exception(self: Any, kind: Any, value: Any, trace: Any) -> None:
        if not isinstance(value, Problem):
            super().log_exception(kind, value, trace)  # type: ignore[misc]


class WhoAmI(Plain, handlers.LoginStep):
    """The person of this browser, or nobody."""

    def get(self) -> None:
        self.finish(self.current_user.name if self.current_user else "nobody")


def _plain(handler: type) -> type:
    return type(handler.__name__, (Plain, handler), {})


class TestAuthenticator(LabAuthenticator):
    """As the wiring does it."""

    login_page = _plain(handlers.LoginPage)
    login_start = _plain(handlers.LoginStart)
    login_callback = _plain(handlers.LoginCallback)
    logout_page = _plain(handlers.LogoutPage)
    contact = "it@lab.example"

    def get_handlers(self, app: Any) -> list[tuple[Any, ...]]:
        return [*super().get_handlers(app), (r"/home", WhoAmI)]


class Hub:
    """A running hub."""

    def __init__(self, folder: Path, store: Store, clock: Any, institutions: dict[str, LoginInstitution]) -> None:
        self.folder = folder
        self.store = store
        self.clock = clock
        self.institutions = institutions
        (self._socket,) = bind_sockets(0, "127.0.0.1")
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    async def start(self) -> None:
        """Answer at `url`."""
        config = Config()
        config.JupyterHub.authenticator_class = TestAuthenticator
        config.JupyterHub.proxy_class = NoProxy
        config.JupyterHub.bind_url = self.url
        config.JupyterHub.db_url = f"sqlite:///{self.folder}/hub.sqlite"
        config.JupyterHub.cookie_secret_file = f"{self.folder}/cookie_secret"
        config.JupyterHub.template_paths = [str(TEMPLATES)]
        config.JupyterHub.log_level = "WARN"
        config.JupyterHub.redirect_to_server = False
        config.Authenticator.auth_refresh_age = 1
        CryptKeeper.clear_instance()
        os.environ["JUPYTERHUB_CRYPT_KEY"] = "00" * 32
        self.app = JupyterHub(config=config)
        await self.app.initialize([])
        self.authenticator: TestAuthenticator = self.app.authenticator
        self.authenticator.institutions = self.institutions
        self.authenticator.store = self.store
        self.authenticator.clock = self.clock
        self.authenticator.public_url = self.url
        self.server = HTTPServer(self.app.tornado_application)
        self.server.add_sockets([self._socket])

    def stop(self) -> None:
        """Answer nobody any more."""
        self.server.stop()
        self.app.db.close()
        JupyterHub.clear_instance()

    def forget_institutions(self) -> None:
        """What was fetched from institutions is fetched again, and what stood in their way is counted anew."""
        self.authenticator.__dict__.pop("_authenticators", None)
        self.authenticator.__dict__.pop("book", None)

    def forget_looks(self) -> None:
        """The next request looks at every login again."""
        self.authenticator._looks.clear()
        for user in self.app.users.values():
            user._auth_refreshed = None


class Browser:
    """Keeps cookies and follows nothing by itself."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.cookies: dict[str, str] = {}
        self.set_cookies: list[str] = []
        self.client = AsyncHTTPClient()

    async def get(self, url: str, **headers: str) -> HTTPResponse:
        """What the hub answers; `url` is a path of it, or an address on it."""
        return await self.ask("GET", url, **headers)

    async def ask(self, method: str, url: str, body: str | None = None, **headers: str) -> HTTPResponse:
        """What the hub answers to a request of any kind."""
        address = url if url.startswith("http") else self.hub.url + url
        assert address.startswith(self.hub.url)
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {"Cookie": cookie, **headers}
        request = HTTPRequest(address, method, headers=sent, body=body, follow_redirects=False)
        response = await self.client.fetch(request, raise_error=False)
        for header in response.headers.get_list("Set-Cookie"):
            self.set_cookies.append(header)
            for name, morsel in SimpleCookie(header).items():
                self.cookies[name] = morsel.value
                if not morsel.value:
                    del self.cookies[name]
        return response

    async def begin(self, institution: str, next_url: str | None = None) -> str:
        """Choose an institution; returns the address at which it asks for a login."""
        query = "" if next_url is None else f"?next={next_url}"
        response = await self.get(f"/hub/login/{institution}{query}")
        assert response.code == 302, response.body
        return response.headers["Location"]

    async def who(self) -> str:
        """The hub name under which this browser is logged in, or `nobody`."""
        return (await self.get("/hub/home")).body.decode()


def path_of(response: HTTPResponse) -> str:
    """Where a redirect leads, without scheme and host; they must be the hub's or none."""
    assert response.code == 302, (response.code, response.body)
    parts = urlsplit(response.headers["Location"])
    assert parts.netloc == ""
    return parts.path + (f"?{parts.query}" if parts.query else "")


def refusal(response: HTTPResponse) -> tuple[int, str]:
    """The status and slug of a problem."""
    return response.code, response.body.decode().partition(":")[0]
