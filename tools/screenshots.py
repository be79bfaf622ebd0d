"""Draws the screenshots of README and docs from a real lab: `make screenshots`."""

import tempfile
from pathlib import Path

from playwright.sync_api import ViewportSize, sync_playwright

from kirzl_lab.cli.ports import free_port
from tests.support.browser import launch, log_in
from tests.support.running_lab import ROOT, lab

IMAGES = ROOT / "docs" / "images"
SCREEN: ViewportSize = {"width": 1100, "height": 760}


def main() -> None:
    """Start a demo lab, look at it as a student and as an operator, and write what is seen."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        lab(Path(folder), "--demo", "--port", str(free_port())) as running,
        sync_playwright() as playwright,
    ):
        for browser in launch(playwright):
            student = browser.new_context(locale="en-GB", viewport=SCREEN).new_page()
            student.goto(f"{running.url}/hub/login")
            student.screenshot(path=IMAGES / "login.png")
            log_in(student, running.url, "Demo University", "student1")
            student.screenshot(path=IMAGES / "my-spaces.png")
            operator = browser.new_context(locale="en-GB", viewport=SCREEN).new_page()
            log_in(operator, running.url, "Demo University", "operator")
            operator.goto(f"{running.url}/services/lab/people")
            operator.screenshot(path=IMAGES / "people.png")


if __name__ == "__main__":
    main()
