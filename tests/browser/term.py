"""People of a small term in a real browser: what a lecturer and a student click, each in a window of their own."""

import json
import re
import secrets
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.browser import log_in

MARK = secrets.token_hex(3)
"""A lab may be used for one run after the other, and gives no name away twice."""
COURSE, TITLE = f"stat-{MARK}", f"Small Statistics {MARK}"
ASSIGNMENT, NOTEBOOK = "hw1", "stats"


def _cell(kind: str, name: str, source: str, **nbgrader: Any) -> dict[str, Any]:
    about = {"grade_id": name, "schema_version": 3, "cell_type": kind, "grade": False, "solution": False}
    metadata = {"nbgrader": about | {"locked": False, "task": False} | nbgrader}
    more = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "id": name, "metadata": metadata, "source": source} | more


SOURCE = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}},
    "cells": [
        _cell(
            "code",
            "mean",
            "def mean(values):\n    ### BEGIN SOLUTION\n    return sum(values) / len(values) if values else 0\n    ### END SOLUTION",
            solution=True,
        ),
        _cell("code", "seen", "assert mean([1, 2, 3]) == 2", grade=True, locked=True, points=4),
        _cell(
            "code",
            "hidden",
            "### BEGIN HIDDEN TESTS\nassert mean([]) == 0\n### END HIDDEN TESTS",
            grade=True,
            locked=True,
            points=2,
        ),
        _cell("markdown", "why", "One extreme value moves it.", grade=True, solution=True, points=4),
    ],
}
"""Ten points: four for a test that students see, two for one that they do not, four that somebody gives by hand."""


class Somebody:
    """A person with a window of their own, logged in."""

    def __init__(self, browser: Browser, lab_url: str, institution: str, account: str) -> None:
        self.lab_url = lab_url
        self.context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 900})
        self.context.set_default_timeout(60_000)
        self.page: Page = self.context.new_page()
        log_in(self.page, lab_url, institution, account)
        self.hub_name: str = json.loads(self._fetch(f"{lab_url}/hub/api/user")[1])["name"]
        self.server = ""
        """The address of the person's server of the course, once its page was there: it may be an origin of its own."""

    @property
    def course(self) -> str:
        """The course's page."""
        return f"{self.lab_url}/services/lab/courses/{COURSE}"

    def card(self) -> Locator:
        """The course on My spaces."""
        heading = self.page.get_by_role("heading", name=TITLE)
        return self.page.get_by_role("listitem").filter(has=heading)

    def press_start(self) -> None:
        """Start the course's server, and do not wait for it."""
        self.page.goto(f"{self.lab_url}/hub/home")
        self.card().get_by_role("button", name=re.compile("^Start")).first.click(no_wait_after=True)

    def in_jupyterlab(self) -> None:
        """Wait until the server that was started shows its page."""
        self.page.wait_for_url(re.compile(rf"/user/{self.hub_name}/{COURSE}/lab"))
        self.server = self.page.url.partition(f"/{COURSE}/")[0] + f"/{COURSE}"
        expect(self.page.get_by_role("menuitem", name="Nbgrader")).to_be_visible()

    def stop(self) -> None:
        """End what runs, and close the window."""
        self.page.goto(f"{self.lab_url}/hub/home")
        self._fetch(f"{self.lab_url}/hub/api/users/{self.hub_name}/servers/{COURSE}", "DELETE")
        self.context.close()

    def content(self, path: str) -> Any:
        """A file in the person's server, as its page would load it; None where there is none."""
        status, text = self._fetch(f"{self.server}/api/contents/{path}")
        return json.loads(text)["content"] if status == 200 else None

    def write(self, path: str, notebook: dict[str, Any]) -> None:
        """Save a notebook in the person's server, as its page would."""
        model = {"type": "notebook", "format": "json", "content": notebook}
        status, text = self._fetch(f"{self.server}/api/contents/{path}", "PUT", json.dumps(model))
        assert status in (200, 201), text

    def _fetch(self, url: str, method: str = "GET", body: str | None = None) -> tuple[int, str]:
        """Status and text of an answer to the page, which has to be of the same origin: names like these only a browser finds."""
        # Of several cookies that go there the most particular one counts.
        tokens = [cookie for cookie in self.context.cookies(url) if cookie["name"] == "_xsrf"]
        token = max(tokens, key=lambda cookie: len(cookie["path"]))["value"]
        headers = {"X-XSRFToken": token, "Content-Type": "application/json"}
        status, text = self.page.evaluate(
            "async ([url, asked]) => { const answer = await fetch(url, asked); return [answer.status, await answer.text()] }",
            [url, {"method": method, "headers": headers} | ({} if body is None else {"body": body})],
        )
        return int(status), str(text)


class Student(Somebody):
    """Somebody who learns: the Assignment List and the notebook in JupyterLab."""

    def open_list(self) -> None:
        """The Assignment List, read anew."""
        self.page.goto(f"{self.server}/lab")
        self.page.get_by_role("menuitem", name="Nbgrader").click()
        self.page.get_by_role("menuitem", name="Assignment List").click()

    def fetch(self) -> None:
        """Fetch the assignment."""
        self.open_list()
        self.page.get_by_role("button", name="Fetch", exact=True).click()
        expect(self.page.get_by_role("button", name="Submit", exact=True)).to_be_visible()

    def solve(self, code: str, answer: str) -> None:
        """Open the notebook, write both answers into it and save it."""
        self.page.goto(f"{self.server}/lab/tree/{ASSIGNMENT}/{NOTEBOOK}.ipynb")
        self.page.locator(".jp-CodeCell .cm-content").first.click()
        self._type(code)
        text = self.page.locator(".jp-MarkdownCell").last
        text.dblclick()
        text.locator(".cm-content").click()
        self._type(answer)
        self.page.keyboard.press("ControlOrMeta+S")
        expect(self.page.get_by_text("Saving completed")).to_be_visible()
        saved = [cell["source"] for cell in self.content(f"{ASSIGNMENT}/{NOTEBOOK}.ipynb")["cells"]]
        assert (saved[0], saved[-1]) == (code, answer)

    def submit(self, times: int) -> None:
        """Hand it in; `times` submissions are there afterwards."""
        self.open_list()
        self.page.get_by_role("button", name="Submit", exact=True).click()
        expect(self.page.get_by_text(re.compile(r"^\s*20\d\d-\d\d-\d\d [\d:.]+ UTC"))).to_have_count(times)

    def _type(self, text: str) -> None:
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.insert_text(text)


class Lecturer(Somebody):
    """Somebody who teaches: the lab's pages and formgrader."""

    def formgrader(self, path: str = "") -> None:
        """A page of formgrader."""
        self.page.goto(f"{self.server}/formgrader/{path}")

    def button(self, column: str, told: str) -> str:
        """Press a button of the assignment in formgrader, read what it says, close that; the log that was shown."""
        self.formgrader("manage_assignments")
        row = self.page.get_by_role("row").filter(has=self.page.get_by_role("link", name=ASSIGNMENT, exact=True))
        row.locator(f".{column} a").click()
        dialog = self.page.get_by_role("dialog").filter(has_text=told)
        expect(dialog).to_be_visible()
        log = dialog.locator("pre").inner_text()
        dialog.get_by_role("button", name="OK").click()
        expect(dialog).to_be_hidden()
        return log
