"""People who use a lab over HTTP, as a browser without scripts would: they follow links, fill in forms, keep cookies."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import httpx

from tests.support.localhost import Loopback


@dataclass
class Form:
    """A form on a page: where it goes and what it holds."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    """Field name -> input type."""


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(values.get("action", ""), values.get("method", "get").lower()))
            self._inside = True
        elif tag == "input" and self._inside and "name" in values:
            kind = values.get("type", "text")
            if kind == "radio" and "checked" not in values:
                return
            self.forms[-1].fields[values["name"]] = values.get("value", "")
            self.forms[-1].kinds[values["name"]] = kind

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


def forms(html: str) -> list[Form]:
    """The forms of a page, in order."""
    parser = _Forms()
    parser.feed(html)
    return parser.forms


def login_form(html: str, account: str) -> Form:
    """A demo institution's login form, filled in for `account`, whose password is its name."""
    form = next(form for form in forms(html) if "password" in form.kinds.values())
    for name, kind in form.kinds.items():
        if kind in ("text", "email", "password"):
            form.fields[name] = account
    return form


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, lab_url: str) -> None:
        self.lab_url = lab_url
        self.http = httpx.Client(follow_redirects=True, timeout=30, transport=Loopback())
        self.hub_name = ""

    def login(self, institution: str, account: str) -> httpx.Response:
        """Log in through a demo institution; the page they land on. Raises httpx.HTTPError when there is no form."""
        page = self.http.get(f"{self.lab_url}/hub/login/{institution}").raise_for_status()
        form = login_form(page.text, account)
        landed = self.http.post(urljoin(str(page.url), form.action), data=form.fields)
        user = self.http.get(f"{self.lab_url}/hub/api/user", headers={"Referer": f"{self.lab_url}/hub/home"})
        self.hub_name = user.json().get("name", "") if user.status_code == 200 else ""
        return landed

    def visit(self, path: str) -> httpx.Response:
        """The page at an address of the lab, as a browser asks for it: it is sent to log in where that is needed."""
        return self.http.get(f"{self.lab_url}{path}", headers={"Accept": "text/html"})

    def xsrf(self) -> str:
        """The XSRF token of this person's hub session."""
        # Pages of user servers set cookies of that name for their own origins and paths.
        tokens = [cookie.value for cookie in self.http.cookies.jar if cookie.name == "_xsrf" and cookie.path == "/hub/"]
        assert tokens, "no XSRF cookie: visit a page of the hub first"
        return tokens[-1] or ""

    def api(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """A request to the hub's REST API with this person's session, as a page's script would send it."""
        headers = {"X-XSRFToken": self.xsrf(), "Referer": f"{self.lab_url}/hub/home"}
        return self.http.request(method, f"{self.lab_url}/hub/api{path}", headers=headers, **kwargs)

    def start(self, space: str, size: str, purpose: str = "work") -> httpx.Response:
        """Press Start on a card; the page that follows."""
        data = {"_xsrf": self.xsrf(), "space": space, "size": size, "purpose": purpose}
        return self.http.post(f"{self.lab_url}/hub/start", data=data)

    def stop(self, server: str) -> httpx.Response:
        """Press Stop on a card."""
        return self.http.post(f"{self.lab_url}/hub/stop", data={"_xsrf": self.xsrf(), "server": server})

    def server(self, name: str) -> dict[str, Any] | None:
        """The hub's model of one of this person's servers, if it has one."""
        answer = self.api("GET", f"/users/{self.hub_name}").raise_for_status().json()
        server: dict[str, Any] | None = answer.get("servers", {}).get(name)
        return server

    def close(self) -> None:
        """Throw the browser away."""
        self.http.close()
