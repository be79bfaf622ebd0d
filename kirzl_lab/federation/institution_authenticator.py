"""OAuthenticator for one institution: its token exchange, PKCE, client authentication and refresh, and what it lacks.

What is ours: endpoints from discovery, a redirect address for each institution, the checked ID token in place of an
unchecked userinfo, limits on time and size, and an auth state that holds no token but the one that refreshes it.
Why each piece was replaced is in `docs/decisions/`, 0101 to 0103.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus

from oauthenticator.oauth2 import OAuthenticator
from tornado import web
from tornado.httpclient import HTTPClientError
from tornado.httputil import url_concat

from kirzl_lab.federation import asking
from kirzl_lab.federation.claims import merge
from kirzl_lab.federation.discovery import Discovery, Document
from kirzl_lab.federation.id_token import Expectation, verify_id_token
from kirzl_lab.federation.institutions import LoginInstitution
from kirzl_lab.federation.keys import KeyRing
from kirzl_lab.federation.logins import LoginAttempt
from kirzl_lab.federation.refusals import Reason, Refused, Unreachable
from kirzl_lab.federation.strict_json import read_object

LONGEST_REFRESH_TOKEN = 8 * 1024
"""In characters. A longer one is not kept: the login then ends after `session_hours`, unrefreshed."""

ACCESS_TOKEN = re.compile(r"[\x20-\x7e]+")
"""RFC 6749, appendix A.12. Anything else could not stand in a header."""

NAME_CLAIMS = ("name",)
"""What userinfo is asked for besides the institution's claims."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a browser brought back from an institution, once its state was taken."""

    attempt: LoginAttempt
    code: str = field(repr=False)
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What an institution says about somebody, with every check passed."""

    subject: str
    claims: Mapping[str, Any]
    refresh_token: str | None = field(repr=False)


class InstitutionAuthenticator(OAuthenticator):
    """Logs in the people of one institution."""

    def __init__(self, institution: LoginInstitution, clock: Callable[[], datetime]) -> None:
        super().__init__(
            client_id=institution.client_id,
            client_secret=institution.client_secret or "",
            scope=list(institution.request_scopes),
            http_client=asking.new_client(),
            http_request_kwargs=asking.LIMITS,
            validate_server_cert=True,
            enable_auth_state=True,
        )
        self.institution = institution
        self.clock = clock
        self.discovery = Discovery(institution.issuer, self._get, clock)
        self.key_ring = KeyRing(self._key_set, institution.algorithm, clock)

    async def ready(self) -> Document:
        """Learn the endpoints. Raises `Unreachable`."""
        document = await self.discovery.document()
        self.authorize_url = document.authorization_endpoint
        self.token_url = document.token_endpoint
        self.userdata_url = document.userinfo_endpoint or ""
        self.basic_auth = self._uses_basic(document)
        return document

    def authorize_redirect_url(self, attempt: LoginAttempt, redirect_uri: str) -> str:
        """Where the browser goes to log in (Core 1.0, section 3.1.2.1), after `ready`."""
        return url_concat(
            self.authorize_url,
            {
                "response_type": "code",
                "client_id": self.client_id,
                "redirect_uri": redirect_uri,
                "scope": " ".join(self.scope),
                "state": attempt.state,
                "nonce": attempt.nonce,
                "code_challenge": attempt.challenge,
                "code_challenge_method": "S256",
            },
        )

    def check_issuer_parameter(self, document: Document, iss: str | None) -> None:
        """RFC 9207, section 2.4: whoever sends `iss` must be the issuer, and one that promises to send it must.

        Raises `Refused`.
        """
        if (iss is not None or document.sends_iss) and iss != self.institution.issuer:
            raise Refused(Reason.MIXED_UP)

    async def authenticate(self, handler: Any, data: Answer, **_: Any) -> Verified:
        """Exchange the code and check what comes for it. Raises `Refused` and `Unreachable`."""
        await self.ready()
        token_info = await self.get_token_info(handler, self.build_access_tokens_request_params(handler, data))
        claims = await self._checked(token_info, data.attempt.nonce)
        userinfo = await self._userinfo(token_info, claims)
        return Verified(claims["sub"], merge(claims, userinfo), _refresh_token(token_info))

    async def refreshed(self, refresh_token: str, subject: str) -> str:
        """The refresh token to use next time, once the institution has vouched for its person again.

        Raises `Refused` when it no longer does, and `Unreachable`. Userinfo is not asked: roles come from rosters at
        each click, and claims from the next login.
        """
        await self.ready()
        token_info = await self.get_token_info(None, self.build_refresh_token_request_params(refresh_token))
        kept = _refresh_token(token_info) or refresh_token
        # It need not send an ID token, nor a nonce in it: Core 1.0, section 12.2.
        if "id_token" in token_info and (await self._checked(token_info, nonce=None))["sub"] != subject:
            raise Refused(Reason.SUBJECT)
        return kept

    # -- pieces of OAuthenticator -----------------------------------------------------------------------------------

    def build_access_tokens_request_params(self, _handler: Any, data: Answer) -> dict[str, str]:
        """What is sent for a code; the verifier comes from the server's memory, not from a cookie."""
        return {
            "grant_type": "authorization_code",
            "code": data.code,
            "redirect_uri": data.redirect_uri,
            "code_verifier": data.attempt.verifier,
            **self._client_params(),
        }

    def build_refresh_token_request_params(self, refresh_token: str) -> dict[str, str]:
        """What is sent for a refresh; a public client sends no empty secret."""
        return {"grant_type": "refresh_token", "refresh_token": refresh_token, **self._client_params()}

    def build_token_info_request_headers(self) -> dict[str, str]:
        """OAuthenticator's, with id and secret encoded as RFC 6749, section 2.3.1, wants them."""
        headers: dict[str, str] = super().build_token_info_request_headers()
        if self.basic_auth:
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode("ascii")).decode("ascii")
        return headers

    async def get_token_info(self, handler: Any, params: Mapping[str, str]) -> dict[str, Any]:
        """OAuthenticator's, with its errors sorted into `Refused` and `Unreachable`, and nothing of them shown."""
        try:
            token_info: dict[str, Any] = await super().get_token_info(handler, params)
        except HTTPClientError as error:
            raise self._sorted(error, Reason.CODE_REFUSED) from None
        except web.HTTPError:
            raise Refused(Reason.BAD_ANSWER) from None
        except asking.TooLarge:
            raise Refused(Reason.TOO_LARGE) from None
        except ValueError:
            raise Refused(Reason.BAD_ANSWER) from None
        except OSError as error:
            raise Unreachable(f"{self.token_url}: {error}") from None
        access_token = token_info["access_token"]
        if not isinstance(access_token, str) or not ACCESS_TOKEN.fullmatch(access_token):
            raise Refused(Reason.BAD_ANSWER)
        if str(token_info.get("token_type")).lower() != "bearer":
            raise Refused(Reason.BAD_ANSWER)
        return token_info

    async def fetch(self, req: Any, label: str = "fetching", parse_json: bool = True, **kwargs: Any) -> Any:
        """OAuthenticator's, without logging what the institution sent, and strict about its JSON."""
        response = await self.http_client.fetch(req, **kwargs)
        return read_object(asking.body_of(response)) if parse_json else response

    # -- ours -------------------------------------------------------------------------------------------------------

    async def _checked(self, token_info: Mapping[str, Any], nonce: str | None) -> dict[str, Any]:
        """The claims of the ID token, with every check passed. Raises `Refused` and `Unreachable`."""
        id_token = token_info.get("id_token")
        expectation = Expectation(
            issuer=self.institution.issuer,
            client_id=self.client_id,
            algorithm=self.institution.algorithm,
            nonce=nonce,
            access_token=token_info["access_token"],
        )
        try:
            return verify_id_token(id_token, await self.key_ring.keys(), expectation, self.clock())
        except Refused as refusal:
            if refusal.reason is not Reason.UNKNOWN_KEY:
                raise
        return verify_id_token(id_token, await self.key_ring.fresh_keys(), expectation, self.clock())

    async def _userinfo(self, token_info: Mapping[str, Any], claims: Mapping[str, Any]) -> dict[str, Any]:
        """What userinfo says besides the ID token, about the same person (Core 1.0, section 5.3.2)."""
        wanted = {*self.institution.claims, *NAME_CLAIMS}
        if "email" in wanted:
            wanted.add("email_verified")  # an address counts for nothing without it
        if not self.userdata_url or wanted <= claims.keys():
            return {}
        try:
            userinfo: dict[str, Any] = await self.token_to_user(token_info)
        except HTTPClientError as error:
            raise self._sorted(error, Reason.BAD_ANSWER) from None
        except asking.TooLarge:
            raise Refused(Reason.TOO_LARGE) from None
        except ValueError:
            raise Refused(Reason.BAD_ANSWER) from None
        except OSError as error:
            raise Unreachable(f"{self.userdata_url}: {error}") from None
        if userinfo.get("sub") != claims["sub"]:
            raise Refused(Reason.USERINFO_SUBJECT)
        return userinfo

    def _uses_basic(self, document: Document) -> bool:
        methods = document.client_authentication
        if self.institution.client_secret is None or "client_secret_basic" in methods:
            return self.institution.client_secret is not None
        if "client_secret_post" not in methods:
            raise Unreachable(f"{self.institution.issuer} takes a client secret in no way that we know")
        return False

    def _client_params(self) -> dict[str, str]:
        if self.basic_auth:
            return {}
        secret = {"client_secret": self.client_secret} if self.client_secret else {}
        return {"client_id": self.client_id, **secret}

    def _sorted(self, error: HTTPClientError, reason: Reason) -> Refused | Unreachable:
        """A 4xx is an answer; everything else (also 429 and redirects) is none."""
        if 400 <= error.code < 500 and error.code != 429:
            self.log.warning("%s answered %s (%s)", self.institution.name, error.code, _error_word(error))
            return Refused(reason)
        return Unreachable(f"{self.institution.name} answered {error.code}")

    async def _get(self, url: str) -> dict[str, Any]:
        return await asking.get_object(self.http_client, url)

    async def _key_set(self) -> dict[str, Any]:
        return await self._get((await self.discovery.document()).jwks_uri)

    def end_session_url(self) -> str | None:
        """Where the person can end the session at the institution too (RP-Initiated Logout 1.0), if that is known."""
        document = self.discovery.known
        if document is None or document.end_session_endpoint is None:
            return None
        return url_concat(document.end_session_endpoint, {"client_id": self.client_id})


def _refresh_token(token_info: Mapping[str, Any]) -> str | None:
    found = token_info.get("refresh_token")
    return found if isinstance(found, str) and 0 < len(found) <= LONGEST_REFRESH_TOKEN else None


def _error_word(error: HTTPClientError) -> str:
    """The `error` of an OAuth error answer (RFC 6749, section 5.2) when it is a plain word: fit for a log."""
    try:
        word = read_object(asking.body_of(error.response) if error.response else b"").get("error")
    except ValueError:
        return "no error code"
    return (
        word if isinstance(word, str) and word.isascii() and word.isprintable() and len(word) < 60 else "odd error code"
    )
