"""Pages rendered on the server: templates, language, and the headers that every page has."""

from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kirzl_lab.look import CONTENT_SECURITY, TEMPLATES, i18n
from kirzl_lab.problems import Problem
from kirzl_lab.service.state import state_of

OWN_TEMPLATES = Path(__file__).parent / "templates"

HEADERS = {
    "Content-Security-Policy": f"{CONTENT_SECURITY}; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without a referrer a form's Origin would be null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def language_of(request: Request) -> str:
    """The language of the answer: what was switched to, or else what the client prefers."""
    return i18n.pick(request.cookies.get(i18n.COOKIE), request.headers.get("accept-language"))


def words_of(request: Request) -> i18n.Words:
    """The sentences of the lab in the language of the request."""
    return i18n.translations(language_of(request))


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    nav: str = "",
    headers: dict[str, str] | None = None,
    **names: Any,
) -> HTMLResponse:
    """A page in the language of the request, with the navigation bar of whoever asks."""
    state, words = state_of(request), words_of(request)
    text = (
        _templates()
        .get_template(template)
        .render(
            _=words.gettext,
            gettext=words.gettext,
            ngettext=words.ngettext,
            lang=language_of(request),
            languages=i18n.LANGUAGES,
            lab=state.catalogue.lab,
            viewer=getattr(request.state, "viewer", None),
            nav_active=nav,
            page_path=_page_path(request, state.place.prefix),
            hub_prefix=state.place.hub_prefix,
            hub_home_url=f"{state.place.hub_prefix}home",
            service_url=state.place.prefix,
            lab_static=f"{state.place.hub_prefix}lab-static/",
            message=_message(words, language_of(request)),
            with_query=with_query,
            **names,
        )
    )
    return HTMLResponse(text, status, headers=HEADERS | {"Content-Language": language_of(request)} | (headers or {}))


def with_query(address: str, **parameters: object) -> str:
    """The address with those parameters that say something."""
    said = {name: value for name, value in parameters.items() if value not in (None, "")}
    return f"{address}?{urlencode(said)}" if said else address


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader([OWN_TEMPLATES, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=[i18n.PageWords],
    )


def _message(words: i18n.Words, language: str) -> Any:
    def message(problem: Problem) -> str:
        return problem.text(words.gettext, language)

    return message


def _page_path(request: Request, prefix: str) -> str:
    """Where a switch of the language leads: to this page, or to the front where it cannot be asked for once more."""
    if request.method != "GET" or request.url.path == f"{prefix}oauth_callback":
        return prefix
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
