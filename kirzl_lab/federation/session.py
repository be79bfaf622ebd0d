"""What the hub keeps of a login, encrypted, as JupyterHub's auth state: who it was, since when, and how to refresh it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Session:
    """A login that holds. No access token, no ID token, no claims: the lab database has what counts of them."""

    institution: str
    issuer: str
    subject: str
    logged_in_at: datetime
    refresh_token: str | None = field(default=None, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """The auth state."""
        state = {
            "institution": self.institution,
            "issuer": self.issuer,
            "subject": self.subject,
            "logged_in_at": self.logged_in_at.isoformat(),
        }
        return state | ({"refresh_token": self.refresh_token} if self.refresh_token else {})

    def with_refresh_token(self, refresh_token: str | None) -> "Session":
        """The same login with the token that refreshes it next time."""
        return replace(self, refresh_token=refresh_token)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any] | None) -> "Session | None":
        """The login in an auth state; None when there is none that we wrote."""
        if not state:
            return None
        try:
            return cls(
                institution=state["institution"],
                issuer=state["issuer"],
                subject=state["subject"],
                logged_in_at=datetime.fromisoformat(state["logged_in_at"]),
                refresh_token=state.get("refresh_token"),
            )
        except (KeyError, TypeError, ValueError):
            return None
