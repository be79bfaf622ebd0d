"""The first day in a real browser: from the login page to a notebook that ran a cell, and who does not get in."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.browser import launch, log_in, violations
from tests.support.people import Person
from tests.support.running_lab import RunningLab
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.laptop, pytest.mark.slow]


ERROR = '.jp-OutputArea-output:is([data-mime-type*="error"], [data-mime-type*="stderr"])'
"""What a cell that failed, or complained, leaves below itself."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        yield from launch(playwright)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(locale="en-GB")
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


def test_a_student_runs_a_cell(demo_lab: RunningLab, page: Page) -> None:
    log_in(page, demo_lab.url, "Demo University", "student1")
    expect(page).to_have_url(re.compile(r"/hub/home$"))
    card = page.get_by_role("listitem").filter(
        has=page.get_by_role("heading", name="Machine Learning from the Ground Up")
    )
    card.get_by_role("button", name=re.compile("Start")).click()
    page.wait_for_url(re.compile(r"/user/[^/]+/ml-101/lab"))
    # The bar at the top says where we are, and leads back.
    expect(page.get_by_text("Machine Learning from the Ground Up").first).to_be_visible()
    back = page.get_by_role("link", name="My spaces")
    expect(back).to_have_attribute("href", re.compile(r"/hub/home$"))
    # The course's materials are beside the work; a worked notebook opens and runs its first cells.
    page.goto(page.url.split("/lab")[0] + "/lab/tree/materials/01-nearest-neighbours.ipynb")
    expect(page.locator(".jp-Notebook")).to_be_visible()
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible()  # a cell that runs before is forgotten
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Shift+Enter")
    ran = page.locator(".jp-CodeCell").first
    expect(ran.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[1\]:?"))
    expect(ran.locator(ERROR)).to_have_count(0)
    # And a cell of their own prints what it should.
    new = page.locator(".jp-CodeCell").nth(1)
    new.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.insert_text("print('sum:', sum(range(10)))")
    page.keyboard.press("Shift+Enter")
    expect(new.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[2\]:?"))
    expect(new.locator(".jp-OutputArea-output")).to_have_text(re.compile(r"^sum: 45\s*$"))
    expect(page.locator(ERROR)).to_have_count(0)
    # Stop from My spaces.
    page.goto(f"{demo_lab.url}/hub/home")
    card.get_by_role("button", name=re.compile("Stop")).click()
    expect(card.get_by_role("button", name=re.compile("Start")).first).to_be_visible()


def test_a_person_of_another_institution_gets_nowhere(demo_lab: RunningLab, page: Page) -> None:
    log_in(page, demo_lab.url, "Demo Start-up Centre", "founder")
    expect(page).to_have_url(re.compile(r"/hub/home$"))
    expect(page.get_by_role("heading", name="You are not a member of anything yet")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Start"))).to_have_count(0)
    expect(page.get_by_text("founder@startups.example")).to_be_visible()  # what was looked for
    xsrf = next(c["value"] for c in page.context.cookies() if c["name"] == "_xsrf" and c["path"] == "/hub/")
    me = page.request.get(f"{demo_lab.url}/hub/api/user", headers={"Referer": page.url}).json()["name"]
    for space in ("ml-101", "dl-201"):
        form = {"_xsrf": xsrf, "space": space, "size": "cpu-medium", "purpose": "work"}
        assert page.request.post(f"{demo_lab.url}/hub/start", form=form).status == 403
        api = page.request.post(
            f"{demo_lab.url}/hub/api/users/{me}/servers/{space}",
            data={"user_options": {"space": space, "size": "cpu-medium", "purpose": "work"}},
            headers={"X-XSRFToken": xsrf, "Referer": page.url},
        )
        assert api.status == 403
        assert page.request.get(f"{demo_lab.url}/user/{me}/{space}/lab").status == 424
    answer = page.goto(f"{demo_lab.url}/services/lab/people")
    assert answer is not None
    assert answer.status == 403


def test_an_operator_finds_the_audit_of_both(
    demo_lab: RunningLab, page: Page, person: Callable[[str, str], Person]
) -> None:
    student, founder = person("uni", "student2"), person("startups", "founder")
    assert student.start("ml-101", "cpu-small").status_code == 200
    wait_until(lambda: (student.server("ml-101") or {}).get("ready"), "the student's server")
    assert founder.start("dl-201", "cpu-medium").status_code == 403
    log_in(page, demo_lab.url, "Demo University", "operator")
    page.get_by_role("link", name="Audit").click()
    page.wait_for_url(re.compile(r"/services/lab/audit"))
    for who, space, action in ((student, "ml-101", "server-started"), (founder, "dl-201", "start-refused")):
        page.goto(f"{demo_lab.url}/services/lab/audit?action={action}&person={who.hub_name}")
        rows = page.get_by_role("main").get_by_role("row").filter(has_text=space)
        expect(rows.first).to_be_visible()


PAGES = [
    ("login", None, "/hub/login"),
    ("home", "student1", "/hub/home"),
    ("token", "student1", "/hub/token"),
    ("not found", "student1", "/hub/nowhere"),
    ("not running", "student1", "/hub/user/{me}/nowhere/lab"),
    ("people", "operator", "/services/lab/people"),
    ("spaces", "operator", "/services/lab/spaces"),
    ("audit", "operator", "/services/lab/audit"),
    ("closed to students", "student1", "/services/lab/people"),
    ("logout", "student1", "/hub/logout"),
]


@pytest.mark.parametrize("language", ["en-GB", "de-DE"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(demo_lab: RunningLab, browser: Browser, language: str, scheme: str) -> None:
    found: dict[str, list[str]] = {}
    for account in (None, "student1", "operator"):
        context = browser.new_context(locale=language, color_scheme="dark" if scheme == "dark" else "light")
        page = context.new_page()
        me = ""
        if account is not None:
            log_in(page, demo_lab.url, "Demo-Universität" if language == "de-DE" else "Demo University", account)
            me = page.request.get(f"{demo_lab.url}/hub/api/user", headers={"Referer": page.url}).json()["name"]
        for name, who, path in PAGES:
            if who == account:
                page.goto(demo_lab.url + path.format(me=me))
                assert page.locator("html").get_attribute("lang") == language[:2], name
                found[name] = violations(page)
        context.close()
    assert {name: problems for name, problems in found.items() if problems} == {}
