"""Somebody whose browser remembers everything that no log may tell, and what a lab knows of people besides."""

import json
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx

from tests.support.people import Person, login_form

SHORTEST_SECRET = 12
"""Characters. Shorter values of cookies and parameters are words: `en`, `code`, `S256`."""
NO_SECRETS = ("redirect_uri", "client_id", "scope", "iss", "next")
"""Parameters whose values anybody may read."""

PEOPLE = """
SELECT 'display name', display_name FROM persons
UNION ALL SELECT 'subject', subject FROM identities
UNION ALL SELECT claim, value FROM roster_rows
"""
CLAIMS = "SELECT claims FROM identities"
SEARCHED, TYPED, IN_A_TOKEN = "Searched-Student-1815", "nobody@uni.example", "T0ken-in-an-address"


class Watched(Person):
    """A person with such a browser."""

    def __init__(self, lab_url: str) -> None:
        super().__init__(lab_url)
        self.secrets: dict[str, str] = {SEARCHED: "search", TYPED: "address", IN_A_TOKEN: "parameter token"}
        self.http.event_hooks["response"].append(self._note)

    def note(self, what: str, value: str | None) -> None:
        """Remember a secret."""
        value = (value or "").strip('"')
        if len(value) >= SHORTEST_SECRET:
            self.secrets[value] = what

    def _note(self, response: httpx.Response) -> None:
        for address in (str(response.url), response.headers.get("location", "")):
            for name, value in parse_qsl(urlsplit(address).query):
                if name not in NO_SECRETS:
                    self.note(f"parameter {name}", value)
        for cookie in (*response.cookies.jar, *self.http.cookies.jar):
            self.note(f"cookie {cookie.name}", cookie.value)

    def operate(self) -> None:
        """An operator's day: log in by way of a page, look for somebody, use a token, stumble."""
        url = self.lab_url
        self.http.headers["Accept"] = "text/html"
        page = self.http.get(f"{url}/hub/login/uni", params={"next": f"/hub/token?search={SEARCHED}"})
        form = login_form(page.text, "operator")
        self.http.post(urljoin(str(page.url), form.action), data=form.fields)
        self.login("uni", "operator")
        assert self.http.get(f"{url}/services/lab/people", params={"search": SEARCHED}).status_code == 200
        self.http.get(f"{url}/services/lab/people/{TYPED}")
        self.http.get(f"{url}/hub/login", params={"next": f"/hub/api/oauth2/authorize?state={IN_A_TOKEN}"})
        made = self.api("POST", f"/users/{self.hub_name}/tokens", json={"note": "test"}).json()["token"]
        self.note("API token", made)
        program = Person(url)
        for path in ("/hub/api/user", "/services/lab/api/spaces", "/hub/nowhere"):
            program.http.get(url + path, headers={"Authorization": f"Bearer {made}"})
            program.http.get(url + path, params={"token": made})
        program.close()

    def use(self, address: str) -> None:
        """Open a server at its address, and knock there with a token in the address."""
        assert self.http.get(f"{address}lab").status_code == 200
        self.http.get(f"{address}api/contents", params={"token": IN_A_TOKEN})
        self.http.get(f"{address}api/nowhere")


def known_of_people(rows: Iterable[tuple[str, str]], claims: Iterable[str]) -> dict[str, str]:
    """What a lab knows of people besides their hub names: the answers to `PEOPLE` and `CLAIMS`."""
    found = {value: what for what, value in rows}
    for text in claims:
        found |= {value: claim for claim, values in json.loads(text).items() for value in values}
    return found


def told(secrets: Mapping[str, str], logs: Iterable[tuple[str, str]]) -> list[str]:
    """Every line, of (name, text) of logs, that tells one of the secrets."""
    return [
        f"{what} in {name}: {line.strip()[:300]}"
        for name, text in logs
        for line in text.splitlines()
        for secret, what in secrets.items()
        if secret in line
    ]
