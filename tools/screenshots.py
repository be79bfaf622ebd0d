"""Draws the screenshots of README and docs from a real lab with a class in it: `make screenshots`."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from kirzl_lab.cli.ports import free_port
from tests.support.browser import launch, log_in
from tests.support.running_lab import COMMAND, ROOT, RunningLab, lab, run_command

IMAGES = ROOT / "docs" / "images"
SCREEN: ViewportSize = {"width": 1100, "height": 760}
TALL: ViewportSize = {"width": 1100, "height": 1120}
SEED_LIMIT_S = 1800
GRADE_LIMIT_MS = 300_000
LARGEST = 200_000
"""Bytes of a picture."""

COURSE = "courses/ml-101"
GRADED, HANDED_IN = (f"{COURSE}/assignments/{name}" for name in ("1-nearest-neighbours", "2-regression"))


def main() -> None:
    """Start a demo lab, look at it as a student, a lecturer and an operator, and write what is seen."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        lab(Path(folder), "--demo", "--port", str(free_port())) as running,
        sync_playwright() as playwright,
    ):
        _fill(running)
        for browser in launch(playwright):
            _of_somebody_new(browser, running.url)
            _of_operator(browser, running.url)
            _of_lecturer(browser, running.url)
    for picture in sorted(IMAGES.glob("*.png")):
        size = picture.stat().st_size
        print(f"{picture.relative_to(ROOT)}: {size / 1000:.0f} kB")
        if size > LARGEST:
            raise SystemExit(f"{picture.name} is larger than {LARGEST / 1000:.0f} kB")


def _fill(running: RunningLab) -> None:
    said = run_command("demo", "seed", "--data", str(running.data), timeout=SEED_LIMIT_S)
    print(said.stdout, said.stderr)
    if said.returncode != 0:
        raise SystemExit(f"{COMMAND} demo seed ended with {said.returncode}")


def _of_somebody_new(browser: Browser, url: str) -> None:
    page = _page(browser)
    page.goto(f"{url}/hub/login")
    page.screenshot(path=IMAGES / "login.png")
    log_in(page, url, "Demo University", "student1")
    page.screenshot(path=IMAGES / "my-spaces.png")


def _of_student(browser: Browser, url: str, account: str) -> None:
    page = _page(browser)
    log_in(page, url, "Demo University", account)
    see = _looking(page, url)
    see("courses", "my-courses")
    see(COURSE, "course-student")
    see(GRADED, "assignment-student")


def _of_operator(browser: Browser, url: str) -> None:
    page = _page(browser)
    log_in(page, url, "Demo University", "operator")
    _looking(page, url)("people", "people")


def _of_lecturer(browser: Browser, url: str) -> None:
    page = _page(browser)
    log_in(page, url, "Demo University", "lecturer")
    see = _looking(page, url)
    see(COURSE, "course")
    _of_student(browser, url, _who_has_most_to_see(page, url))
    see(f"{COURSE}/roster", "roster")
    see(f"{COURSE}/gradebook", "gradebook")
    see(f"{GRADED}/statistics", "statistics", TALL)
    see(GRADED, "assignment-graded")
    # At last: while it is graded, an assignment shows how far that is.
    page.goto(f"{url}/services/lab/{HANDED_IN}")
    page.get_by_role("button", name="Grade all").click()
    page.wait_for_function(
        "() => /[1-9][0-9]* graded/.test(document.querySelector('#progress')?.innerText)", timeout=GRADE_LIMIT_MS
    )
    see(HANDED_IN, "assignment")


def _who_has_most_to_see(lecturer: Page, url: str) -> str:
    """The account of a student of the Demo University with several submissions, and feedback on the newest."""
    asked = f"{url}/services/lab/api/{COURSE}/submissions?assignment={GRADED.rpartition('/')[2]}&per_page=200"
    found: dict[str, list[dict[str, Any]]] = {}
    for each in lecturer.request.get(asked).json()["submissions"]:
        found.setdefault(each["student_name"], []).append(each)
    names = [name for name, mine in found.items() if mine[-1]["feedback_at"] and name.endswith("(Demo University)")]
    best = max(names, key=lambda name: len(found[name]))
    return best.removesuffix(" (Demo University)").replace(" ", "").lower()


def _page(browser: Browser) -> Page:
    return browser.new_context(locale="en-GB", timezone_id="Europe/Berlin", viewport=SCREEN).new_page()


def _looking(page: Page, url: str) -> Callable[..., None]:
    """`see(path, name)`: the page of the lab service at that path as a picture of that name."""

    def see(path: str, name: str, size: ViewportSize = SCREEN) -> None:
        page.set_viewport_size(size)
        page.goto(f"{url}/services/lab/{path}")
        page.screenshot(path=IMAGES / f"{name}.png")

    return see


if __name__ == "__main__":
    main()
