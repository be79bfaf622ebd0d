"""A hostile OpenID provider: it does what a good one does, but for what a test makes it do."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc.jwk import Key
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from tests.federation.conftest import sign

Change = Callable[[dict[str, Any]], Any]


def _as_it_is(given: dict[str, Any]) -> Any:
    return given


@dataclass
class Provider:
    """One provider on loopback. `login` plays the person at its login form."""

    name: str
    clock: Callable[[], Any]
    signing: Key
    published: list[Key]
    client_id: str = "kirzl-lab"
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    change_claims: Change = _as_it_is
    """What the ID token says instead."""
    change_answer: Change = _as_it_is
    """What the token endpoint answers instead."""
    change_error: Change = _as_it_is
    """What it answers to a code or refresh token that it does not take."""
    change_discovery: Change = _as_it_is
    make_token: Callable[[dict[str, Any]], str] | None = None
    broken: dict[str, int] = field(default_factory=dict)
    """Path -> HTTP status to answer with."""
    sends_iss: bool = True
    asked: list[str] = field(default_factory=list)
    """Paths that were asked for."""
    posted: list[dict[str, str]] = field(default_factory=list)
    headers: list[str | None] = field(default_factory=list)
    codes: dict[str, dict[str, Any]] = field(default_factory=dict)
    hang: asyncio.Event | None = None

    def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        (socket,) = bind_sockets(0, "127.0.0.1")
        self.port = socket.getsockname()[1]
        paths = [
            (r"/\.well-known/openid-configuration", _Discovery),
            (r"/jwks", _Keys),
            (r"/token", _Token),
            (r"/userinfo", _Userinfo),
        ]
        self.server = HTTPServer(Application([(path, handler, {"provider": self}) for path, handler in paths]))
        self.server.add_sockets([socket])

    def stop(self) -> None:
        """Answer nobody any more."""
        self.server.stop()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        """A good provider again, that has seen nothing."""
        fresh = Provider(self.name, self.clock, self.signing, self.published)
        for name in ("claims", "userinfo", "broken", "asked", "posted", "headers", "codes"):
            setattr(self, name, getattr(fresh, name))
        self.change_claims = self.change_answer = self.change_error = self.change_discovery = _as_it_is
        self.make_token, self.sends_iss, self.hang = None, True, None

    def login(self, authorize_url: str, subject: str, **claims: Any) -> str:
        """Somebody logs in; returns the address that the browser is sent back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(authorize_url).query).items()}
        code = f"code-of-{self.name}-{len(self.codes)}-{subject}"
        self.codes[code] = {"nonce": asked["nonce"], "sub": subject, **claims}
        answer = {"code": code, "state": asked["state"]} | ({"iss": self.issuer} if self.sends_iss else {})
        return f"{asked['redirect_uri']}?{urlencode(answer)}"

    def id_token(self, said: dict[str, Any]) -> str:
        now = int(self.clock().timestamp())
        claims = {"iss": self.issuer, "aud": self.client_id, "iat": now, "exp": now + 300, **self.claims, **said}
        changed = self.change_claims(claims)
        return self.make_token(changed) if self.make_token else sign(changed, self.signing)


class _Answer(RequestHandler):
    provider: Provider

    def initialize(self, provider: Provider) -> None:
        self.provider = provider

    async def prepare(self) -> None:
        self.provider.asked.append(self.request.path)
        if self.provider.hang is not None:
            await self.provider.hang.wait()
        status = self.provider.broken.get(self.request.path)
        if status is not None:
            self.set_status(status)
            if 300 <= status < 400:
                self.set_header("Location", f"{self.provider.issuer}/elsewhere")
            self.finish({"error": "broken"})

    def say(self, what: Any) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(what if isinstance(what, str | bytes) else json.dumps(what))


class _Discovery(_Answer):
    def get(self) -> None:
        provider = self.provider
        self.say(
            provider.change_discovery(
                {
                    "issuer": provider.issuer,
                    "authorization_endpoint": f"{provider.issuer}/authorize",
                    "token_endpoint": f"{provider.issuer}/token",
                    "jwks_uri": f"{provider.issuer}/jwks",
                    "userinfo_endpoint": f"{provider.issuer}/userinfo",
                    "end_session_endpoint": f"{provider.issuer}/logout",
                    "authorization_response_iss_parameter_supported": True,
                    "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
                }
            )
        )


class _Keys(_Answer):
    def get(self) -> None:
        self.say({"keys": [key.as_dict(private=False) for key in self.provider.published]})


class _Token(_Answer):
    def post(self) -> None:
        provider = self.provider
        posted = {name: values[0] for name, values in parse_qs(self.request.body.decode()).items()}
        provider.posted.append(posted)
        provider.headers.append(self.request.headers.get("Authorization"))
        if posted["grant_type"] == "refresh_token":
            said = provider.codes.get(posted["refresh_token"])
        else:
            said = provider.codes.pop(posted["code"], None)
        if said is None:
            self.set_status(400)
            self.say(provider.change_error({"error": "invalid_grant"}))
            return
        answer = {
            "access_token": f"access-{said['sub']}",
            "token_type": "Bearer",
            "id_token": provider.id_token(said),
        }
        self.say(provider.change_answer(answer))


class _Userinfo(_Answer):
    def get(self) -> None:
        subject = self.request.headers["Authorization"].removeprefix("Bearer access-")
        self.say({"sub": subject, **self.provider.userinfo})
