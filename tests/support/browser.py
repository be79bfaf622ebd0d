"""A real Chromium: Debian's, driven by Playwright."""

import re
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, Page, Playwright

from tests.support.running_lab import ROOT

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def launch(playwright: Playwright) -> Iterator[Browser]:
    """Debian's Chromium, closed at the end."""
    path = shutil.which("chromium")
    assert path, "Chromium is not installed: run `make test` as root, or install Debian's package chromium"
    browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
    yield browser
    browser.close()


def log_in(page: Page, lab_url: str, institution: str, account: str) -> None:
    """Choose the institution on the login page and fill in the demo institution's form."""
    page.goto(f"{lab_url}/hub/login")
    page.get_by_role("link", name=re.compile(rf"{re.escape(institution)}(?! of)")).click()
    page.locator("input[type=password]").fill(account)
    page.locator("input[type=text], input:not([type])").first.fill(account)
    page.locator("input[type=password]").press("Enter")
    page.wait_for_url(f"{lab_url}/hub/**")


def violations(page: Page) -> list[str]:
    """What axe-core finds on the page, one line each."""
    page.evaluate(AXE.read_text())  # not as a script of the page, which its Content-Security-Policy would refuse
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {violation['help']} ({'; '.join(node['html'][:120] for node in violation['nodes'][:3])})"
        for violation in result["violations"]
    ]
