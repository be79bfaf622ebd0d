"""Where an institution's endpoints are, from its own discovery document (OpenID Connect Discovery 1.0)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kirzl_lab.federation.addresses import may_be_asked
from kirzl_lab.federation.asking import Shared
from kirzl_lab.federation.refusals import Unreachable

GOOD_FOR = timedelta(hours=1)
FAILURE_FOR = timedelta(seconds=5)
"""How long a failure is remembered, so that a burst of logins does not become a burst of requests."""


@dataclass(frozen=True, slots=True)
class Document:
    """What we use of a discovery document."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    sends_iss: bool
    """Whether every answer must carry `iss` (RFC 9207, section 3)."""
    client_authentication: tuple[str, ...]
    """How clients may prove themselves at the token endpoint; `client_secret_basic` unless it says otherwise."""


def read_document(issuer: str, found: Mapping[str, Any]) -> Document:
    """The document of `issuer`. Raises `Unreachable` when it is another issuer's, or has an address of no use.

    The issuer must be the configured one to the letter (Discovery 1.0, section 4.3).
    """
    if found.get("issuer") != issuer:
        raise Unreachable(f"the discovery document of {issuer} is of another issuer")

    def address(name: str) -> str:
        url = found.get(name)
        if not may_be_asked(url):
            raise Unreachable(f"{name} of {issuer} is neither https nor on loopback")
        return str(url)

    def optional(name: str) -> str | None:
        return None if found.get(name) is None else address(name)

    methods = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Document(
        authorization_endpoint=address("authorization_endpoint"),
        token_endpoint=address("token_endpoint"),
        jwks_uri=address("jwks_uri"),
        userinfo_endpoint=optional("userinfo_endpoint"),
        end_session_endpoint=optional("end_session_endpoint"),
        sends_iss=found.get("authorization_response_iss_parameter_supported") is True,
        client_authentication=tuple(str(method) for method in methods) if isinstance(methods, list) else (),
    )


class Discovery:
    """The discovery document of one institution, fetched when it is needed and kept for an hour."""

    def __init__(
        self, issuer: str, get: Callable[[str], Awaitable[dict[str, Any]]], clock: Callable[[], datetime]
    ) -> None:
        self._issuer = issuer
        self._get = get
        self._clock = clock
        self._shared = Shared(self._fetch)
        self._document: Document | None = None
        self._failure: Unreachable | None = None
        self._at: datetime | None = None

    @property
    def known(self) -> Document | None:
        """The document, when it was fetched before, however old."""
        return self._document

    async def document(self) -> Document:
        """The document. Raises `Unreachable` when the institution does not give it."""
        if self._at is not None:
            age = self._clock() - self._at
            if self._failure is not None and age < FAILURE_FOR:
                raise self._failure.with_traceback(None)
            if self._failure is None and self._document is not None and age < GOOD_FOR:
                return self._document
        return await self._shared.get()

    async def _fetch(self) -> Document:
        try:
            found = await self._get(self._issuer.removesuffix("/") + "/.well-known/openid-configuration")
            self._document = read_document(self._issuer, found)
            self._failure = None
        except Unreachable as failure:
            self._failure = failure
            raise
        finally:
            self._at = self._clock()
        return self._document
