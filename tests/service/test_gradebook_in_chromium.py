"""Gradebook, statistics and own grades in a real Chromium: accessible in both themes, whole on a phone, filtered by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import create_engine, select

from kirzl_lab.courses.gradebook import GradebookFiles
from kirzl_lab.service.state import ServiceState
from kirzl_lab.store.course_tables import Assignment, BlobRow, Submission
from kirzl_lab.store.tables import Person, Space
from tests.courses.books import DUE, fill_large
from tests.service.fake_hub import FakeHub
from tests.service.sample import COLLEAGUE, INSTRUCTOR, NOW, STUDENT
from tests.service.site import running_site
from tests.service.test_in_chromium import LOOKS, complaints_of, violations
from tests.support.browser import launch

pytestmark = pytest.mark.browser

COURSE = "/services/lab/courses/ml-101"
TASKS = [f"ps{number}" for number in range(12)]
PAGES = {
    "gradebook": (INSTRUCTOR, f"{COURSE}/gradebook"),
    "gradebook-sorted": (INSTRUCTOR, f"{COURSE}/gradebook?sort=score&by=ps3&descending=true"),
    "gradebook-none": (INSTRUCTOR, f"{COURSE}/gradebook?search=zzz"),
    "statistics": (INSTRUCTOR, f"{COURSE}/assignments/ps1/statistics"),
    "grades": (STUDENT, f"{COURSE}/grades"),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, contextmanager(launch)(playwright) as browser:
        yield browser


async def hand_in(state: ServiceState) -> None:
    """Both students have handed in everything an hour before it was due, and have feedback for the first."""
    async with state.store.writing() as session:
        space = (await session.scalars(select(Space).where(Space.name == "ml-101"))).one()
        people = list(await session.scalars(select(Person).where(Person.hub_name.in_((STUDENT, COLLEAGUE)))))
        session.add(BlobRow(sha256="0" * 64, size=1, created_at=NOW))
        for number, name in enumerate(TASKS):
            due = DUE.replace(tzinfo=UTC) + timedelta(days=7 * number)
            task = Assignment(space_id=space.id, name=name, due_at=due, notebooks=[], released_at=NOW, created_at=NOW)
            session.add(task)
            await session.flush()
            for person in people:
                session.add(
                    Submission(
                        assignment_id=task.id, person_id=person.id, key=f"{name}-{person.id}", sha256="0" * 64,
                        submitted_at=due - timedelta(hours=1), files=1, notebooks=[], receipt="",
                        feedback_at=None if number else NOW,
                    )
                )  # fmt: skip


@pytest.fixture(scope="module")
def site(courses_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    books = GradebookFiles(folder / "gradebooks")
    books.prepare("ml-101")
    with create_engine(books.lab_url("ml-101")).begin() as connection:
        fill_large(connection, [STUDENT, COLLEAGUE], TASKS)
    with running_site(courses_template, folder, FakeHub(), crowd=False, more=hand_in) as address:
        yield address


@pytest.mark.parametrize(("theme", "width", "language"), LOOKS)
def test_axe_finds_nothing_and_nothing_sticks_out(
    browser: Browser, site: str, theme: str, width: int, language: str
) -> None:
    problems = {}
    for name, (who, address) in PAGES.items():
        with browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=theme, locale=language
        ) as context:
            context.add_cookies([{"name": "who", "value": who, "url": site}])
            page = context.new_page()
            complaints = complaints_of(page)
            page.goto(f"{site}{address}")
            found = [*complaints, *violations(page)]
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append("wider than the screen")
            if found:
                problems[name] = found
    assert problems == {}


def test_a_lecturer_looks_for_somebody_and_reads_the_statistics(browser: Browser, site: str) -> None:
    with browser.new_context(locale="en", base_url=site, java_script_enabled=False) as context:
        context.add_cookies([{"name": "who", "value": INSTRUCTOR, "url": site}])
        page = context.new_page()
        page.goto(f"{COURSE}/gradebook")
        page.get_by_label("Name").fill("student")
        page.get_by_role("button", name="Search").click()
        assert page.get_by_text("1 person").is_visible()
        assert page.get_by_role("rowheader", name="Student Prüfling").is_visible()
        page.get_by_role("link", name="Statistics ps1", exact=True).click()
        assert page.get_by_role("img", name="Distribution of scores").is_visible()
        page.get_by_text("The numbers as a table").first.click()
        assert page.get_by_role("table", name="Distribution of scores").is_visible()
