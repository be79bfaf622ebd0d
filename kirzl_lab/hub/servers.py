"""JupyterHub's REST API for servers, with every option judged before anything is stored or started."""

import json
from typing import Any

from jupyterhub.apihandlers.users import UserServerAPIHandler
from jupyterhub.scopes import needs_scope
from tornado import web

from kirzl_lab import logs
from kirzl_lab.hub.lab import the_lab
from kirzl_lab.hub.pages import Refused, count_refusal
from kirzl_lab.hub.spawner import THE_LAB_SERVICE
from kirzl_lab.hub.starts import CountedStart
from kirzl_lab.problems import (
    AlreadyRunning,
    BadServerName,
    NoSuchServer,
    Problem,
    RenameRefused,
    ServerExists,
    StillStopping,
)
from kirzl_lab.spawning.choice import is_server_name

FIELDS = frozenset({"user_options", "display_name"})
"""What the body of a request for a server may have."""

LONGEST_BODY = 4096
"""In bytes. Three short names and a display name."""


class ServerAPI(CountedStart, UserServerAPIHandler):
    """PUT, POST and PATCH of a server: the same `Choice` as the page, then JupyterHub's own handler."""

    async def prepare(self) -> None:
        """What is logged is about the person whose token it is."""
        await super().prepare()
        if self.current_user is not None:
            logs.about(self.current_user.name)

    def log_exception(self, kind: Any, value: Any, trace: Any) -> None:
        """JupyterHub's, and refusals are counted."""
        count_refusal(value)
        super().log_exception(kind, value, trace)

    def get_json_body(self) -> Any:
        """The body of a request. Text that no database can hold is refused: JupyterHub would fail in its session."""
        body = super().get_json_body()
        try:
            text = json.dumps(body, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise web.HTTPError(400, "The body holds half a character (a lone surrogate).") from None
        if len(text) > LONGEST_BODY:
            raise web.HTTPError(400, f"The body is longer than {LONGEST_BODY} bytes.")
        return body

    def get_server_json_body(self) -> dict[str, Any]:
        """The body of a PUT or POST; what is wrong with it is told as a sentence."""
        sent = self.get_json_body()
        if isinstance(sent, dict) and FIELDS & set(sent) and set(sent) - FIELDS:
            raise web.HTTPError(400, "The body of a request for a server has user_options, display_name or both.")
        try:
            body: dict[str, Any] = super().get_server_json_body()
        except web.HTTPError as error:
            raise web.HTTPError(
                error.status_code, f"{error.log_message or 'This is no request for a server'}."
            ) from None
        return body

    @needs_scope("start:servers")
    async def put(self, user_name: str, server_name: str = "") -> None:
        """Create a server without starting it."""
        body = self.get_server_json_body()
        # A server that is there takes its name's place, started or not.
        await self._judge(user_name, server_name, body["user_options"], bind=True)
        if self._is_there(user_name, server_name):
            raise Refused(ServerExists(server=server_name))
        await super().put(user_name, server_name)

    @needs_scope("start:servers")
    async def post(self, user_name: str, server_name: str = "") -> None:
        """Start a server; without options, with those that are stored, judged again."""
        options = self.get_server_json_body()["user_options"]
        if options is None:
            options = self._stored_options(user_name, server_name)
        await self._judge(user_name, server_name, options, bind=True)
        if self._is_there(user_name, server_name):
            spawner = self.find_user(user_name).spawners[server_name]
            if spawner.ready and await spawner.poll_and_notify() is None:
                raise Refused(AlreadyRunning(server=server_name))
            if spawner.pending not in (None, "spawn"):
                raise Refused(StillStopping(server=server_name))
        await super().post(user_name, server_name)

    @needs_scope("start:servers")
    async def patch(self, user_name: str, server_name: str = "") -> None:
        """Change the options of a stopped server. Servers are never renamed: their names are bound to a meaning."""
        body = self.get_json_body()
        if not isinstance(body, dict) or not body or set(body) - {"name", *FIELDS}:
            raise web.HTTPError(400, "The body of a PATCH is an object with user_options, display_name or both.")
        if "name" in body:
            raise Refused(RenameRefused())
        if "display_name" in body and not isinstance(body["display_name"], str):
            raise web.HTTPError(400, "display_name must be a string.")
        if "user_options" in body:
            await self._judge(user_name, server_name, body["user_options"], bind=False)
        if not is_server_name(server_name):
            raise Refused(BadServerName())
        if not self._is_there(user_name, server_name):
            raise Refused(NoSuchServer(server=server_name))
        if self.find_user(user_name).spawners[server_name].active:
            raise Refused(AlreadyRunning(server=server_name))
        await super().patch(user_name, server_name)

    @needs_scope("delete:servers")
    async def delete(self, user_name: str, server_name: str = "") -> None:
        """Stop a server; the audit will say who asked for it."""
        if self._is_there(user_name, server_name):
            asker = self.current_user
            spawner = self.find_user(user_name).spawners[server_name]
            spawner.ended_by = THE_LAB_SERVICE if asker.kind == "service" else asker.name
        elif server_name:
            raise Refused(NoSuchServer(server=server_name))
        await super().delete(user_name, server_name)

    def _is_there(self, user_name: str, server_name: str) -> bool:
        user = self.find_user(user_name)
        if user is None:
            raise web.HTTPError(404)
        return server_name in user.orm_spawners

    def _stored_options(self, user_name: str, server_name: str) -> Any:
        user = self.find_user(user_name)
        if user is None:
            raise web.HTTPError(404)
        spawner = user.orm_spawners.get(server_name)
        return spawner.user_options if spawner is not None else None

    async def _judge(self, user_name: str, server_name: str, options: object, *, bind: bool) -> None:
        if self.find_user(user_name) is None:
            raise web.HTTPError(404)
        try:
            if not is_server_name(server_name):
                raise BadServerName()
            await the_lab().decide(user_name, server_name, options, bind=bind)
        except Problem as problem:
            raise Refused(problem) from None
