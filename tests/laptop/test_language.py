"""The switch of the language in a real lab: it leads back to the page, with everything that was asked for."""

import re
from collections.abc import Callable, Iterator
from html import unescape

import httpx
import pytest

from tests.support.localhost import Loopback
from tests.support.people import Person
from tests.support.running_lab import RunningLab

pytestmark = [pytest.mark.laptop, pytest.mark.slow]


@pytest.fixture
def stranger(demo_lab: RunningLab) -> Iterator[httpx.Client]:
    """A browser in which nobody has logged in."""
    headers = {"Accept": "text/html", "Accept-Language": "en"}
    with httpx.Client(
        base_url=demo_lab.url, follow_redirects=True, timeout=30, transport=Loopback(), headers=headers
    ) as client:
        yield client


def switched(client: httpx.Client, page: httpx.Response) -> httpx.Response:
    """What the link to German on an English page leads to."""
    assert '<html lang="en"' in page.text
    link = re.search(r'href="([^"]*/language/de[^"]*)"', page.text)
    assert link, page.text
    return client.get(str(page.url.join(unescape(link[1]))))


def place(page: httpx.Response) -> str:
    return page.url.raw_path.decode()


@pytest.mark.parametrize(
    ("asked", "landed"),
    [
        ("/hub/login?next=%2Fhub%2Ftoken", "/hub/login?next=%2Fhub%2Ftoken"),
        ("/hub/nothing?a=1&b=x%26y%3D2&b=%C3%A4", "/hub/nothing?a=1&b=x%26y%3D2&b=%C3%A4"),
        ("/hub/callback/uni?state=x&code=y", "/hub/login"),  # a code is good for one answer only
        ("/services/lab/oauth_callback?state=x&code=y", None),  # and so is this one: it begins a new login
    ],
)
def test_a_strangers_page(stranger: httpx.Client, asked: str, landed: str | None) -> None:
    page = switched(stranger, stranger.get(asked))
    assert '<html lang="de"' in page.text
    if landed is None:
        assert page.url.path == "/hub/login"
        assert "oauth_callback" not in page.url.params["next"].partition("redirect_uri")[0]
    else:
        assert place(page) == landed


@pytest.mark.parametrize(
    "asked",
    [
        "/services/lab/audit?action=login&institution=uni&per_page=10&page=2",
        "/services/lab/people?search=%26a%3D%C3%A4",
        "/services/lab/audit?since=yesterday",  # a problem page
        "/hub/token?x=1",
    ],
)
def test_an_operators_page(person: Callable[[str, str], Person], asked: str) -> None:
    operator = person("uni", "operator")
    operator.http.headers.update({"Accept": "text/html", "Accept-Language": "en"})
    before = operator.http.get(operator.lab_url + asked)
    page = switched(operator.http, before)
    assert '<html lang="de"' in page.text
    assert (place(page), page.status_code) == (asked, before.status_code)


def test_an_answer_to_a_form_leads_to_my_spaces(person: Callable[[str, str], Person]) -> None:
    student = person("uni", "student1")
    student.http.headers.update({"Accept": "text/html", "Accept-Language": "en"})
    refused = student.start("nowhere", "cpu-small")
    assert refused.status_code == 404
    page = switched(student.http, refused)
    assert (page.url.path, page.status_code) == ("/hub/home", 200)
    assert '<html lang="de"' in page.text
