"""From a submission to feedback that its student reads: every step real, with nbgrader's own files in between."""

import asyncio
import io
import os
import shutil
import sys
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from nbgrader.api import Gradebook

from kirzl_lab.service.grading import grading
from kirzl_lab.store.archives import pack
from tests.grading import course as courses
from tests.grading.course import ASSIGNMENT, COURSE, Course, answered
from tests.service.conftest import Service, form_key
from tests.service.sample import INSTRUCTOR, STUDENT

pytestmark = pytest.mark.laptop

API = f"/services/lab/api/courses/{COURSE}"
PAGE = f"/services/lab/courses/{COURSE}/assignments/{ASSIGNMENT}"
Look = Callable[[], Awaitable[float]]
GZIP = {"Content-Type": "application/gzip"}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """A course folder with a generated assignment."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))  # for alembic
    return courses.make(tmp_path / "course-folder")


@pytest.fixture
async def taught(in_course: Service, made: Course) -> AsyncIterator[tuple[Service, Look]]:
    """The lab with that course's gradebook, and one look of the loop that grades."""
    in_course.state.gradebooks.prepare(COURSE)
    shutil.copyfile(made.root / "gradebook.db", in_course.state.settings.data / "gradebooks" / COURSE / "gradebook.db")
    async with grading(in_course.state) as look:
        yield in_course, look


def packed(folder: Path) -> bytes:
    """The folder as an archive."""
    file = folder.parent / f"{folder.name}.tar.gz"
    pack(folder, file)
    return file.read_bytes()


async def until(look: Look, true: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until it is true."""
    async with asyncio.timeout(240):
        while not await true():  # noqa: ASYNC110 - the loop's own pause between two looks
            await asyncio.sleep(await look())


async def test_from_a_submission_to_its_feedback(taught: tuple[Service, Look], made: Course) -> None:
    service, look = taught

    async def status(address: str) -> dict[str, object]:
        async with service.with_token(INSTRUCTOR) as program:
            return dict((await program.get(f"{API}{address}")).json())

    async with service.with_token(INSTRUCTOR) as teacher, service.with_token(STUDENT) as student:
        release = made.root / "release" / ASSIGNMENT
        given = await teacher.put(f"{API}/assignments/{ASSIGNMENT}/release", content=packed(release), headers=GZIP)
        assert given.status_code == 204, given.text
        right = answered(made.released("problem1"), square="def square(x):\n    return x * x", plot="plot = 1")
        made.hand_in("me", courses.EARLY, {"problem1": right})
        work = packed(made.submitted("me"))
        key = {"Idempotency-Key": "0123456789abcdef"}
        sent = await student.post(f"{API}/assignments/{ASSIGNMENT}/submissions", content=work, headers=GZIP | key)
        assert sent.status_code == 201, sent.text
    async with service.browser(INSTRUCTOR) as staff:
        staff.headers["Accept-Language"] = "en"
        run = (await send(staff, f"{PAGE}/grade", who="all")).headers["location"]
        number = run.rsplit("/", 1)[1]

        async def graded() -> bool:
            return (await status(f"/runs/{number}"))["finished_at"] is not None

        await until(look, graded)
        page = (await staff.get(run)).text
        assert "5 of 27" in page, "3 for the test and 2 partial"
        assert "to be graded by hand" in page
        refused = await send(staff, f"{PAGE}/feedback", who="all")
        assert refused.status_code == 409, "two cells wait for a person"
        grade_by_hand(service)
        assert (await send(staff, f"{PAGE}/feedback", who="all")).status_code == 303

        async def released() -> bool:
            return (await status(f"/assignments/{ASSIGNMENT}/feedback"))["waiting"] == []

        await until(look, released)
        assert (await status(f"/assignments/{ASSIGNMENT}/feedback"))["released"] == [STUDENT]
        assert "feedback released" in (await staff.get(PAGE)).text
    async with service.browser(STUDENT) as student:
        own = (await student.get(PAGE, headers={"Accept-Language": "en"})).text
        assert "14.5 of 27" in own
        link = own[: own.index(">Download feedback")].rpartition('href="')[2].partition('"')[0]
        got = await student.get(link)
    assert got.headers["content-disposition"].startswith("attachment"), "no page of the lab's own origin"
    assert got.headers["content-type"] == "application/gzip"
    assert got.headers["x-content-type-options"] == "nosniff"
    with tarfile.open(fileobj=io.BytesIO(got.content)) as archive:
        assert archive.getnames() == ["problem1.html"]
        html = archive.extractfile("problem1.html")
        assert html is not None
        assert "Why indeed?" in html.read().decode()


def grade_by_hand(service: Service) -> None:
    """What formgrader writes."""
    with Gradebook(service.state.gradebooks.lab_url(COURSE), COURSE) as gradebook:
        for cell, points in (("plot", 3.5), ("why", 4), ("explain", 2)):
            grade = gradebook.find_grade(cell, "problem1", ASSIGNMENT, STUDENT)
            grade.manual_score, grade.needs_manual_grade = points, False
        gradebook.find_comment("why", "problem1", ASSIGNMENT, STUDENT).manual_comment = "Why indeed?"
        gradebook.db.commit()


async def send(client: httpx.AsyncClient, address: str, **fields: str) -> httpx.Response:
    """Send a form of the assignment's page."""
    key = form_key((await client.get(PAGE)).text)
    return await client.post(address, data={"form_key": key, **fields}, headers={"Origin": "http://lab.test"})
