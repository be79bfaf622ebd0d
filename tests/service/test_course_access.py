"""Every endpoint of a course against everybody who is in it, in another one, or there with a server."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from kirzl_lab.service.access_table import ACCESS, IN_A_COURSE, Who
from kirzl_lab.service.reference import Row, rows
from kirzl_lab.store.course_tables import Assignment, BlobRow, GradingRun, GradingTask, Submission
from kirzl_lab.store.tables import AuditEntry
from tests.service.conftest import Service
from tests.service.fake_hub import SCOPE
from tests.service.handed_in import fill_exchange
from tests.service.sample import ASSISTANT, COLLEAGUE, INSTRUCTOR, OPERATOR, OUTSIDER, STUDENT
from tests.service.test_access import APP, COURSES, REAL

COLUMNS = (Who.MEMBER, Who.STAFF, Who.INSTRUCTOR, Who.LECTURER, Who.OWN_WORK)
NO_COURSE, NO_WORK = "unknown-course", "unknown-submission"
STAFF, INSTRUCTORS, LECTURERS, SERVER = "staff-only", "instructors-only", "lecturers-only", "own-login-needed"
ELSEWHERE = (NO_COURSE, NO_COURSE, SERVER, SERVER, NO_COURSE)
REFUSALS = {
    NO_COURSE,
    NO_WORK,
    STAFF,
    INSTRUCTORS,
    LECTURERS,
    SERVER,
    "not-logged-in",
    "operators-only",
    "scope-missing",
}
Row_ = tuple[str | None, str | None, str | None, str | None, str | None]

# Who knocks, and with what: a token of their own, a browser, or a server's token -> what each column of the table says
# at ml-101 and at dl-201. The submission in the address is `STUDENT`'s, in ml-101.
KNOCKERS: dict[tuple[str, str], tuple[Row_, Row_]] = {
    (STUDENT, "token"): (
        (None, STAFF, INSTRUCTORS, LECTURERS, None),
        (None, STAFF, INSTRUCTORS, LECTURERS, NO_WORK),
    ),
    (STUDENT, "browser"): (
        (None, STAFF, INSTRUCTORS, LECTURERS, None),
        (None, STAFF, INSTRUCTORS, LECTURERS, NO_WORK),
    ),
    (STUDENT, "ml-101"): ((None, STAFF, SERVER, SERVER, None), ELSEWHERE),
    (STUDENT, "dl-201"): (ELSEWHERE, (None, STAFF, SERVER, SERVER, NO_WORK)),
    (STUDENT, "never-bound"): (ELSEWHERE, ELSEWHERE),
    (COLLEAGUE, "token"): (
        (None, STAFF, INSTRUCTORS, LECTURERS, NO_WORK),
        (NO_COURSE, NO_COURSE, NO_COURSE, LECTURERS, NO_COURSE),
    ),
    (COLLEAGUE, "ml-101"): ((None, STAFF, SERVER, SERVER, NO_WORK), ELSEWHERE),
    (ASSISTANT, "token"): (
        (None, None, INSTRUCTORS, LECTURERS, None),
        (NO_COURSE, NO_COURSE, NO_COURSE, LECTURERS, NO_COURSE),
    ),
    (ASSISTANT, "browser"): (
        (None, None, INSTRUCTORS, LECTURERS, None),
        (NO_COURSE, NO_COURSE, NO_COURSE, LECTURERS, NO_COURSE),
    ),
    (ASSISTANT, "ml-101"): ((None, None, SERVER, SERVER, None), ELSEWHERE),
    (ASSISTANT, "ml-101-preview"): ((None, STAFF, SERVER, SERVER, NO_WORK), ELSEWHERE),
    (INSTRUCTOR, "token"): (
        (None, None, None, None, None),
        (NO_COURSE, NO_COURSE, NO_COURSE, None, NO_COURSE),
    ),
    (INSTRUCTOR, "browser"): (
        (None, None, None, None, None),
        (NO_COURSE, NO_COURSE, NO_COURSE, None, NO_COURSE),
    ),
    (INSTRUCTOR, "ml-101"): ((None, None, SERVER, SERVER, None), ELSEWHERE),
    (INSTRUCTOR, "ml-101-preview"): ((None, STAFF, SERVER, SERVER, NO_WORK), ELSEWHERE),
    (OUTSIDER, "token"): (
        (NO_COURSE, NO_COURSE, NO_COURSE, None, NO_COURSE),
        (None, None, None, None, NO_WORK),
    ),
    (OUTSIDER, "dl-201"): (ELSEWHERE, (None, None, SERVER, SERVER, NO_WORK)),
    (OPERATOR, "token"): (
        (NO_COURSE, NO_COURSE, NO_COURSE, None, NO_COURSE),
        (NO_COURSE, NO_COURSE, NO_COURSE, None, NO_COURSE),
    ),
}


@asynccontextmanager
async def knocking(service: Service, who: str, by: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that person."""
    async with AsyncExitStack() as stack:
        if by == "browser":
            client = await stack.enter_async_context(service.browser(who))
            client.headers["Accept"] = "application/json"
        elif by == "token":
            client = await stack.enter_async_context(service.with_token(who))
        else:
            scopes = (SCOPE, f"users:activity!user={who}", f"access:servers!server={who}/{by}")
            token = service.hub.give_token(who, f"server-{who}-{by}", *scopes)
            client = await stack.enter_async_context(service.client(Authorization=f"Bearer {token}"))
        yield client


async def everything(service: Service) -> list[list[tuple[object, ...]]]:
    """What the lab database has of courses, and how much was done."""
    done = select(func.count()).select_from(AuditEntry)
    tables = [select(kind.__table__) for kind in (Assignment, Submission, BlobRow, GradingRun, GradingTask)]
    async with service.store.reading() as session:
        return [[tuple(row) for row in await session.execute(query)] for query in (done, *tables)]


def address(row: Row, course: str, submission: int) -> str:
    path = row.path
    for name, value in (REAL | {"{course}": course, "{submission}": str(submission)}).items():
        path = path.replace(name, value)
    return path


@pytest.mark.parametrize(("who", "by"), list(KNOCKERS))
async def test_everybody_at_every_door_of_a_course(in_course: Service, tmp_path: Path, who: str, by: str) -> None:
    submission = (await fill_exchange(in_course, tmp_path))["id"]
    async with knocking(in_course, who, by) as client:
        for course, expected in zip(("ml-101", "dl-201"), KNOCKERS[who, by], strict=True):
            for row in (row for row in rows(APP) if row.who in COURSES):
                says = dict(zip(COLUMNS, expected, strict=True))
                refusal = says[row.who] or (says[Who.OWN_WORK] if "{submission}" in row.path else None)
                before = await everything(in_course) if refusal else None
                answer = await client.request(row.method, address(row, course, submission))
                problem = "problem+json" in answer.headers.get("content-type", "")
                slug = answer.json()["slug"] if problem else None
                if refusal is None and by == "browser" and row.method != "GET":
                    refusal = "form-expired"
                assert slug == refusal or (refusal is None and slug not in REFUSALS), (row, slug)
                assert before is None or await everything(in_course) == before, f"{row} was refused, and did something"


def test_what_is_in_a_course_is_decided_there() -> None:
    """A route with a course in its address is for people in it; what names a submission is for whose it is, or staff."""
    for row in rows(APP):
        if "{course}" in row.path:
            assert row.who in IN_A_COURSE, row
        if "{submission}" in row.path:
            assert row.who in {Who.OWN_WORK, Who.STAFF, Who.INSTRUCTOR}, row
    assert set(COLUMNS) == COURSES
    assert {Who.MEMBER, Who.STAFF, Who.OWN_WORK} <= set(ACCESS.values())
