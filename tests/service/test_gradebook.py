"""Gradebook, statistics, own grades and exports, over HTTP, with a real gradebook of nbgrader's."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from openpyxl import load_workbook
from sqlalchemy import select

from kirzl_lab.store.course_tables import Assignment, BlobRow, Submission
from kirzl_lab.store.tables import Person, Space
from tests.courses.books import DUE, BookMade, CellMade, GradeMade, WorkMade, fill
from tests.service.conftest import Service
from tests.service.sample import COLLEAGUE, INSTRUCTOR, NOW, OUTSIDER, STUDENT

API = "/services/lab/api/courses/ml-101"
PAGES = "/services/lab/courses/ml-101"
LATE = timedelta(hours=3)

BOOK = BookMade(
    assignments=[[[CellMade("auto", 4), CellMade("manual", 6)]], [[CellMade("auto", 5)]]],
    work=[
        [WorkMade([(1.5, [GradeMade(4, None, None, False), GradeMade(None, 4.25, None, False)])], LATE), None],
        [WorkMade([(None, [GradeMade(2, None, None, False), GradeMade(None, None, None, True)])]), None],
    ],
)


@pytest.fixture
async def graded(in_course: Service) -> AsyncIterator[Service]:
    """ml-101: `ps0` is graded for `STUDENT` (late) and half for `COLLEAGUE`, who also handed in `ps1`."""
    state = in_course.state
    url = state.gradebooks.staff_url("ml-101", INSTRUCTOR)
    fill(url, BOOK, [STUDENT, COLLEAGUE])
    async with in_course.store.writing() as session:
        space = (await session.scalars(select(Space).where(Space.name == "ml-101"))).one()
        session.add(BlobRow(sha256="0" * 64, size=1, created_at=NOW))
        await session.flush()
        people = {one.hub_name: one.id for one in await session.scalars(select(Person))}
        for number, name in enumerate(("ps0", "ps1")):
            due = DUE.replace(tzinfo=UTC) + timedelta(days=7 * number)
            one = Assignment(
                space_id=space.id, name=name, due_at=due, notebooks=["nb0"], released_at=NOW, created_at=NOW
            )
            session.add(one)
            await session.flush()
            for who in (STUDENT, COLLEAGUE) if name == "ps0" else (COLLEAGUE,):
                at = due + (LATE if (who, name) == (STUDENT, "ps0") else timedelta(0))
                session.add(_submission(one.id, people[who], at, f"{who}-{name}"))
    yield in_course


def _submission(assignment_id: int, person_id: int, at: datetime, key: str) -> Submission:
    return Submission(
        assignment_id=assignment_id, person_id=person_id, key=key, submitted_at=at, sha256="0" * 64, files=1,
        notebooks=["nb0"], receipt="",
    )  # fmt: skip


async def rows_of(service: Service, query: str = "") -> list[str]:
    async with service.with_token(INSTRUCTOR) as client:
        answer = await client.get(f"{API}/gradebook{query}")
    assert answer.status_code == 200, answer.text
    return [item["student"] for item in answer.json()["items"]]


async def test_the_gradebook_for_programs(graded: Service) -> None:
    async with graded.with_token(INSTRUCTOR) as client:
        answer = (await client.get(f"{API}/gradebook")).json()
    due = DUE.replace(tzinfo=UTC)
    assert answer["assignments"] == [
        {"name": "ps0", "max_score": 10.0, "due_at": due.isoformat().replace("+00:00", "Z")},
        {"name": "ps1", "max_score": 5.0, "due_at": (due + timedelta(days=7)).isoformat().replace("+00:00", "Z")},
    ]
    by_name = {item["student"]: item for item in answer["items"]}
    assert by_name[STUDENT]["total"] == 6.75
    first, second = by_name[STUDENT]["grades"]
    assert first == {
        "assignment": "ps0",
        "state": "graded",
        "score": 6.75,
        "raw_score": 8.25,
        "late_penalty": 1.5,
        "submitted_at": (due + LATE).isoformat().replace("+00:00", "Z"),
        "newer_submission": False,
    }
    assert second["state"] == "missing"
    assert [grade["state"] for grade in by_name[COLLEAGUE]["grades"]] == ["needs-manual-grade", "submitted"]
    assert by_name[COLLEAGUE]["grades"][1]["score"] is None
    assert all(item["enrolled"] for item in answer["items"])


async def test_who_is_shown_and_in_which_order(graded: Service) -> None:
    everybody = await rows_of(graded)
    assert everybody == await rows_of(graded, "?sort=name")
    assert await rows_of(graded, "?descending=true") == everybody[::-1]
    assert await rows_of(graded, "?sort=total") == [COLLEAGUE, STUDENT]
    assert await rows_of(graded, "?sort=total&descending=true") == [STUDENT, COLLEAGUE]
    assert await rows_of(graded, "?sort=score&by=ps0&descending=true") == [STUDENT, COLLEAGUE]
    assert await rows_of(graded, "?state=needs-manual-grade") == [COLLEAGUE]
    assert await rows_of(graded, "?state=missing&assignment=ps0") == []
    assert await rows_of(graded, "?state=missing") == [STUDENT]
    assert await rows_of(graded, "?state=submitted&assignment=ps1") == [COLLEAGUE]
    assert await rows_of(graded, "?search=PRUFLING") == [STUDENT], "marks and case do not matter"
    assert await rows_of(graded, "?section=nowhere") == []
    assert await rows_of(graded, "?per_page=1&page=2") == everybody[1:]
    assert await rows_of(graded, "?sort=total&per_page=1&page=2") == [STUDENT]


async def test_work_newer_than_its_grade_and_people_who_left(graded: Service) -> None:
    async with graded.store.writing() as session:
        person = (await session.scalars(select(Person).where(Person.hub_name == OUTSIDER))).one()
        student = (await session.scalars(select(Person).where(Person.hub_name == STUDENT))).one()
        ps0 = (await session.scalars(select(Assignment).where(Assignment.name == "ps0"))).one()
        session.add(_submission(ps0.id, person.id, NOW, "outside"))
        session.add(_submission(ps0.id, student.id, NOW, "once-more"))
    async with graded.with_token(INSTRUCTOR) as client:
        items = {item["student"]: item for item in (await client.get(f"{API}/gradebook")).json()["items"]}
    assert items[OUTSIDER]["enrolled"] is False
    assert items[STUDENT]["grades"][0]["newer_submission"] is True
    assert items[STUDENT]["grades"][0]["state"] == "graded"


async def test_the_page_says_the_same_in_both_languages(graded: Service) -> None:
    async with graded.browser(INSTRUCTOR) as client:
        german = (await client.get(f"{PAGES}/gradebook", headers={"Accept-Language": "de"})).text
        english = (await client.get(f"{PAGES}/gradebook", headers={"Accept-Language": "en"})).text
    assert ">6,75</a>" in german
    assert "verspätet −1,5" in german
    assert ">6.75</a>" in english
    assert f'href="/hub/user/{INSTRUCTOR}/ml-101/formgrader/manage_students/{STUDENT}/ps0"' in english
    assert "to be graded" in english
    assert "handed in</span>" in english


async def test_own_grades_only_with_feedback_for_that_very_submission(graded: Service) -> None:
    async def own() -> list[dict[str, object]]:
        async with graded.with_token(STUDENT) as client:
            answer = (await client.get(f"{API}/grades")).json()
        assert [one["name"] for one in answer["assignments"]] == ["ps0", "ps1"]
        grades: list[dict[str, object]] = answer["grades"]
        return grades

    async def release(key: str, at: datetime | None) -> None:
        async with graded.store.writing() as session:
            row = (await session.scalars(select(Submission).where(Submission.key == key))).one()
            row.feedback_at = at

    assert [(grade["state"], grade["score"]) for grade in await own()] == [("submitted", None), ("missing", None)]
    await release(f"{STUDENT}-ps0", NOW)
    assert [(grade["state"], grade["score"]) for grade in await own()] == [("graded", 6.75), ("missing", None)]

    # Something newer has feedback, but the grade is not for it: nothing is told before it is graded.
    async with graded.store.writing() as session:
        person = (await session.scalars(select(Person).where(Person.hub_name == STUDENT))).one()
        ps0 = (await session.scalars(select(Assignment).where(Assignment.name == "ps0"))).one()
        newer = _submission(ps0.id, person.id, NOW, "newer")
        newer.feedback_at = NOW
        session.add(newer)
    await release(f"{STUDENT}-ps0", None)
    assert [(grade["state"], grade["score"]) for grade in await own()] == [("submitted", None), ("missing", None)]

    await release(f"{STUDENT}-ps0", NOW)
    async with graded.browser(STUDENT) as client:
        shown = (await client.get(f"{PAGES}/grades", headers={"Accept-Language": "en"})).text
        refused = await client.get(f"{PAGES}/gradebook")
    assert "6.75 of 10" in shown
    assert "1.5 points less, because it was late" in shown
    assert "You have handed in something newer" in shown
    assert refused.status_code == 403


async def test_a_withdrawn_assignment_stays_for_those_who_handed_in(graded: Service) -> None:
    async with graded.store.writing() as session:
        for one in await session.scalars(select(Assignment)):
            one.released_at = None
    async with graded.with_token(STUDENT) as student:
        assert [one["name"] for one in (await student.get(f"{API}/grades")).json()["assignments"]] == ["ps0"]


async def test_the_export(graded: Service) -> None:
    async with graded.store.writing() as session:
        person = (await session.scalars(select(Person).where(Person.hub_name == STUDENT))).one()
        person.display_name = "=HYPERLINK(1)"
    async with graded.with_token(INSTRUCTOR) as client:
        as_csv = await client.get(f"{API}/gradebook.csv")
        as_xlsx = await client.get(f"{API}/gradebook.xlsx")
        assert (await client.get(f"{API}/gradebook.pdf")).status_code == 422
    assert as_csv.headers["content-disposition"] == 'attachment; filename="gradebook-ml-101.csv"'
    lines = {line["student"]: line for line in csv.DictReader(io.StringIO(as_csv.content.decode("utf-8-sig")))}
    assert lines[STUDENT]["name"] == "'=HYPERLINK(1)"
    assert (lines[STUDENT]["ps0 (of 10)"], lines[STUDENT]["ps0 late penalty"]) == ("6.75", "1.5")
    assert (lines[COLLEAGUE]["ps1 (of 5)"], lines[COLLEAGUE]["ps1 state"]) == ("", "submitted")
    sheet = load_workbook(io.BytesIO(as_xlsx.content))["Gradebook"]
    heading, *rest = sheet.iter_rows(values_only=True)
    assert heading[:5] == ("student", "name", "section", "enrolled", "total (of 15)")
    values = {row[0]: dict(zip(heading, row, strict=True)) for row in rest}
    assert values[STUDENT]["name"] == "=HYPERLINK(1)"
    assert values[STUDENT]["ps0 (of 10)"] == 6.75
    assert "f" not in {cell.data_type for row in sheet.iter_rows() for cell in row}, "a formula"


async def test_the_statistics(graded: Service) -> None:
    async with graded.with_token(INSTRUCTOR) as client:
        told = (await client.get(f"{API}/assignments/ps0/statistics")).json()
        missing = await client.get(f"{API}/assignments/nothing/statistics")
    assert missing.status_code == 404
    assert missing.json()["slug"] == "unknown-assignment"
    assert (told["students"], told["submitted"], told["waiting"], told["late"]) == (2, 2, 1, 1)
    assert told["scores"] == {"count": 1, "mean": 6.75, "median": 6.75, "low": 6.75, "high": 6.75}
    assert [one["count"] for one in told["distribution"]] == [0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    assert [(task["cell"], task["graded"], task["success"]) for task in told["tasks"]] == [
        ("cell0", 2, 0.75),
        ("cell1", 1, pytest.approx(4.25 / 6)),
    ]
    assert len(told["submitted_at"]) == 2
    async with graded.browser(INSTRUCTOR) as client:
        page = (await client.get(f"{PAGES}/assignments/ps0/statistics", headers={"Accept-Language": "de"})).text
    assert "6,75" in page
    assert '<svg viewBox="0 0 640.0' in page
    assert 'aria-labelledby="scores-plot-title scores-plot-about"' in page
    assert "style=" not in page, "the Content-Security-Policy forbids styles in pages"
