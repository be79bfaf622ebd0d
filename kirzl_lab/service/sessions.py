"""What a browser brings along: the encrypted cookies of a login, and how long the hub's word on a token is believed.

Guarantees: a cookie that this service did not make, or made for another purpose or too long ago, says nothing; the
hub's token never leaves the service readable; a token that the hub revoked is refused after `BELIEVED_S` at the latest;
a session ends at once when the hub's session in the same browser does.

The token travels encrypted in the cookie instead of staying in the process's memory, so that a restart of the service
loses nobody's page and several processes can share the work. The key comes from the service's own hub token: whoever
knows that one may do all of this anyway.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from cryptography.fernet import Fernet, InvalidToken
from fastapi import Response

from kirzl_lab.service.hub import TokenOwner

BELIEVED_S = 30.0
"""How long the hub's word on whose token it is is believed. Its no is not: a token may be good a moment later."""
KNOWN_TOKENS = 2000
SESSION_COOKIE = "kirzl-lab-session"
HUB_SESSION_COOKIE = "jupyterhub-session-id"
"""The hub's: another one after a logout, and after a login of somebody else."""
LOGIN_COOKIE = "kirzl-lab-login-"
LOGIN_TAKES = timedelta(minutes=10)
LOGINS_AT_ONCE = 5
"""Tabs of one browser that may be logging in at the same time; the cookies of older tries are removed."""


@dataclass(frozen=True, slots=True)
class Session:
    """A browser's login: the token that the hub gave for it, and the secret that its forms carry."""

    token: str
    form_key: str


@dataclass(frozen=True, slots=True)
class Login:
    """A login under way: what the hub must send back, and where the person wanted to go."""

    state: str
    verifier: str
    """The secret of PKCE (RFC 7636)."""
    next: str

    @property
    def challenge(self) -> str:
        """The S256 challenge of the verifier (RFC 7636, 4.2)."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class LoginCookies:
    """Makes, reads and removes the service's cookies."""

    def __init__(self, secret: str, path: str, *, secure: bool) -> None:
        key = hmac.digest(secret.encode(), b"kirzl-lab service cookies", "sha256")
        self._safe = Fernet(base64.urlsafe_b64encode(key))
        self._path = path
        self._secure = secure
        self._used: OrderedDict[str, None] = OrderedDict()

    def keep_session(
        self, response: Response, cookies: dict[str, str], token: str, now: datetime, lasts: timedelta
    ) -> None:
        """Give the browser a session with a fresh form key; it lasts no longer than the hub's session there."""
        session = {"token": token, "form_key": secrets.token_urlsafe(24), "hub": _hub_session(cookies)}
        self._set(response, SESSION_COOKIE, self._seal("session", session, now + lasts), None)

    def session(self, cookies: dict[str, str], now: datetime) -> Session | None:
        """The browser's session, if it has one."""
        content = self._open("session", cookies.get(SESSION_COOKIE), now)
        if content is None or content.get("hub") != _hub_session(cookies):
            return None
        return Session(token=content["token"], form_key=content["form_key"])

    def begin_login(self, response: Response, cookies: dict[str, str], wanted: str, now: datetime) -> Login:
        """A new login, bound to this browser by a cookie of its own."""
        login = Login(state=secrets.token_urlsafe(24), verifier=secrets.token_urlsafe(48), next=wanted)
        content = {"state": login.state, "verifier": login.verifier, "next": login.next}
        pending = [name for name in cookies if name.startswith(LOGIN_COOKIE)]
        for name in pending if len(pending) >= LOGINS_AT_ONCE else ():
            response.delete_cookie(name, path=self._path)
        self._set(
            response,
            _login_cookie(login.state),
            self._seal("login", content, now + LOGIN_TAKES),
            int(LOGIN_TAKES.total_seconds()),
        )
        return login

    def finish_login(self, cookies: dict[str, str], state: str, now: datetime) -> Login | None:
        """The login of that state, once: None for one that this browser did not begin, or that came back before."""
        content = self._open("login", cookies.get(_login_cookie(state)), now)
        if content is None or not hmac.compare_digest(content["state"].encode(), state.encode()):
            return None
        if state in self._used:
            return None
        self._used[state] = None
        if len(self._used) > KNOWN_TOKENS:
            self._used.popitem(last=False)
        return Login(state=state, verifier=content["verifier"], next=content["next"])

    def forget_login(self, response: Response, state: str) -> None:
        """Remove the cookie of a login that is over."""
        response.delete_cookie(_login_cookie(state), path=self._path)

    def _set(self, response: Response, name: str, value: str, max_age: int | None) -> None:
        response.set_cookie(
            name, value, max_age=max_age, path=self._path, secure=self._secure, httponly=True, samesite="lax"
        )

    def _seal(self, purpose: str, content: dict[str, str], until: datetime) -> str:
        plain = json.dumps({"purpose": purpose, "until": until.timestamp()} | content).encode()
        return self._safe.encrypt(plain).decode().rstrip("=")  # padding would have to be quoted in a cookie

    def _open(self, purpose: str, sealed: str | None, now: datetime) -> dict[str, Any] | None:
        if not sealed:
            return None
        try:
            content: dict[str, Any] = json.loads(self._safe.decrypt(sealed + "=" * (-len(sealed) % 4)))
        except (InvalidToken, ValueError):
            return None
        alive = content["purpose"] == purpose and content["until"] > now.timestamp()
        return content if alive else None


class TokenCache:
    """Whose tokens the hub said they are in the last `BELIEVED_S` seconds. Holds hashes, never a token."""

    def __init__(
        self, ask: Callable[[str], Awaitable[TokenOwner | None]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._answers: OrderedDict[bytes, tuple[float, TokenOwner]] = OrderedDict()

    async def owner(self, token: str) -> TokenOwner | None:
        """Whose token it is, or None. Raises `HubAway`."""
        key = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        now = self._clock()
        known = self._answers.get(key)
        if known is not None and known[0] > now:
            return known[1]
        owner = await self._ask(token)
        if owner is None:
            self._answers.pop(key, None)
            return None
        self._answers[key] = (now + BELIEVED_S, owner)
        self._answers.move_to_end(key)
        while len(self._answers) > KNOWN_TOKENS:
            self._answers.popitem(last=False)
        return owner


def local_path(wanted: str | None, prefix: str) -> str:
    """`wanted` when it is an address of this service (path and query), else the service's front page."""
    if not wanted or len(wanted) > 2000 or not wanted.isprintable() or "\\" in wanted:
        return prefix
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return prefix
    inside = wanted.startswith(prefix) and not parts.scheme and not parts.netloc and not parts.fragment
    steps = unquote(parts.path).removeprefix(prefix).split("/")
    dull = ".." in steps or "." in steps or "\\" in unquote(parts.path) or steps[0] in ("oauth_callback", "login")
    return wanted if inside and not dull else prefix


def _hub_session(cookies: dict[str, str]) -> str:
    """Which session of the hub this browser is in, as a hash: "" in none."""
    session = cookies.get(HUB_SESSION_COOKIE)
    return hashlib.sha256(session.encode("utf-8", "replace")).hexdigest() if session else ""


def _login_cookie(state: str) -> str:
    """Named after the state, so that two tabs can log in at the same time."""
    return LOGIN_COOKIE + hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()[:16]
