"""What the lab service asks of the hub's REST API. Every question ends after `LIMIT_S`; no answer is `HubAway`.

Needs of the service's own token: `list:users`, `read:servers` and `delete:servers`. It has no scope on
people's tokens: with it the service could act as anybody (docs/decisions/0501).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from kirzl_lab import logs
from kirzl_lab.problems import HubAway, ServerNotRunning
from kirzl_lab.service import metrics

LIMIT_S = 2.0
PAGE = 50
"""People in one answer: the hub makes it in one go, while everybody else waits."""
PAGINATED = "application/jupyterhub-pagination+json"
STOP_LIMIT_S = 15.0
"""The hub answers a stop when the server has ended, or after ten seconds (`slow_stop_timeout`) and one for a start
that it interrupts."""


@dataclass(frozen=True, slots=True)
class TokenOwner:
    """Whose token it is, and what the token may do."""

    hub_name: str
    scopes: frozenset[str]

    def may_use_service(self, service: str) -> bool:
        """Whether the token has `access:services`, for all services or for this one."""
        return not self.scopes.isdisjoint({"access:services", f"access:services!service={service}"})

    @property
    def is_servers(self) -> bool:
        """Whether it is the token that a notebook server holds: what runs there may not act as an operator."""
        return self.server_name is not None

    @property
    def server_name(self) -> str | None:
        """The server that holds this token, None for a token of the person's own.

        Such a token may access its own server by name (JupyterHub's role `server`), a person's own token all of theirs.
        """
        if f"access:servers!user={self.hub_name}" in self.scopes:
            return None
        own = f"access:servers!server={self.hub_name}/"
        return next((scope.removeprefix(own) for scope in sorted(self.scopes) if scope.startswith(own)), None)


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that the hub has running, starting or stopping."""

    name: str
    started: datetime | None
    ready: bool
    pending: str | None
    """`spawn` or `stop`, while it is in between."""


class Hub:
    """The hub's REST API."""

    def __init__(self, client: httpx.AsyncClient, api_url: str, api_token: str) -> None:
        self._client = client
        self._api_url = api_url.rstrip("/")
        self._own = {"Authorization": f"token {api_token}"}

    async def reachable(self) -> bool:
        """Whether the hub answers within a second."""
        try:
            return (await self._send("GET", "/", limit_s=1.0)).is_success
        except HubAway:
            return False

    async def owner(self, token: str) -> TokenOwner | None:
        """Whose token it is; None for a token that the hub does not know (any more), and for a service's."""
        answer = await self._send("GET", "/user", headers={"Authorization": f"token {token}"})
        if answer.status_code in (401, 403):
            return None
        model = _model(answer)
        if model.get("kind") != "user":
            return None
        return TokenOwner(hub_name=str(model["name"]), scopes=frozenset(map(str, model.get("scopes", ()))))

    async def token_for_code(self, form: Mapping[str, str]) -> str | None:
        """The token for an authorization code (RFC 6749, 4.1.3); None when the hub refuses the code."""
        answer = await self._send("POST", "/oauth2/token", data=form)
        if 400 <= answer.status_code < 500:
            return None
        token = _model(answer).get("access_token")
        return token if isinstance(token, str) else None

    async def servers(self, hub_name: str) -> list[RunningServer]:
        """What the person has running, starting or stopping, by name. Somebody the hub does not know has nothing."""
        answer = await self._send("GET", f"/users/{quote(hub_name, safe='')}", headers=self._own)
        if answer.status_code == 404:
            return []
        servers: Mapping[str, Mapping[str, Any]] = _model(answer).get("servers") or {}
        return [_running(name, servers[name]) for name in sorted(servers)]

    async def active(self) -> dict[str, list[RunningServer]]:
        """What everybody has running, starting or stopping, by hub name."""
        found: dict[str, list[RunningServer]] = {}
        offset = 0
        while True:
            path = f"/users?state=active&offset={offset}&limit={PAGE}"
            model = _model(await self._send("GET", path, headers={"Accept": PAGINATED, **self._own}))
            try:
                people, following = model["items"], model["_pagination"]["next"]
            except (KeyError, TypeError) as error:
                raise HubAway() from error
            for person in people:
                servers: Mapping[str, Mapping[str, Any]] = person.get("servers") or {}
                found[person["name"]] = [_running(name, servers[name]) for name in sorted(servers)]
            if following is None:
                return found
            offset = following["offset"]

    async def stop(self, hub_name: str, server_name: str) -> None:
        """Stop a server, whatever it is doing. Raises `ServerNotRunning` when the hub has none of that name."""
        path = f"/users/{quote(hub_name, safe='')}/servers/{quote(server_name, safe='')}"
        answer = await self._send("DELETE", path, headers=self._own, limit_s=STOP_LIMIT_S)
        if answer.status_code == 404:
            raise ServerNotRunning(server=server_name)
        _must_succeed(answer)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        limit_s: float = LIMIT_S,
    ) -> httpx.Response:
        try:
            # httpx counts its limit anew for each part of an answer: one that drips would never reach it.
            async with asyncio.timeout(limit_s):
                answer = await self._client.request(
                    method,
                    self._api_url + path,
                    headers={logs.HEADER: logs.request_id(), **(headers or {})},
                    data=data,
                    timeout=limit_s,
                    follow_redirects=False,
                )
        except (httpx.HTTPError, UnicodeError, TimeoutError) as error:
            metrics.HUB_AWAY.inc()
            raise HubAway() from error
        if answer.is_server_error:
            metrics.HUB_AWAY.inc()
            _must_succeed(answer)
        return answer


def _must_succeed(answer: httpx.Response) -> None:
    """Raises `HubAway`, because of the answer's status, unless that is one of success."""
    try:
        answer.raise_for_status()
    except httpx.HTTPStatusError as error:
        raise HubAway() from error


def _model(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; `HubAway` when the hub sent something else, or refused."""
    _must_succeed(answer)
    try:
        model = answer.json()
    except ValueError as error:
        raise HubAway() from error
    if not isinstance(model, dict):
        raise HubAway()
    return model


def _running(name: str, model: Mapping[str, Any]) -> RunningServer:
    started = model.get("started")
    return RunningServer(
        name=name,
        started=datetime.fromisoformat(started) if isinstance(started, str) else None,
        ready=bool(model.get("ready")),
        pending=model.get("pending"),
    )
