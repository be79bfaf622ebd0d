"""The front: one authenticator for JupyterHub over one for each institution.

Guarantees: JupyterHub knows people by hub names that the lab handed out, never by anything that an institution said;
nobody becomes a hub admin by logging in; a lab database or an institution that is away logs nobody out.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Any

from jupyterhub.auth import Authenticator
from jupyterhub.utils import url_path_join
from traitlets import default

from kirzl_lab.federation import handlers
from kirzl_lab.federation.institution_authenticator import Answer, InstitutionAuthenticator
from kirzl_lab.federation.institutions import LoginInstitution
from kirzl_lab.federation.login_book import LoginBook
from kirzl_lab.federation.logins import LoginAttempts
from kirzl_lab.federation.refusals import Reason, Refused, Unreachable
from kirzl_lab.federation.session import Session
from kirzl_lab.problems import (
    InstitutionUnreachable,
    LabDatabaseAway,
    LoginExpired,
    Problem,
    TokenRefused,
    UnknownInstitution,
)
from kirzl_lab.store.database import Store

EXPIRED = frozenset({Reason.NOT_BEGUN, Reason.OTHER_INSTITUTION, Reason.OTHER_BROWSER})

ANYBODYS = frozenset({Reason.NOT_BEGUN})

HUB_NAME = re.compile(r"[a-z][a-z0-9]{8,}")

REFRESH_SHARED_S = 2.0
"""How long the outcome of a refresh is shared with requests that came while it was not stored yet."""


class LabAuthenticator(Authenticator):
    """JupyterHub's authenticator. The wiring subclass sets the plain attributes before the first request."""

    institutions: Mapping[str, LoginInstitution] = MappingProxyType({})
    store: Store
    clock: Callable[[], datetime]
    session_hours: int = 12
    public_url: str = ""
    contact: str = ""
    """Whom blocked people are told to write to."""

    login_page: type = handlers.LoginPage
    login_start: type = handlers.LoginStart
    login_callback: type = handlers.LoginCallback
    logout_page: type = handlers.LogoutPage
    activity: type = handlers.Activity

    @default("enable_auth_state")
    def _enable_auth_state(self) -> bool:
        return True

    @default("auth_refresh_strict")
    def _auth_refresh_strict(self) -> bool:
        return True  # a login that has ended takes every token of its person with it; JupyterHub lets tokens live on

    @default("any_allow_config")
    def _any_allow_config(self) -> bool:
        return True  # who may log in is decided in `authenticate`

    def get_handlers(self, app: Any) -> list[tuple[Any, ...]]:
        """The addresses of a login, below the hub's prefix, and the one that outlives a login."""
        return [
            (r"/login", self.login_page),
            (r"/login/([^/]+)", self.login_start),
            (r"/callback/([^/]+)", self.login_callback),
            (r"/logout", self.logout_page),
            (r"/api/users/([^/]+)/activity", self.activity),
        ]

    @cached_property
    def attempts(self) -> LoginAttempts:
        """The logins under way."""
        return LoginAttempts(self.clock)

    @cached_property
    def book(self) -> LoginBook:
        """The lab database, as logins see it."""
        return LoginBook(self.store, self.clock, self.log)

    @cached_property
    def _authenticators(self) -> dict[str, InstitutionAuthenticator]:
        return {name: InstitutionAuthenticator(one, self.clock) for name, one in self.institutions.items()}

    def institution_called(self, name: str) -> InstitutionAuthenticator:
        """The authenticator of one institution. Raises `UnknownInstitution`."""
        if name not in self._authenticators:
            raise UnknownInstitution(institution=name[:40])
        return self._authenticators[name]

    def redirect_uri(self, handler: Any, name: str) -> str:
        """The institution's own redirect address."""
        return str(self.public_url + url_path_join(handler.hub.base_url, "callback", name))

    # -- logging in -------------------------------------------------------------------------------------------------

    async def authenticate(self, handler: Any, data: Answer) -> dict[str, Any]:
        """JupyterHub's model of the person that an institution's answer is about.

        Raises `Refused`, `Unreachable`, `PersonBlocked`, `UnknownInstitution` and `LabDatabaseAway`.
        """
        authenticator = self.institution_called(data.attempt.institution)
        institution = authenticator.institution
        verified = await authenticator.authenticate(handler, data)
        person = await self.book.admit(institution, verified, contact=self.contact)
        session = Session(institution.name, institution.issuer, verified.subject, self.clock(), verified.refresh_token)
        return {"name": person.hub_name, "admin": False, "auth_state": session.as_dict()}

    def normalize_username(self, username: str) -> str:
        """The name as it is: changing it could merge two people."""
        return username

    def check_allowed(self, username: str, authentication: Any = None) -> bool:
        """Everybody whom `authenticate` let through, and nobody by any other way."""
        return authentication is not None and HUB_NAME.fullmatch(username) is not None

    def check_blocked_users(self, username: str, authentication: Any = None) -> bool:
        """Always: who is blocked is written in the lab database, and `authenticate` has looked."""
        return True

    def is_admin(self, handler: Any, authentication: Any) -> bool:
        """Nobody: what an operator may do, the lab service decides."""
        return False

    # -- staying logged in ------------------------------------------------------------------------------------------

    async def refresh_user(self, user: Any, handler: Any = None) -> bool | dict[str, Any]:
        """Whether the login still holds; False sends the person to the login page, and refuses their tokens.

        It ends with `session_hours`, when the person is blocked, when the institution is no longer in the catalogue,
        and when the institution takes back the refresh token that it gave. It holds while the lab database or the
        institution do not answer. Requests at the same time share one look: an institution may end the session of
        somebody whose refresh token is used twice.
        """
        look = self._looks.get(user.name)
        if look is None:
            look = self._looks[user.name] = asyncio.ensure_future(self._look(user))
            look.add_done_callback(lambda _: self._forget_look(user.name))
        found = await asyncio.shield(look)
        return dict(found) if isinstance(found, dict) else found

    @cached_property
    def _looks(self) -> "dict[str, asyncio.Future[bool | dict[str, Any]]]":
        return {}

    def _forget_look(self, hub_name: str) -> None:
        asyncio.get_running_loop().call_later(REFRESH_SHARED_S, self._looks.pop, hub_name, None)

    async def _look(self, user: Any) -> bool | dict[str, Any]:
        session = Session.from_dict(await user.get_auth_state())
        if session is None or not self._holds(session) or not await self.book.may_stay(user.name, session):
            return False
        if session.refresh_token is None:
            return True
        try:
            authenticator = self.institution_called(session.institution)
            refresh_token = await authenticator.refreshed(session.refresh_token, session.subject)
        except Refused as refusal:
            self.log.info("%s took back the login of %s (%s)", session.institution, user.name, refusal.reason)
            return False
        except Unreachable as error:
            self.log.warning("%s does not answer, the login of %s holds: %s", session.institution, user.name, error)
            return True
        return {"name": user.name, "auth_state": session.with_refresh_token(refresh_token).as_dict()}

    def _holds(self, session: Session) -> bool:
        """Whether the login is young enough, and of an institution that still has the issuer that vouched for it."""
        institution = self.institutions.get(session.institution)
        young = self.clock() - session.logged_in_at <= timedelta(hours=self.session_hours)
        return young and institution is not None and institution.issuer == session.issuer

    # -- telling and remembering ------------------------------------------------------------------------------------

    def told(self, institution: LoginInstitution, error: Refused | Unreachable | Problem, language: str) -> Problem:
        """The page for what stood against a login."""
        if isinstance(error, Problem):
            return error
        title = institution.title.in_language(language)
        if isinstance(error, Unreachable):
            self.log.error("%s cannot be reached: %s", institution.name, error)
            return InstitutionUnreachable(institution=title)
        if error.reason in EXPIRED:
            return LoginExpired()
        return TokenRefused(institution=title, reason=error.reason.value)

    async def remember_refusal(
        self, institution: LoginInstitution, error: Refused | Unreachable | Problem, problem: Problem
    ) -> None:
        """A refused login in log and audit. What needs no state that we gave is for the log only: anybody can send it."""
        reason = error.reason.value if isinstance(error, Refused) else problem.slug
        self.log.warning("Login through %s refused: %s (%s)", institution.name, problem.slug, reason)
        if reason not in ANYBODYS and not isinstance(problem, LabDatabaseAway):
            await self.book.refused(institution.name, problem.slug, reason)

    async def remember_logout(self, user: Any) -> str | None:
        """A logout in the audit; returns where the institution's own session can be ended, if that is known."""
        session = Session.from_dict(await user.get_auth_state())
        await self.book.logged_out(user.name, session.institution if session else None)
        if session is None or session.institution not in self.institutions:
            return None
        return self.institution_called(session.institution).end_session_url()
