"""A whole small term in a real browser: from a course that is made to grades that students read, with every number the
same wherever it stands; somebody comes late, somebody goes.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import openpyxl
import pytest
from nbgrader.api import Gradebook
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.term import ASSIGNMENT, COURSE, NOTEBOOK, SOURCE, TITLE, Lecturer, Student
from tests.support.browser import launch
from tests.support.running_lab import RunningLab
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.laptop, pytest.mark.slow]

UNI, UAS = "Demo University", "Demo University of Applied Sciences"
ROSTER = "Einrichtung;E-Mail;Rolle;Gruppe\r\n" + "".join(
    f"{institution};{account}@{institution}.example;Studierende;Ü {section}\r\n"
    for institution, account, section in (("uni", "student1", 1), ("uni", "student2", 1), ("uas", "student1", 2))
)
DUE = "2099-03-01T23:59"
LATE_JOINER_LIMIT_S = 10
WRONG = "def mean(values):\n    return 0"


@dataclass(frozen=True, slots=True)
class Work:
    """What a student hands in last, and what it is worth."""

    institution: str
    account: str
    code: str
    answer: str
    automatic: float
    by_hand: float

    @property
    def name(self) -> str:
        return f"Student {self.account.removeprefix('student')} ({self.institution})"

    @property
    def score(self) -> float:
        return self.automatic + self.by_hand


WORKS = (
    Work(
        *(UNI, "student1", "def mean(values):\n    return sum(values) / len(values) if values else 0"),
        *("A value far out pulls it.", 6, 3.5),
    ),
    Work(UNI, "student2", "def mean(values):\n    return sum(values) / len(values)", "It is the middle.", 4, 2),
    Work(UAS, "student1", "def mean(values):\n    return max(values)", "I do not know.", 0, 1),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        yield from launch(playwright)


def test_a_small_term(demo_lab: RunningLab, browser: Browser) -> None:
    lecturer = Lecturer(browser, demo_lab.url, UNI, "lecturer")
    make_course(lecturer)
    upload_roster(lecturer)
    release(lecturer)
    students = [Student(browser, demo_lab.url, work.institution, work.account) for work in WORKS]
    late = Student(browser, demo_lab.url, UAS, "student2")
    hand_in(students)
    collect_and_grade(lecturer)
    grade_by_hand(lecturer)
    release_feedback(lecturer)
    for student, work in zip(students, WORKS, strict=True):
        read_feedback(student, work)
    same_everywhere(lecturer, students, demo_lab)
    come_late(lecturer, late)
    go(lecturer, students[1])
    for somebody in (lecturer, late, *students):
        somebody.stop()


def make_course(lecturer: Lecturer) -> None:
    page = lecturer.page
    page.get_by_role("link", name="My courses").click()
    page.get_by_role("link", name="New course").click()
    page.get_by_label("Short name").fill(COURSE)
    page.get_by_label("Title in German").fill("Kleine Statistik")
    page.get_by_label("Title in English").fill(TITLE)
    page.get_by_label("Term", exact=True).fill("2026/27")
    page.get_by_role("button", name="Make the course").click()
    expect(page.get_by_role("status")).to_contain_text("you instruct it")


def upload_roster(lecturer: Lecturer) -> None:
    page = lecturer.page
    page.get_by_role("link", name="Roster").click()
    page.get_by_role("link", name="Upload a file").click()
    page.get_by_label("File", exact=True).set_input_files(
        [{"name": "people.csv", "mimeType": "text/csv", "buffer": ROSTER.encode("cp1252")}]
    )
    page.get_by_role("button", name="Show what would change").click()
    expect(page.get_by_text("Nothing is done yet.")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(1 + len(WORKS))
    page.get_by_role("button", name="Change the roster").click()
    for address, section in (("student1@uni.example", "Ü 1"), ("student1@uas.example", "Ü 2")):
        expect(page.get_by_role("row").filter(has_text=address)).to_contain_text(section)


def release(lecturer: Lecturer) -> None:
    """The assignment is made in formgrader, its notebook is saved, its student version generated and released."""
    page = lecturer.page
    lecturer.press_start()
    lecturer.in_jupyterlab()
    page.goto(lecturer.course)
    page.get_by_role("link", name="Open formgrader").click()
    # What is added while the list is still on its way would be replaced by it (nbgrader's manage_assignments.js).
    page.wait_for_function("() => window.models !== undefined && window.models.loaded")
    page.get_by_role("link", name="Add new assignment").click()
    page.locator(".modal input.name").fill(ASSIGNMENT)
    page.locator(".modal input.duedate").fill(DUE)
    page.get_by_role("button", name="Save").click()
    # What was typed is a time of the course's zone, and formgrader says so.
    expect(page.get_by_role("row").filter(has_text=ASSIGNMENT)).to_contain_text("2099-03-01 23:59:00 CET")
    made = page.get_by_role("link", name=ASSIGNMENT, exact=True)
    expect(made).to_have_attribute("href", f"/user/{lecturer.hub_name}/{COURSE}/lab/tree/course/source/{ASSIGNMENT}")
    lecturer.write(f"course/source/{ASSIGNMENT}/{NOTEBOOK}.ipynb", SOURCE)
    lecturer.button("assign", "Successfully created the student version")
    lecturer.button("release", "Successfully released")
    page.goto(lecturer.course)
    expect(page.get_by_role("row").filter(has_text=ASSIGNMENT)).to_contain_text("released")


def hand_in(students: list[Student]) -> None:
    """All fetch it, work on it and hand it in; the first one thinks again and hands in twice."""
    for student in students:
        student.press_start()
    for number, (student, work) in enumerate(zip(students, WORKS, strict=True)):
        student.in_jupyterlab()
        student.fetch()
        assert student.content("course") is None
        if number == 0:
            student.solve(WRONG, work.answer)
            student.submit(times=1)
        student.solve(work.code, work.answer)
        student.submit(times=2 if number == 0 else 1)


def collect_and_grade(lecturer: Lecturer) -> None:
    page = lecturer.page
    log = lecturer.button("collect", "Successfully collected")
    assert f"Processing {len(WORKS)} submissions" in log
    page.goto(f"{lecturer.course}/assignments/{ASSIGNMENT}")
    twice = page.get_by_role("row").filter(has_text=WORKS[0].name)
    expect(twice).to_contain_text("2 times")
    page.get_by_role("button", name="Grade all").click()
    # The page of the run moves by itself, until everything is over.
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_text(f"{len(WORKS)} of {len(WORKS)}", exact=True)).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "100")
    for work in WORKS:
        row = page.get_by_role("row").filter(has_text=work.name)
        expect(row).to_contain_text(f"{work.automatic:g} of 10")
        expect(row).to_contain_text("to be graded by hand")


def grade_by_hand(lecturer: Lecturer) -> None:
    """From a score of the lab's gradebook into formgrader, where points and a word are given."""
    page = lecturer.page
    for work in WORKS:
        page.goto(f"{lecturer.course}/gradebook")
        page.get_by_role("link", name=f"{work.automatic:g} points of {work.name} in {ASSIGNMENT}").click()
        page.get_by_role("link", name=NOTEBOOK, exact=True).click()
        expect(page.locator("#hidden.score")).to_have_attribute("placeholder", re.compile(r"\d"))
        expect(page.locator("#why.score")).to_have_class(re.compile("needs_manual_grade"))
        page.locator("#why.score").fill(f"{work.by_hand:g}")
        page.locator("#why.score").press("Escape")
        expect(page.locator("#why.score")).not_to_have_class(re.compile("needs_manual_grade"))
        with page.expect_response(re.compile(r"/formgrader/api/comment/")) as saved:
            page.locator("#why-comment").fill(f"For {work.account}")
            page.locator("#why-comment").press("Escape")
        assert saved.value.ok


def release_feedback(lecturer: Lecturer) -> None:
    page = lecturer.page
    page.goto(f"{lecturer.course}/assignments/{ASSIGNMENT}")
    page.get_by_role("link", name="Release feedback").click()
    page.get_by_role("button", name="Release feedback").click()
    figure = page.get_by_role("listitem").filter(has_text="with feedback")
    expect(figure.locator("strong")).to_have_text(str(len(WORKS)))


def read_feedback(student: Student, work: Work) -> None:
    """On the lab's pages, and in their own server."""
    page = student.page
    page.goto(f"{student.course}/assignments/{ASSIGNMENT}")
    expect(page.get_by_text(f"{work.score:g} of 10")).to_be_visible()
    expect(page.get_by_role("link", name="Download feedback")).to_have_count(1)
    page.goto(f"{student.course}/grades")
    expect(page.get_by_role("row").filter(has_text=ASSIGNMENT)).to_contain_text(f"{work.score:g} of 10")
    for closed in ("gradebook", "roster"):
        answer = page.goto(f"{student.course}/{closed}")
        assert answer is not None
        assert answer.status == 403
    student.open_list()
    page.get_by_role("button", name="Fetch Feedback").click()
    expect(page.get_by_text("view feedback")).to_be_visible()
    (folder,) = (each for each in student.content(f"{ASSIGNMENT}/feedback"))
    pages = student.content(folder["path"])
    assert [each["name"] for each in pages] == [f"{NOTEBOOK}.html"]
    told = student.content(pages[0]["path"])
    assert f"For {work.account}" in told
    assert work.answer in told


def same_everywhere(lecturer: Lecturer, students: list[Student], lab: RunningLab) -> None:
    """The lab's gradebook, both exports, nbgrader's own gradebook and formgrader say the same."""
    page = lecturer.page
    expected = {student.hub_name: work.score for student, work in zip(students, WORKS, strict=True)}
    page.goto(f"{lecturer.course}/gradebook")
    for work in WORKS:
        row = page.get_by_role("row").filter(has_text=work.name)
        expect(row.get_by_role("cell").nth(-2)).to_have_text(f"{work.score:g}")
        expect(row.get_by_role("cell").last).to_have_text(f"{work.score:g}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    lines = csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8-sig")))
    exported = {line["student"]: line for line in lines}
    assert {name: float(line[f"{ASSIGNMENT} (of 10)"]) for name, line in exported.items()} == expected
    assert {name: float(line["total (of 10)"]) for name, line in exported.items()} == expected
    with page.expect_download() as download:
        page.get_by_role("link", name="Export for Excel").click()
    heading, *rows = openpyxl.load_workbook(io.BytesIO(download.value.path().read_bytes())).worksheets[0].values
    column = heading.index(f"{ASSIGNMENT} (of 10)")
    assert {row[0]: row[column] for row in rows} == expected
    with Gradebook(f"sqlite:///{lab.data}/gradebooks/{COURSE}/gradebook.db") as gradebook:
        found = {each.student.id: each.score for each in gradebook.assignment_submissions(ASSIGNMENT)}
    assert found == expected
    lecturer.formgrader(f"gradebook/{ASSIGNMENT}/{NOTEBOOK}")
    for work in WORKS:
        expect(page.get_by_role("gridcell", name=f"{work.score:g} / 10", exact=True)).to_be_visible()


def come_late(lecturer: Lecturer, late: Student) -> None:
    """Somebody who has logged in already and waits works in the course within seconds of being on the roster."""
    expect(late.card()).to_have_count(0)
    page = lecturer.page
    page.goto(f"{lecturer.course}/roster")
    page.get_by_label("Known by").select_option(label=f"E-mail address · {UAS}")
    page.get_by_label("Address or number", exact=True).fill("student2@uas.example")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status").first).to_contain_text("Added")
    wait_until(_reloaded(late), "the course on My spaces", LATE_JOINER_LIMIT_S)
    late.press_start()
    late.in_jupyterlab()
    late.fetch()


def _reloaded(student: Student) -> Callable[[], bool]:
    def there() -> bool:
        student.page.goto(f"{student.lab_url}/hub/home")
        return student.card().get_by_role("button", name=re.compile("^Start")).count() > 0

    return there


def go(lecturer: Lecturer, student: Student) -> None:
    """Whoever is off the roster has no way in any more; what they handed in and its grade stay with the lecturer."""
    page, work = lecturer.page, WORKS[1]
    page.goto(f"{lecturer.course}/roster")
    page.get_by_role("row").filter(has_text="student2@uni.example").get_by_role("link", name="Change").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("status").first).to_contain_text("What they handed in is kept")
    for path in ("", f"/assignments/{ASSIGNMENT}", "/grades"):
        answer = student.page.goto(f"{student.course}{path}")
        assert answer is not None
        assert answer.status == 404
    student.page.goto(f"{student.lab_url}/hub/home")
    expect(student.card().get_by_role("button", name=re.compile("^Start"))).to_have_count(0)
    page.goto(f"{lecturer.course}/assignments/{ASSIGNMENT}")
    row = page.get_by_role("row").filter(has_text=work.name)
    expect(row).to_contain_text("no student here")
    expect(row).to_contain_text(f"{work.score:g}")
    row.get_by_role("link", name=work.name, exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Files", exact=True).click()
    assert download.value.path().stat().st_size > 0
