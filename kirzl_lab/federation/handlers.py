"""The four addresses of a login: the chooser, the way to an institution, the way back, and out.

They raise `Problem`s; the wiring subclasses them and renders those as pages.
"""

import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.apihandlers.users import ActivityAPIHandler
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.handlers.login import LogoutHandler
from jupyterhub.utils import url_path_join

from kirzl_lab.federation.addresses import local_path
from kirzl_lab.federation.institution_authenticator import Answer, InstitutionAuthenticator
from kirzl_lab.federation.logins import BROWSER_SECRET, new_browser_secret
from kirzl_lab.federation.refusals import Reason, Refused, Unreachable
from kirzl_lab.problems import InstitutionUnreachable, LoginCancelled, Problem

LAST_INSTITUTION = "kirzl-lab-institution"
LAST_INSTITUTION_DAYS = 365

CANCELLED = frozenset({"access_denied", "login_required", "interaction_required", "consent_required"})
"""Errors (RFC 6749, section 4.1.2.1; Core 1.0, section 3.1.2.6) that say: this person did not go through with it."""

AWAY = frozenset({"server_error", "temporarily_unavailable"})

# JupyterHub 6.1 sets this for requests with a token only, and reads it for every login that has ended: without a value
# of the class the person would be sent to log in by an AttributeError, with a traceback in the log.
BaseHandler._token_authenticated = False


class LoginStep(BaseHandler):
    """What the pages of a login share."""

    def set_default_headers(self) -> None:
        """JupyterHub's; answers that hold a code or a state are kept nowhere and sent on to nobody."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")

    @property
    def reader_language(self) -> str:
        """The language that the wiring found for this page."""
        return getattr(self, "language", "en")

    @property
    def next_path(self) -> str | None:
        """`next`, when it is a path of this hub."""
        return local_path(self.get_query_argument("next", None, strip=False), self.base_url)

    @property
    def home_path(self) -> str:
        """Where a login leads that was for nothing in particular."""
        return str(url_path_join(self.hub.base_url, "home"))

    @property
    def browser_cookie(self) -> str:
        """The name of the cookie that tells browsers apart. With https nobody but this very host can have set it."""
        https = urlsplit(self.authenticator.public_url).scheme == "https"
        return "__Host-kirzl-lab-browser" if https else "kirzl-lab-browser"

    def institution_called(self, name: str) -> InstitutionAuthenticator:
        """The institution's authenticator. Raises `UnknownInstitution`."""
        return self.authenticator.institution_called(name)


class LoginPage(LoginStep):
    """The chooser."""

    async def get(self) -> None:
        """The institutions by title in the reader's language, the last choice marked; who is logged in goes on."""
        if self.current_user:
            # JupyterHub's own login page does this too: the cookie of a server may have been lost
            self.set_login_cookie(self.current_user)
            self.redirect(self.next_path or self.home_path)
            return
        institutions = self.authenticator.institutions
        last = self.get_cookie(LAST_INSTITUTION)
        html = await self.render_template(
            "login.html",
            institutions=sorted(
                institutions.values(), key=lambda one: one.title.in_language(self.reader_language).casefold()
            ),
            last=last if last in institutions else None,
            next_url=self.next_path or "",
        )
        self.finish(html)


class LoginStart(LoginStep):
    """The way to an institution."""

    async def get(self, name: str) -> None:
        """Redirects to the institution's authorization endpoint. Raises `UnknownInstitution`, `InstitutionUnreachable`."""
        authenticator = self.institution_called(name)
        try:
            await authenticator.ready()
        except Unreachable as error:
            raise self.authenticator.told(authenticator.institution, error, self.reader_language) from error
        secret = self.get_cookie(self.browser_cookie, "")
        if not BROWSER_SECRET.fullmatch(secret):
            secret = new_browser_secret()
        attempt = self.authenticator.attempts.begin(name, secret, self.next_path)
        self._set_cookie(self.browser_cookie, secret, encrypted=False, path=self.hub.base_url, samesite="Lax")
        self._set_cookie(
            LAST_INSTITUTION,
            name,
            encrypted=False,
            path=self.hub.base_url,
            samesite="Lax",
            expires_days=LAST_INSTITUTION_DAYS,
        )
        self.redirect(authenticator.authorize_redirect_url(attempt, self.authenticator.redirect_uri(self, name)))


class LoginCallback(LoginStep):
    """The way back."""

    async def get(self, name: str) -> None:
        """Logs the person in and goes on to where they wanted. Raises a `Problem` for everything that is not right."""
        authenticator = self.institution_called(name)
        try:
            answer = await self._answer(authenticator)
            await self.login_user(answer)
        except (Refused, Unreachable, Problem) as error:
            problem = self.authenticator.told(authenticator.institution, error, self.reader_language)
            await self.authenticator.remember_refusal(authenticator.institution, error, problem)
            raise problem from error
        self.redirect(answer.attempt.next_url or self.home_path)

    def set_login_cookie(self, user: Any) -> None:
        """JupyterHub's, in a session of its own, unless the browser is this person's already.

        The person before them is logged out, with all that they were let into from this browser: servers, the lab
        service. Else the next person would find it open.
        """
        before = self.get_current_user_cookie()
        if before is None or before.id != user.id:
            self.clear_login_cookie()
            self._session_id = uuid.uuid4().hex
            self.set_session_cookie()
        super().set_login_cookie(user)

    async def _answer(self, authenticator: InstitutionAuthenticator) -> Answer:
        name = authenticator.institution.name
        # First of all, so that a state is used up whatever else is wrong with the answer.
        states = self.get_query_arguments("state", strip=False)
        for more in states[1:]:
            self.authenticator.attempts.drop(more)
        attempt = self.authenticator.attempts.take("".join(states[:1]), name, self.get_cookie(self.browser_cookie))
        given = self._given()
        authenticator.check_issuer_parameter(await authenticator.ready(), given.get("iss"))
        if "error" in given:
            title = authenticator.institution.title.in_language(self.reader_language)
            if given["error"] in CANCELLED:
                raise LoginCancelled(institution=title)
            if given["error"] in AWAY:
                raise InstitutionUnreachable(institution=title)
            raise Refused(Reason.ERROR_ANSWER)
        if not given.get("code"):
            raise Refused(Reason.NO_CODE)
        return Answer(attempt, given["code"], self.authenticator.redirect_uri(self, name))

    def _given(self) -> Mapping[str, str]:
        """The parameters of the answer; each may be there once only (RFC 6749, section 3.1)."""
        given: dict[str, str] = {}
        for name in ("state", "iss", "error", "code"):
            values = self.get_query_arguments(name, strip=False)
            if len(values) > 1:
                raise Refused(Reason.REPEATED_PARAMETER)
            if values:
                given[name] = values[0]
        return given


class LogoutPage(LogoutHandler):
    """The way out."""

    end_session_url: str | None = None

    async def default_handle_logout(self) -> None:
        """JupyterHub's, once it is clear at which institution this session began."""
        if self.current_user:
            self.end_session_url = await self.authenticator.remember_logout(self.current_user)
        await super().default_handle_logout()

    async def render_logout_page(self) -> None:
        """`logout.html`, with the address at which the institution's own session can be ended, where it has one."""
        self.finish(await self.render_template("logout.html", viewer=None, end_session_url=self.end_session_url))


class Activity(ActivityAPIHandler):
    """What a running server tells about itself, every few minutes, with its own token."""

    async def refresh_auth(self, user: Any, force: bool = False) -> Any:
        """The user, also when their login has ended: their server runs on, and an idle one must be seen to be idle.

        Nothing starts by it and nothing is told. Nor is the login looked at: a server would keep one alive for ever.
        """
        return user
