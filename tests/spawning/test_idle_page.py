"""JupyterLab in a real browser, left alone: what it asks for by itself is no work, and it tells people before the end."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from kirzl_lab.spawning.activity import BOOKKEEPING, CHANGES
from tests.spawning.conftest import LaptopHub
from tests.spawning.test_page import Seen, open_lab
from tests.support.browser import launch
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.laptop, pytest.mark.browser, pytest.mark.slow]

LIMIT_S = 40.0
NOTEBOOK = """{"cells": [{"cell_type": "code", "execution_count": null, "id": "a", "metadata": {}, "outputs": [],
"source": ["print(6 * 7)"]}], "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python",
"name": "python3"}}, "nbformat": 4, "nbformat_minor": 5}"""
WORDS = {
    "en-GB": ("Nothing has been done on this server for a while, so it ends at", "I am still here"),
    "de-DE": ("Auf diesem Server ist länger nichts geschehen; er endet um", "Ich bin noch da"),
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield from launch(playwright)


def left_s(page: Page, hub: LaptopHub) -> float:
    """Until the end, by what the server says."""
    answer = hub.api.get(f"{hub.url}/user/{hub.user}/page/kirzl-lab/idle")
    seconds: float = answer.raise_for_status().json()["left_s"]
    return seconds


@pytest.mark.parametrize(("locale", "purpose"), [("en-GB", "work"), ("de-DE", "preview")])
def test_a_page_left_alone(chromium: Browser, laptop_hub: LaptopHub, locale: str, purpose: str) -> None:
    sentence, button = WORDS[locale]
    # Two purposes have two homes: JupyterLab opens nothing there that was open in the other.
    laptop_hub.start("page", idle_hours=LIMIT_S / 3600, purpose=purpose, role="instructor")
    (laptop_hub.home(purpose) / "sums.ipynb").write_text(NOTEBOOK)
    seen, changes = Seen(), []
    page = open_lab(chromium, laptop_hub, locale, None, seen)
    page.goto(f"{laptop_hub.url}/user/{laptop_hub.user}/page/lab/tree/sums.ipynb")
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Shift+Enter")
    expect(page.get_by_text("42", exact=True)).to_be_visible(timeout=60_000)
    with page.expect_response(lambda answer: "/checkpoints" in answer.url and answer.request.method == "POST"):
        page.keyboard.press("Control+s")

    def note(request: Request) -> None:
        if request.method in CHANGES:
            changes.append(request.url.split("/page/")[-1])

    # From here on the tab is left alone, with a notebook, its kernel and its channel open.
    page.on("request", note)
    warning = page.locator(".Toastify").get_by_text(sentence)
    expect(warning).to_be_visible(timeout=90_000)
    assert left_s(page, laptop_hub) <= LIMIT_S / 2
    assert [path for path in changes if not path.startswith(BOOKKEEPING)] == []
    here = page.locator(".Toastify").get_by_role("button", name=button)
    expect(here).to_be_visible()
    if purpose == "preview":  # the rest is the same in every language
        page.context.close()
        laptop_hub.stop("page")
        return
    here.click()
    expect(warning).to_be_hidden()
    assert left_s(page, laptop_hub) > LIMIT_S / 2
    assert seen == Seen(), "until it ends, nothing is wrong"
    expect(warning).to_be_visible(timeout=90_000)
    wait_until(lambda: laptop_hub.model("page").get("stopped"), "the end", limit_s=3 * LIMIT_S)
    assert laptop_hub.model("page")["state"]["last_end"].startswith("Your server had nothing to do")
    page.context.close()
