"""The institutions that people can log in with: the catalogue's, with secrets and the demo's addresses filled in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from kirzl_lab.catalog.models import Institution, Text
from kirzl_lab.federation.addresses import is_loopback, may_be_asked


@dataclass(frozen=True, slots=True)
class LoginInstitution:
    """What a login through an institution needs to know of it."""

    name: str
    title: Text
    issuer: str
    """Compared byte for byte with what discovery and tokens say."""
    client_id: str
    client_secret: str | None = field(repr=False)
    """None for a public client, which proves itself by PKCE alone."""
    request_scopes: tuple[str, ...] = ("openid", "profile", "email")
    domains: tuple[str, ...] = ()
    claims: tuple[str, ...] = ("email",)
    algorithm: str = "RS256"
    demo: bool = False


def login_institutions(
    institutions: Mapping[str, Institution],
    demo_url: str | None,
    environment: Mapping[str, str],
    *,
    public_url: str,
) -> dict[str, LoginInstitution]:
    """The institutions for login, by name; demo ones only when `demo_url` says where they run.

    Raises `ValueError`, in plain words, when a client secret is not in `environment`, when two institutions have one
    issuer, and for demo institutions unless `demo_url` and `public_url` are both on loopback or `*.localhost`: their
    passwords are known.
    """
    if demo_url and any(found.demo for found in institutions.values()):
        for what, url in (("the lab", public_url), ("the demo institutions", demo_url)):
            if not is_loopback(urlsplit(url).hostname):
                raise ValueError(
                    f"Demo institutions have known passwords, so they work on this machine only, but {what} would be "
                    f"at {url}: use an address with localhost, or start without them."
                )
    ready = {
        name: _ready(name, found, demo_url, environment)
        for name, found in institutions.items()
        if demo_url or not found.demo
    }
    owners: dict[str, str] = {}
    for name, institution in ready.items():
        other = owners.setdefault(institution.issuer, name)
        if other != name:
            raise ValueError(f"The institutions {other} and {name} have the same issuer: each needs its own.")
    return ready


def _ready(
    name: str, institution: Institution, demo_url: str | None, environment: Mapping[str, str]
) -> LoginInstitution:
    issuer = f"{demo_url}/{name}" if institution.demo else str(institution.issuer)
    if not may_be_asked(issuer):
        raise ValueError(f"The issuer of {name} is {issuer}: expected an address that starts with https://.")
    variable = institution.client_secret_env
    secret = environment.get(variable) if variable else None
    if variable and not secret:
        raise ValueError(f"The environment variable {variable} is not set: it holds the client secret of {name}.")
    return LoginInstitution(
        name=name,
        title=institution.title,
        issuer=issuer,
        client_id=institution.client_id,
        client_secret=secret,
        request_scopes=institution.request_scopes,
        domains=institution.domains,
        claims=institution.claims,
        algorithm=institution.algorithm,
        demo=institution.demo,
    )
