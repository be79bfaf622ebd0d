"""Courses and rosters in a real Chromium: from a new course to its roster, accessible in both themes and on a phone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.service.fake_hub import FakeHub
from tests.service.sample import INSTRUCTOR, STUDENT
from tests.service.site import running_site
from tests.support.browser import AXE, launch

pytestmark = pytest.mark.browser

PEOPLE = "E-Mail;Nachname;Gruppe\nstudent@uni.example;Prüfling;Dienstag\nnew@uni.example;Gasthörer;Montag\n"
EXPECTED = ("404 (Not Found)", "422 (Unprocessable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, contextmanager(launch)(playwright) as browser:
        yield browser


@pytest.fixture
def site(courses_template: Path, tmp_path: Path) -> Iterator[str]:
    with running_site(courses_template, tmp_path, FakeHub(), crowd=False) as address:
        yield address


def looked_at(page: Page) -> list[str]:
    """What axe-core finds, and whether something sticks out."""
    page.evaluate(AXE.read_text("utf-8"))
    found: list[str] = page.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then(result => result.violations.map("
        "rule => rule.id + ' ' + rule.nodes.map(node => node.html.slice(0, 150)).slice(0, 3).join(' | ')))"
    )
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append("wider than the screen")
    return [f"{page.url}: {each}" for each in found]


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", 360)])
def test_a_lecturer_makes_a_course_and_puts_its_people_on_the_roster(
    browser: Browser, site: str, tmp_path: Path, theme: str, width: int
) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(PEOPLE.encode("cp1252"))
    with browser.new_context(
        base_url=f"{site}/services/lab/", viewport={"width": width, "height": 800}, color_scheme=theme, locale="en"
    ) as context:
        context.add_cookies([{"name": "who", "value": INSTRUCTOR, "url": site}])
        page = context.new_page()
        complaints: list[str] = []
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if message.type == "error" and not any(each in message.text for each in EXPECTED)
                else None
            ),
        )
        problems: list[str] = []

        def look() -> None:
            problems.extend([*complaints, *looked_at(page)])
            complaints.clear()  # axe-core brings a style of its own, which our pages forbid

        page.goto("courses")
        look()
        page.get_by_role("link", name="New course").click()
        page.get_by_label("Short name").fill("stat-1")
        page.get_by_label("Title in German").fill("Statistik")
        page.get_by_text("More: storage, network, limits").click()
        page.get_by_role("button", name="Make the course").click()
        page.get_by_text("Please fill this in.").wait_for()
        look()
        page.get_by_label("Term").fill("2026/27")
        page.get_by_label("Short name").press("Enter")
        page.get_by_text("you instruct it").wait_for()
        look()

        page.get_by_role("link", name="Roster").click()
        page.get_by_role("link", name="Upload a file").click()
        look()
        page.get_by_label("File", exact=True).set_input_files(file)
        page.get_by_role("button", name="Show what would change").click()
        page.get_by_text("Windows-1252").wait_for()
        assert page.get_by_text("Columns left out: Nachname").is_visible()
        look()
        page.get_by_role("button", name="Change the roster").click()
        page.get_by_text("The file is on the roster.").wait_for()
        row = page.get_by_role("row").filter(has_text="student@uni.example")
        assert "Student Prüfling" in row.inner_text()
        assert "Has logged in" in row.inner_text()
        assert "Waiting for first login" in page.get_by_role("row").filter(has_text="new@uni.example").inner_text()
        look()

        page.get_by_label("Address or number", exact=True).fill("nobody")
        page.get_by_role("button", name="Add", exact=True).click()
        page.get_by_text("“nobody” is no e-mail address").wait_for()
        page.get_by_role("link", name="Change student@uni.example").click()
        look()
        page.get_by_role("button", name="Remove").click()
        page.get_by_text("What they handed in is kept.").wait_for()
        for address in ("courses/stat-1/copy", "courses/stat-1/confirm?do=archive", "courses/ml-101"):
            page.goto(address)
            look()
        assert problems == []


def test_a_student_sees_their_course_and_no_roster(browser: Browser, site: str) -> None:
    with browser.new_context(base_url=f"{site}/services/lab/", locale="de") as context:
        context.add_cookies([{"name": "who", "value": STUDENT, "url": site}])
        page = context.new_page()
        page.goto("courses")
        assert page.get_by_role("link", name="Neuer Kurs").count() == 0
        page.get_by_role("link", name="Einführung in maschinelles Lernen").click()
        page.get_by_role("link", name="Unter „Meine Bereiche“ öffnen").wait_for()
        assert page.get_by_role("link", name="Mitgliederliste").count() == 0
        assert looked_at(page) == []
