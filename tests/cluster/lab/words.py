"""What people are told of their servers: on My spaces, and on the page of a start."""

import html
import re

import httpx

from tests.support.people import Person


def notes(page: str) -> list[str]:
    """What a page tells people in notes that warn."""
    found = re.findall(r'<p class="k-note is-(?:warn|bad)"[^>]*>(.*?)</p>', page, re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]*>", "", note)).split()) for note in found]


def note_on_my_spaces(somebody: Person) -> str | None:
    """The first thing that My spaces warns of."""
    return next(iter(notes(somebody.visit("/hub/home").text)), None)


def failure_of(somebody: Person, server: str) -> str | None:
    """What the progress page says of a start that failed; None while it is under way."""
    progress = somebody.api("GET", f"/users/{somebody.hub_name}/servers/{server}/progress").text
    return next((line for line in progress.splitlines() if '"failed": true' in line), None)


def word_of(somebody: Person, server: str) -> str | None:
    """What came of a start: it is ready, or My spaces says why not; None while it is under way."""
    try:
        model = somebody.server(server)
        page = somebody.http.get(f"{somebody.lab_url}/hub/home").text
    except httpx.HTTPError:
        return None
    if model and model["ready"]:
        return "ready"
    if model and model["pending"]:
        return None
    return next(iter(notes(page)), None)
