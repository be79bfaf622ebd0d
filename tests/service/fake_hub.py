"""A hub at the edge: the six calls of its REST API that the lab service makes, answered from memory.

It stands in for a process that takes seconds to start. `test_real_hub.py` makes the same calls to a real one.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import httpx

OWN_TOKEN = "token-of-the-lab-service"
API = "http://hub.test/hub/api"
SCOPE = "access:services!service=lab"


@dataclass
class FakeHub:
    """Tokens, codes and servers. `away` makes it answer nothing, `broken` makes it answer 500."""

    tokens: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    """Token -> whose it is, and its scopes."""
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Authorization code -> the token behind it and the PKCE challenge."""
    servers: dict[str, dict[str, dict[str, object]]] = field(default_factory=dict)
    away: bool = False
    broken: bool = False
    stuck: set[str] = field(default_factory=set)
    """Servers that do not stop."""
    calls: list[str] = field(default_factory=list)

    def give_token(self, hub_name: str, token: str, *scopes: str) -> str:
        """A token of that person's; with the service's scope unless told otherwise."""
        self.tokens[token] = (hub_name, scopes or (SCOPE, f"access:servers!user={hub_name}"))
        return token

    def start(self, hub_name: str, server: str, **model: object) -> None:
        """A server that runs."""
        model = {"started": "2026-11-24T07:40:00Z", "ready": True, "pending": None} | model
        self.servers.setdefault(hub_name, {})[server] = {"name": server} | model

    def transport(self) -> httpx.MockTransport:
        """What the service's HTTP client sends through."""
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:  # noqa: PLR0911 - a return for each call
        self.calls.append(f"{request.method} {request.url.path}")
        if self.away:
            raise httpx.ConnectError("nobody listens")
        if self.broken:
            return httpx.Response(500, json={"status": 500, "message": "Internal Server Error"})
        path = request.url.path.removeprefix("/hub/api").strip("/").split("/")
        if path == [""]:
            return httpx.Response(200, json={"version": "6.1.1"})
        if path == ["oauth2", "token"]:
            return self._token(request)
        token = request.headers["authorization"].removeprefix("token ")
        if path == ["user"]:
            return self._whoami(token)
        if token != OWN_TOKEN:
            return httpx.Response(403, json={"status": 403, "message": "Forbidden"})
        if path == ["users"]:
            return self._users(request.url.params)
        if len(path) == 2 and request.method == "GET":
            return self._user(path[1])
        if len(path) == 4 and request.method == "DELETE":
            return self._stop(path[1], path[3])
        return httpx.Response(404, json={"status": 404, "message": "Not Found"})

    def _whoami(self, token: str) -> httpx.Response:
        if token == OWN_TOKEN:
            return httpx.Response(200, json={"kind": "service", "name": "lab", "scopes": ["read:servers"]})
        if token not in self.tokens:
            return httpx.Response(403, json={"status": 403, "message": "Forbidden"})
        name, scopes = self.tokens[token]
        return httpx.Response(200, json={"kind": "user", "name": name, "scopes": sorted(scopes), "session_id": None})

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        token, challenge = self.codes.pop(form.get("code", ""), ("", ""))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        verified = base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == challenge
        ours = form["client_id"] == "service-lab" and form["client_secret"] == OWN_TOKEN
        back = form["redirect_uri"] == "/services/lab/oauth_callback" and form["grant_type"] == "authorization_code"
        if not (token and verified and ours and back):
            return httpx.Response(400, json={"error": "invalid_grant"})
        return httpx.Response(200, json={"access_token": token, "token_type": "Bearer", "scope": SCOPE})

    def _users(self, asked: httpx.QueryParams) -> httpx.Response:
        assert asked["state"] == "active"
        offset, limit = int(asked["offset"]), int(asked["limit"])
        people = [name for name in sorted(self.servers) if self.servers[name]]
        items = [{"name": name, "servers": self.servers[name]} for name in people[offset : offset + limit]]
        more = {"offset": offset + limit, "limit": limit} if offset + limit < len(people) else None
        page = {"offset": offset, "limit": limit, "total": len(people), "next": more}
        return httpx.Response(200, json={"items": items, "_pagination": page})

    def _user(self, name: str) -> httpx.Response:
        if name not in {owner for owner, _ in self.tokens.values()} | set(self.servers):
            return httpx.Response(404, json={"status": 404, "message": "Not Found"})
        return httpx.Response(200, content=json.dumps({"name": name, "servers": self.servers.get(name, {})}))

    def _stop(self, name: str, server: str) -> httpx.Response:
        if server not in self.servers.get(name, {}):
            return httpx.Response(404, json={"status": 404, "message": "no such server"})
        if server in self.stuck:
            return httpx.Response(500, json={"status": 500, "message": "it does not stop"})
        del self.servers[name][server]
        return httpx.Response(204)


@contextmanager
def on_loopback(hub: FakeHub) -> Iterator[str]:
    """The hub for a service in a process of its own; the address of its API."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = httpx.Request(self.command, f"http://hub.test{self.path}", headers=dict(self.headers), content=body)
            answer = hub.transport().handle_request(asked)
            self.send_response(answer.status_code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_POST = do_DELETE = do_GET  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:
            """Keep it out of what the tests write."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 1024

        def handle_error(self, *_: object) -> None:
            """A service that is killed leaves its connections broken."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hub/api"
        finally:
            server.shutdown()
            thread.join()
