"""The bar in a real JupyterLab: which space and size this is, and the way back by keyboard."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from tests.spawning.conftest import LaptopHub
from tests.support.browser import launch

pytestmark = [pytest.mark.laptop, pytest.mark.browser]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield from launch(playwright)


@dataclass
class Seen:
    """What a page asked for elsewhere, and complained about."""

    elsewhere: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        def request(request: Request) -> None:
            if urlsplit(request.url).scheme in ("http", "https") and urlsplit(request.url).hostname != "127.0.0.1":
                self.elsewhere.append(request.url)

        page.on("request", request)
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)


def open_lab(browser: Browser, hub: LaptopHub, locale: str, cookie: str | None, seen: Seen) -> Page:
    context = browser.new_context(locale=locale)
    if cookie:
        context.add_cookies([{"name": "kirzl-lab-language", "value": cookie, "url": hub.url}])
    page = context.new_page()
    page.goto(f"{hub.url}/hub/login")
    page.get_by_label("Username:").fill(hub.user)
    page.get_by_label("Password:").fill("any")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/hub/**")
    seen.watch(page)
    page.goto(f"{hub.url}/user/{hub.user}/page/lab")
    expect(page.locator("#kirzl-where")).to_be_visible(timeout=60_000)
    expect(page.locator(".jp-Launcher").first).to_be_visible(timeout=60_000)
    return page


@pytest.mark.parametrize(
    ("locale", "cookie", "words"),
    [
        ("en-GB", None, ("Machine learning · Small", "My spaces", "Preview as a student")),
        ("de-DE", None, ("Maschinelles Lernen · Klein", "Meine Bereiche", "Vorschau als Studierende")),
        ("en-GB", "de", ("Maschinelles Lernen · Klein", "Meine Bereiche", "Vorschau als Studierende")),
    ],
)
def test_the_bar(
    chromium: Browser, laptop_hub: LaptopHub, locale: str, cookie: str | None, words: tuple[str, str, str]
) -> None:
    names, back, preview = words
    if not laptop_hub.model("page").get("ready"):
        laptop_hub.start("page", purpose="preview", role="instructor")
    seen = Seen()
    page = open_lab(chromium, laptop_hub, locale, cookie, seen)
    bar = page.locator("#kirzl-where")
    expect(bar.get_by_text(names)).to_be_visible()
    expect(bar.get_by_text(preview)).to_be_visible()
    assert seen == Seen()
    bar.get_by_role("link", name=back).focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/hub/home$"))
    page.context.close()
