"""How a demo account comes into a laptop's lab: through its institution's login form, as everybody does."""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import httpx

from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.lab_api import LabApi
from kirzl_lab.cli.node import DEMO

LIMIT_S = 60.0
TOKEN_LIFE_S = 3600
NOTE = "kirzl-lab demo seed"
"""What people read beside their token on the hub's page."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account of a demo institution; its password is its name."""

    institution: str
    name: str


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who has logged in, with a token of their own, until `close`."""

    hub_name: str
    http: httpx.Client
    """Asks the hub and, through it, servers."""
    lab: LabApi
    """Asks the lab service."""
    close: Callable[[], None]


def accounts_by_claim() -> Mapping[tuple[str, str, str], Account]:
    """(institution, claim, value) as on a roster -> the demo account of which its institution says so."""
    institutions = json.loads(DEMO.with_name("accounts.json").read_text(encoding="utf-8"))
    found = {}
    for institution, about in institutions.items():
        for name, account in about["accounts"].items():
            who = Account(institution, name)
            found[institution, "email", f"{name}@{about['domain']}"] = who
            if number := account.get("matriculation_number"):
                found[institution, "matriculation_number", number] = who
    return found


def enter(url: str, account: Account) -> Visitor:
    """Log in at the lab at `url` and make a token that ends by itself. Raises `Stop`."""
    try:
        with httpx.Client(follow_redirects=True, timeout=LIMIT_S, trust_env=False) as browser:
            hub_name, token = _logged_in(browser, url, account)
    except (httpx.HTTPError, ValueError, KeyError, StopIteration) as error:
        why = str(error) or type(error).__name__
        raise Stop(Exit.CANNOT, f"{account.name} of {account.institution} could not log in ({why}).") from error
    stack = ExitStack()
    http, lab = (stack.enter_context(_client(f"{url}{below}", token)) for below in ("", "/services/lab/api/"))
    return Visitor(hub_name, http, LabApi(lab), stack.close)


def _client(base_url: str, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=base_url, headers=headers, timeout=LIMIT_S, trust_env=False, follow_redirects=True)


def _logged_in(browser: httpx.Client, url: str, account: Account) -> tuple[str, str]:
    page = browser.get(f"{url}/hub/login/{account.institution}").raise_for_status()
    form = {"login": account.name, "password": account.name}
    browser.post(page.url, data=form).raise_for_status()
    cookies = [each for each in browser.cookies.jar if each.name == "_xsrf" and each.path == "/hub/"]
    headers = {"X-XSRFToken": next(reversed(cookies)).value or "", "Referer": f"{url}/hub/home"}
    name = browser.get(f"{url}/hub/api/user", headers=headers).raise_for_status().json()["name"]
    asked = {"note": NOTE, "expires_in": TOKEN_LIFE_S}
    made = browser.post(f"{url}/hub/api/users/{name}/tokens", headers=headers, json=asked)
    return name, made.raise_for_status().json()["token"]
