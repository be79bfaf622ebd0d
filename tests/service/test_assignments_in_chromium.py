"""Pages of assignments and grading runs in a real Chromium: accessible, whole on a phone, and alive while work goes on."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.service.classroom import fill_classroom
from tests.service.fake_hub import FakeHub
from tests.service.sample import INSTRUCTOR, STUDENT
from tests.service.site import running_site
from tests.service.test_in_chromium import LOOKS, complaints_of, violations
from tests.support.browser import launch

pytestmark = pytest.mark.browser

COURSE = "courses/ml-101"
PS1 = f"{COURSE}/assignments/ps1"
PAGES = {
    INSTRUCTOR: (
        COURSE,
        PS1,
        f"{COURSE}/assignments/ps0",
        f"{PS1}?search=zzz",
        f"{PS1}?done=feedback",
        f"{PS1}/people/{STUDENT}",
        f"{PS1}/confirm?do=withdraw",
        f"{PS1}/confirm?do=feedback",
        f"{COURSE}/runs/1",
        f"{COURSE}/runs/2",
        f"{COURSE}/runs/1/tasks/1",
    ),
    STUDENT: (COURSE, PS1, f"{COURSE}/assignments/project"),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, contextmanager(launch)(playwright) as browser:
        yield browser


@pytest.fixture
def site(courses_template: Path, tmp_path: Path) -> Iterator[str]:
    with running_site(courses_template, tmp_path, FakeHub(), crowd=False, more=fill_classroom) as address:
        yield address


def test_axe_finds_nothing_and_nothing_sticks_out(browser: Browser, site: str) -> None:
    problems = {}
    for theme, width, language in LOOKS:
        for who, addresses in PAGES.items():
            with browser.new_context(
                viewport={"width": width, "height": 800}, color_scheme=theme, locale=language
            ) as context:
                context.add_cookies([{"name": "who", "value": who, "url": site}])
                page = context.new_page()
                complaints = complaints_of(page)
                for address in addresses:
                    page.goto(f"{site}/services/lab/{address}")
                    found = [*complaints, *violations(page)]
                    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                        found.append("wider than the screen")
                    if found:
                        problems[address, theme, width] = found
                    complaints.clear()
    assert problems == {}


def test_a_run_is_followed_to_its_end_and_the_list_keeps_what_is_ticked(
    browser: Browser, site: str, tmp_path: Path
) -> None:
    with browser.new_context(locale="en") as context:
        context.add_cookies([{"name": "who", "value": INSTRUCTOR, "url": site}])
        run, ps1 = context.new_page(), context.new_page()
        ps1.goto(f"{site}/services/lab/{PS1}")
        ps1.get_by_label("Choose Reader Leserin").check()
        run.goto(f"{site}/services/lab/{COURSE}/runs/2")
        expect(run.get_by_text("0 of 3", exact=True)).to_be_visible()
        run.get_by_role("link", name="Log Guest Gasthörer").focus()
        run.evaluate("window.same = true")
        write(
            tmp_path,
            "UPDATE grading_tasks SET state = 'done' WHERE run_id = 2 AND id = (SELECT min(id) FROM grading_tasks WHERE run_id = 2)",
        )
        expect(run.get_by_text("1 of 3", exact=True)).to_be_visible()
        assert run.get_by_role("progressbar").get_attribute("aria-valuenow") == "33"
        assert run.evaluate("window.same") is True, "parts of the page were brought anew, not the page"
        assert "Guest" in run.evaluate("document.activeElement.textContent")
        write(tmp_path, "UPDATE grading_tasks SET state = 'cancelled' WHERE run_id = 2 AND state = 'executing'")
        write(tmp_path, "UPDATE grading_runs SET finished_at = started_at WHERE id = 2")
        expect(run.get_by_role("button", name="Try 2 once more")).to_be_visible()
        expect(ps1.get_by_text("Grading goes on")).to_be_hidden()
        assert ps1.get_by_label("Choose Reader Leserin").is_checked()
        ps1.get_by_role("button", name="Grade those chosen").click()
        expect(ps1.get_by_text("0 of 1", exact=True)).to_be_visible()
        ps1.get_by_role("button", name="Stop grading").click()
        expect(ps1.get_by_text("Stopped.")).to_be_visible()


def write(folder: Path, statement: str) -> None:
    """What another process of the lab writes into its database."""
    with closing(sqlite3.connect(folder / "lab.sqlite", timeout=30)) as database, database:
        assert database.execute(statement).rowcount > 0
