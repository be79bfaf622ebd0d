"""Logins under way, remembered on the server: a state is good for one answer, from one institution, in one browser.

In memory: a login that a restart of the hub interrupts is begun again. The memory is bounded; when it is full the
oldest login goes first.
"""

import base64
import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kirzl_lab.federation.refusals import Reason, Refused

LIFETIME = timedelta(minutes=10)
MOST_LOGINS = 20_000
MOST_PER_BROWSER = 20
"""Tabs in which one browser can be logging in; the oldest goes first."""

BROWSER_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
"""What `new_browser_secret` makes."""


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """One login under way."""

    institution: str
    browser: str
    """SHA-256 of the browser's cookie."""
    next_url: str | None
    born: datetime
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    """PKCE code verifier (RFC 7636, section 4.1)."""

    @property
    def challenge(self) -> str:
        """PKCE code challenge, method S256 (RFC 7636, section 4.2)."""
        digest = hashlib.sha256(self.verifier.encode("ascii")).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def new_browser_secret() -> str:
    """A value for the cookie that tells one browser from another."""
    return secrets.token_urlsafe(32)


class LoginAttempts:
    """The logins under way of one hub."""

    def __init__(self, clock: Callable[[], datetime], most: int = MOST_LOGINS) -> None:
        self._clock = clock
        self._most = most
        self._by_state: OrderedDict[str, LoginAttempt] = OrderedDict()
        self._by_browser: dict[str, OrderedDict[str, None]] = {}

    def __len__(self) -> int:
        """How many logins are under way, old ones included."""
        return len(self._by_state)

    def begin(self, institution: str, browser_secret: str, next_url: str | None) -> LoginAttempt:
        """Remember a new login with fresh state, nonce and verifier (each 256 bits)."""
        self._forget_old()
        attempt = LoginAttempt(
            institution=institution,
            browser=_digest(browser_secret),
            next_url=next_url,
            born=self._clock(),
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(32),
        )
        self._by_state[attempt.state] = attempt
        of_browser = self._by_browser.setdefault(attempt.browser, OrderedDict())
        of_browser[attempt.state] = None
        if len(of_browser) > MOST_PER_BROWSER:
            self._forget(next(iter(of_browser)))
        if len(self._by_state) > self._most:
            self._forget(next(iter(self._by_state)))
        return attempt

    def take(self, state: str, institution: str, browser_secret: str | None) -> LoginAttempt:
        """The login that `state` belongs to. Whatever comes of it, the state is used up.

        Raises `Refused`: the state is not known (never given, used, too old), or belongs to a login at another
        institution or in another browser.
        """
        attempt = self._forget(state)
        if attempt is None or self._clock() - attempt.born > LIFETIME:
            raise Refused(Reason.NOT_BEGUN)
        if attempt.institution != institution:
            raise Refused(Reason.OTHER_INSTITUTION)
        if browser_secret is None or attempt.browser != _digest(browser_secret):
            raise Refused(Reason.OTHER_BROWSER)
        return attempt

    def drop(self, state: str) -> None:
        """Use up a state that nobody can be logged in with."""
        self._forget(state)

    def _forget(self, state: str) -> LoginAttempt | None:
        attempt = self._by_state.pop(state, None)
        if attempt is not None:
            of_browser = self._by_browser[attempt.browser]
            del of_browser[state]
            if not of_browser:
                del self._by_browser[attempt.browser]
        return attempt

    def _forget_old(self) -> None:
        now = self._clock()
        while self._by_state:
            oldest = next(iter(self._by_state.values()))
            if now - oldest.born <= LIFETIME:
                return
            self._forget(oldest.state)


def _digest(browser_secret: str) -> str:
    return hashlib.sha256(browser_secret.encode("utf-8", "surrogatepass")).hexdigest()
