"""The pages in a real Chromium: accessible, readable in both themes, whole on a phone, and moving as they should."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.look.samples import PAGES
from tests.look.site import sample_site
from tests.support.browser import AXE, launch

pytestmark = pytest.mark.browser

LOOKS = [("light", 1280, "de"), ("dark", 1280, "en"), ("light", 360, "en"), ("dark", 360, "de")]
AXE_SOURCE = AXE.read_text("utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, contextmanager(launch)(playwright) as browser:
        yield browser


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with sample_site() as address:
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on a desktop in English; what its console complains of fails the test."""
    with browser.new_context(
        viewport={"width": 1280, "height": 800}, locale="en", timezone_id="Europe/Berlin"
    ) as context:
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        assert complaints == []


def violations(page: Page) -> list[str]:
    """What axe-core finds. It is evaluated, not added as a script: our Content-Security-Policy forbids those."""
    page.evaluate(AXE_SOURCE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(result => result.violations)")
    return [f"{rule['id']}: {[node['html'][:150] for node in rule['nodes']][:3]}" for rule in found]


@pytest.mark.parametrize(("theme", "width", "language"), LOOKS)
def test_axe_finds_nothing_and_nothing_sticks_out(
    browser: Browser, site: str, theme: str, width: int, language: str
) -> None:
    problems = {}
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme, locale=language) as context:
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        for name in PAGES:
            page.goto(f"{site}/{language}/{name}")
            page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
            found = [*complaints, *violations(page)]  # in this order: axe itself tries styles that our policy forbids
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append("wider than the screen")
            if found:
                problems[name] = found
            complaints.clear()
    assert problems == {}


SMALL = """() => [...document.querySelectorAll('a, button, summary, input:not([type=hidden]), select')]
  .filter(part => part.checkVisibility() && !part.closest('p, dd, td, .k-size, .k-foot, .k-skip'))
  .filter(part => !part.classList.contains('k-skip'))
  .filter(part => part.getBoundingClientRect().height < 43.5)
  .map(part => part.outerHTML.slice(0, 100))"""


@pytest.mark.parametrize("name", PAGES)
def test_what_is_pressed_is_large_enough_for_a_finger(browser: Browser, site: str, name: str) -> None:
    with browser.new_context(viewport={"width": 360, "height": 740}) as context:
        page = context.new_page()
        page.goto(f"{site}/de/{name}")
        assert page.evaluate(SMALL) == []


def test_pages_are_whole_without_javascript(browser: Browser, site: str) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{site}/en/login")
        assert page.get_by_role("link", name="Demo University uni.example").is_visible()
        assert page.get_by_role("searchbox").count() == 0
        page.goto(f"{site}/en/home")
        assert page.get_by_role("button", name="Start Deep Learning 201").is_visible()
        page.get_by_role("radio", name="Medium").check()
        page.locator("summary").filter(has_text="Prüfling").click()
        assert page.get_by_role("link", name="Log out").is_visible()


def test_the_theme_is_remembered_under_the_hubs_key(page: Page, site: str) -> None:
    page.goto(f"{site}/en/home")
    button = page.get_by_role("button", name="Theme: as the system")
    button.click()
    page.get_by_role("button", name="Theme: light").click()
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"
    assert page.evaluate("({...localStorage})") == {"jupyterhub-bs-theme": "dark"}
    page.goto(f"{site}/en/login")
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"


def test_an_institution_is_found_by_typing_and_chosen_by_keys(page: Page, site: str) -> None:
    page.goto(f"{site}/de/login")
    search = page.get_by_role("searchbox", name="Suche")
    assert search.evaluate("field => field === document.activeElement")
    search.press_sequentially("universitat")  # without its dots
    links = page.locator("#institutions li:visible")
    assert links.count() == 1
    assert page.get_by_role("status").text_content() == "Gefundene Einrichtungen: 1"
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent").strip().startswith("Demo-Universität")
    page.keyboard.press("ArrowUp")
    search.fill("start-up")  # the English name is known on the German page
    with page.expect_request("**/hub/login/startups?next=/hub/home"):
        page.route(
            "**/hub/login/**", lambda route: route.fulfill(body="<title>there</title>", content_type="text/html")
        )
        page.keyboard.press("Enter")


def test_a_search_that_finds_nothing_says_what_to_do(page: Page, site: str) -> None:
    page.goto(f"{site}/en/login")
    page.get_by_role("searchbox").fill("nowhere")
    assert page.get_by_text("Yours is not here?").is_visible()


def test_menus_close_with_escape_and_give_the_focus_back(page: Page, site: str) -> None:
    page.goto(f"{site}/en/home")
    menu = page.locator("summary").filter(has_text="Prüfling")
    menu.click()
    page.get_by_role("link", name="API tokens").focus()
    page.keyboard.press("Escape")
    assert not page.get_by_role("link", name="API tokens").is_visible()
    assert menu.evaluate("part => part === document.activeElement")


def test_moments_are_told_in_the_readers_own_time(page: Page, site: str) -> None:
    page.clock.set_fixed_time("2026-11-25T12:00:00Z")
    page.goto(f"{site}/de/home")
    assert page.locator("time").first.text_content() == "24.11.2026, 09:05"
    page.clock.set_fixed_time("2026-11-24T12:00:00Z")
    page.reload()
    assert page.locator("time").first.text_content() == "heute, 09:05"


def test_my_spaces_look_again_while_something_is_on_its_way(page: Page, site: str) -> None:
    page.clock.install()
    page.goto(f"{site}/en/home-staff")
    page.get_by_text("Stopping").wait_for()
    later = page.request.get(f"{site}/en/home").text()
    page.route("**/en/home-staff", lambda route: route.fulfill(body=later, content_type="text/html"))
    with page.expect_navigation():
        page.clock.run_for(3000)
    assert page.get_by_text("Stopping").count() == 0
    assert page.locator("main[data-watch]").count() == 0  # nothing moves any more, so nobody looks


def progress_of(page: Page, *events: str) -> None:
    """What the hub would send; it ends the stream after the last event."""
    body = "".join(f"data: {event}\n\n" for event in events)
    page.route("**/progress", lambda route: route.fulfill(body=body, content_type="text/event-stream"))


def test_a_start_tells_its_steps(page: Page, site: str) -> None:
    progress_of(page, '{"progress": 40, "message": "Starting JupyterLab"}')
    page.goto(f"{site}/de/spawn-pending")
    page.get_by_role("status").filter(has_text="JupyterLab wird gestartet").wait_for()
    assert page.get_by_role("progressbar").get_attribute("aria-valuenow") == "40"


def test_a_start_that_fails_says_why_and_leads_back(page: Page, site: str) -> None:
    message = "Spawn failed: JupyterLab did not answer in time. Try again; if that goes on, tell the people who operate the lab."
    progress_of(page, f'{{"progress": 100, "failed": true, "message": "{message}", "html_message": "<b>x</b>"}}')
    page.goto(f"{site}/de/spawn-pending")
    page.get_by_role("heading", name="Der Server ist nicht gestartet").wait_for()
    assert page.get_by_text("JupyterLab hat nicht rechtzeitig geantwortet.").is_visible()
    assert page.get_by_role("link", name="Zurück zu „Meine Bereiche“").is_visible()
    assert not page.get_by_role("button", name="Abbrechen").is_visible()


def test_a_start_that_is_ready_leads_on(page: Page, site: str) -> None:
    progress_of(page, '{"progress": 100, "ready": true, "url": "/user/x/"}')
    with page.expect_navigation():  # the page, loaded once more, is where the hub leads on
        page.goto(f"{site}/en/spawn-pending", wait_until="commit")
    page.unroute("**/progress")


def test_a_start_that_is_gone_leads_to_my_spaces(page: Page, site: str) -> None:
    """The browser's Back after a start was cancelled: neither progress nor page are there any more."""
    page.route("**/progress", lambda route: route.fulfill(status=204))
    page.route("**/hub/home", lambda route: route.fulfill(body="<title>home</title>", content_type="text/html"))
    page.add_init_script("fetch = async () => new Response(null, {status: 404})")  # a real one fills the console
    page.goto(f"{site}/de/spawn-pending", wait_until="commit")
    page.wait_for_url("**/hub/home")


def test_a_start_whose_stream_breaks_is_looked_at_again(page: Page, site: str) -> None:
    page.route("**/progress", lambda route: route.fulfill(status=204))
    loads = count(1)
    with page.expect_request(lambda request: request.is_navigation_request() and next(loads) == 2):
        page.goto(f"{site}/de/spawn-pending", wait_until="commit")


HIDE = """hidden => {
  Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
  document.dispatchEvent(new Event('visibilitychange'));
}"""


@pytest.mark.parametrize(("away_s", "chosen", "again"), [(6, False, True), (3, False, False), (6, True, False)])
def test_my_spaces_look_again_when_they_are_looked_at_again(
    page: Page, site: str, away_s: int, chosen: bool, again: bool
) -> None:
    asked: list[str] = []
    page.route("**/hub/home", lambda route: (asked.append("home"), route.fulfill(body="<title>home</title>")))
    page.clock.install()
    page.goto(f"{site}/en/home")
    if chosen:
        page.get_by_role("radio", name="Medium").check()
    page.evaluate(HIDE, True)
    page.clock.run_for(away_s * 1000)
    page.evaluate(HIDE, False)
    if again:
        page.wait_for_url("**/hub/home")
    else:
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => done()))")
        assert asked == []


def test_size_cards_beside_a_preview_keep_their_distance(page: Page, site: str) -> None:
    page.goto(f"{site}/en/home-preview")
    cards, button = page.locator(".k-sizes").bounding_box(), page.get_by_role("button", name="Start ").bounding_box()
    assert cards is not None and button is not None
    assert button["y"] - (cards["y"] + cards["height"]) >= 12


@pytest.mark.parametrize("width", [360, 1280])
def test_the_bar_shows_every_link_and_the_whole_name(browser: Browser, site: str, width: int) -> None:
    with browser.new_context(viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        page.goto(f"{site}/de/home-preview")
        for link in page.locator(".k-links a").all():
            box = link.bounding_box()
            assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width
        name = page.locator(".k-who")
        name.evaluate("name => name.textContent = 'Prof. Dr. Lehrende der Hochschule Beispiel'")
        if width == 1280:
            assert name.evaluate("name => name.scrollWidth <= name.clientWidth")


def test_a_token_is_made_shown_once_and_revoked(page: Page, site: str) -> None:
    page.goto(f"{site}/en/token")
    page.route("**/hub/api/users/**", lambda route: route.fulfill(status=201, json={"token": "s3cret"}))
    page.get_by_label("What is it for?").fill("Backup")
    page.get_by_label("Permissions").fill("read:users:name, access:servers")
    with page.expect_request("**/hub/api/users/student-k7f2/tokens?_xsrf=2%7Cabc") as asked:
        page.get_by_role("button", name="Make a token").click()
    assert asked.value.method == "POST"
    assert asked.value.post_data_json == {
        "note": "Backup",
        "expires_in": 2592000,
        "scopes": ["read:users:name", "access:servers"],
    }
    page.get_by_text("Copy it now").wait_for()
    assert page.get_by_label("Your new token").input_value() == "s3cret"

    with page.expect_request("**/hub/api/users/student-k7f2/tokens/a12?*") as revoked:
        page.get_by_role("button", name="Revoke Backup on my laptop").click()
    assert revoked.value.method == "DELETE"
    page.get_by_role("button", name="Revoke Backup on my laptop").wait_for(state="detached")
