"""The operators' pages in a real Chromium: a whole login, accessible pages in both themes, whole on a phone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.service.fake_hub import FakeHub
from tests.service.sample import BLOCKED, OPERATOR, STUDENT
from tests.service.site import running_site
from tests.support.browser import AXE, launch

pytestmark = pytest.mark.browser

LOOKS = [("light", 1280, "de"), ("dark", 1280, "en"), ("light", 360, "en"), ("dark", 360, "de")]
PAGES = {
    "people": "people",
    "people-none": "people?search=zzz",
    "person": f"people/{STUDENT}",
    "person-blocked": f"people/{BLOCKED}?done=blocked",
    "person-self": f"people/{OPERATOR}",
    "confirm-block": f"people/{STUDENT}/confirm?do=block",
    "confirm-stop": f"people/{STUDENT}/confirm?do=stop&server=ml-101",
    "spaces": "spaces",
    "audit": "audit",
    "audit-person": f"audit?person={BLOCKED}",
    "reference": "reference",
    "problem": "nothing-here",
}
AXE_SOURCE = AXE.read_text("utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, contextmanager(launch)(playwright) as browser:
        yield browser


@pytest.fixture(scope="module")
def site(filled_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_site(filled_template, tmp_path_factory.mktemp("site"), FakeHub()) as address:
        yield address


def violations(page: Page) -> list[str]:
    """What axe-core finds. It is evaluated, not added as a script: our Content-Security-Policy forbids those."""
    page.evaluate(AXE_SOURCE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(result => result.violations)")
    return [f"{rule['id']}: {[node['html'][:150] for node in rule['nodes']][:3]}" for rule in found]


def complaints_of(page: Page) -> list[str]:
    """What the page's console complains of, from now on; that a page is not found is not meant."""
    complaints: list[str] = []
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text)
            if message.type == "error" and "404 (Not Found)" not in message.text
            else None
        ),
    )
    return complaints


@pytest.mark.parametrize(("theme", "width", "language"), LOOKS)
def test_axe_finds_nothing_and_nothing_sticks_out(
    browser: Browser, site: str, theme: str, width: int, language: str
) -> None:
    problems = {}
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme, locale=language) as context:
        page = context.new_page()
        complaints = complaints_of(page)
        for name, address in PAGES.items():
            page.goto(f"{site}/services/lab/{address}")
            found = [*complaints, *violations(page)]
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append("wider than the screen")
            if found:
                problems[name] = found
            complaints.clear()
    assert problems == {}


@pytest.fixture(params=["with JavaScript", "without JavaScript"])
def context(
    browser: Browser, filled_template: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[BrowserContext]:
    """An operator's browser on a site of its own."""
    with (
        running_site(filled_template, tmp_path, FakeHub(), crowd=False) as address,
        browser.new_context(
            base_url=address, locale="en", java_script_enabled=request.param == "with JavaScript"
        ) as context,
    ):
        yield context


def test_an_operator_blocks_somebody_and_finds_it_in_the_audit(context: BrowserContext) -> None:
    page = context.new_page()
    complaints = complaints_of(page)
    page.goto("/services/lab/")
    page.get_by_label("Name, subject or claim").fill("prüfling")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Student Prüfling").click()
    assert page.get_by_role("cell", name="Running").is_visible()
    page.get_by_role("link", name="Block …").click()
    page.get_by_role("link", name="Leave it as it is").click()
    page.get_by_role("link", name="Block …").click()
    page.get_by_role("button", name="Block").click()
    page.get_by_text("Blocked. No page opens for them").wait_for()
    assert page.get_by_text("Nothing of theirs runs.", exact=True).is_visible()
    page.get_by_role("link", name="What happened to them").click()
    page.get_by_role("cell", name="Student Prüfling was blocked.").wait_for()
    assert page.get_by_role("cell", name="A server of Student Prüfling in ml-101 was stopped.").is_visible()

    context.add_cookies([{"name": "who", "value": STUDENT, "url": page.url.partition("/services")[0]}])
    context.clear_cookies(name="kirzl-lab-session")
    page.goto("/services/lab/reference")
    assert page.get_by_text("This account is blocked").is_visible()
    assert [text for text in complaints if "403" not in text] == []


def test_a_server_is_stopped(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"/services/lab/people/{STUDENT}")
    page.get_by_role("link", name="Stop … ml-101").click()
    page.get_by_role("button", name="Stop the server").click()
    page.get_by_text("The server is being stopped.").wait_for()
    assert page.get_by_text("Nothing of theirs runs.", exact=True).is_visible()
