"""Grading on a laptop: from the press of the button to scores in the gradebook, with nbgrader's own code."""

import asyncio
import io
import shutil
import tarfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest
from nbgrader.api import Gradebook

from kirzl_lab.grading.tasks import State, open_tasks
from kirzl_lab.service.grading import grading
from kirzl_lab.store.archives import pack
from tests.grading.conftest import programs, template
from tests.grading.course import ASSIGNMENT, COURSE, Course, answered
from tests.service.conftest import Service
from tests.service.sample import INSTRUCTOR, STUDENT
from tests.service.test_exchange import GZIP

pytestmark = [pytest.mark.laptop, pytest.mark.slow]

API = f"/services/lab/api/courses/{COURSE}"
SQUARE = "def square(x):\n    return x * x"


__all__ = ["programs", "template"]


@pytest.fixture
def course(template: Course) -> Course:
    return template


@pytest.fixture
async def released(in_course: Service, course: Course, tmp_path: Path) -> Service:
    """The assignment is released, and in the gradebook of the course."""
    await asyncio.to_thread(in_course.state.gradebooks.prepare, COURSE)
    file = Path(in_course.state.gradebooks.lab_url(COURSE).removeprefix("sqlite:///"))
    shutil.copyfile(course.root / "gradebook.db", file)
    release = tmp_path / "release.tar.gz"
    pack(course.root / "release" / ASSIGNMENT, release)
    async with in_course.with_token(INSTRUCTOR) as teacher:
        answer = await teacher.put(
            f"{API}/assignments/{ASSIGNMENT}/release", content=release.read_bytes(), headers=GZIP
        )
        assert answer.status_code == 204, answer.text
    return in_course


def packed(course: Course, folder: Path, answers: Mapping[str, str]) -> bytes:
    """A submission with these answers in problem1."""
    folder.mkdir()
    for name in ("problem1", "problem2"):
        notebook = course.released(name)
        nbformat.write(answered(notebook, **(answers if name == "problem1" else {})), folder / f"{name}.ipynb")
    for name in ("numbers.txt", "helper.py"):
        shutil.copyfile(course.source / name, folder / name)
    file = folder.with_suffix(".tar.gz")
    pack(folder, file)
    return file.read_bytes()


async def hand_in(service: Service, course: Course, folder: Path, key: str, **answers: str) -> dict[str, Any]:
    """What the lab says of the student's submission with these answers in problem1."""
    body = packed(course, folder, answers)
    async with service.with_token(STUDENT) as student:
        answer = await student.post(
            f"{API}/assignments/{ASSIGNMENT}/submissions",
            content=body,
            headers=GZIP | {"Idempotency-Key": key},
        )
    assert answer.status_code == 201, answer.text
    model: dict[str, Any] = answer.json()
    return model


@asynccontextmanager
async def looping(service: Service) -> AsyncIterator[None]:
    """The lab looks after grading while the block runs."""

    async def again_and_again() -> None:
        async with grading(service.state) as look:
            while True:
                await look()
                await asyncio.sleep(0.05)

    task = asyncio.create_task(again_and_again())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def executing(teacher: httpx.AsyncClient, run: int) -> None:
    """Wait until student code runs."""
    async with asyncio.timeout(60):
        while True:
            if "executing" in (await teacher.get(f"{API}/runs/{run}")).raise_for_status().json()["states"]:
                return
            await asyncio.sleep(0.05)


async def over(teacher: httpx.AsyncClient, run: int) -> dict[str, Any]:
    """The run, once it has come to its end."""
    async with asyncio.timeout(120):
        while True:
            answer: dict[str, Any] = (await teacher.get(f"{API}/runs/{run}")).raise_for_status().json()
            if answer["finished_at"]:
                return answer
            await asyncio.sleep(0.1)


async def test_from_the_button_to_the_gradebook(released: Service, course: Course, tmp_path: Path) -> None:
    async with released.with_token(INSTRUCTOR) as teacher:
        begin = f"{API}/assignments/{ASSIGNMENT}/runs"
        assert (await teacher.post(begin)).json()["slug"] == "nothing-to-grade"
        handed_in = await hand_in(released, course, tmp_path / "right", "a" * 16, square=SQUARE)
        started = await teacher.post(begin)
        assert started.status_code == 201, started.text
        assert (started.json()["total"], started.json()["over"]) == (1, 0)
        async with looping(released):
            run = await over(teacher, started.json()["id"])
        (task,) = run["tasks"]
        assert (task["state"], task["student"], task["submission"]) == ("done", STUDENT, handed_in["id"]), task["log"]
        assert (task["score"], task["needs_manual_grade"]) == (5, True)
        with Gradebook(released.state.gradebooks.lab_url(COURSE), COURSE) as gradebook:
            assert gradebook.find_submission(ASSIGNMENT, STUDENT).score == 5
        (graded,) = (await teacher.get(f"{API}/graded")).json()["graded"]
        files = await teacher.get(f"{API}/submissions/{handed_in['id']}/graded")
        assert files.headers["etag"] == f'"{graded["graded_sha256"]}"'
        with tarfile.open(fileobj=io.BytesIO(files.content)) as archive:
            assert {"problem1.ipynb", "problem2.ipynb"} <= set(archive.getnames())
        # The newest submission counts, and a run that is over can be begun anew.
        await hand_in(released, course, tmp_path / "wrong", "b" * 16, square="def square(x):\n    return 0")
        again = (await teacher.post(begin, json={"students": [STUDENT]})).json()
        async with looping(released):
            run = await over(teacher, again["id"])
        assert [(task["state"], task["score"]) for task in run["tasks"]] == [("done", 0)]


async def test_a_process_that_ends_leaves_nothing_undone(released: Service, course: Course, tmp_path: Path) -> None:
    await hand_in(released, course, tmp_path / "slow", "a" * 16, square=f"import time\ntime.sleep(3)\n{SQUARE}")
    async with released.with_token(INSTRUCTOR) as teacher:
        started = (await teacher.post(f"{API}/assignments/{ASSIGNMENT}/runs")).json()
        async with looping(released):
            await executing(teacher, started["id"])
        left = (await teacher.get(f"{API}/runs/{started['id']}")).json()
        assert left["states"] == {"executing": 1}
        async with looping(released):
            run = await over(teacher, started["id"])
    (task,) = run["tasks"]
    assert (task["state"], task["attempt"], task["score"]) == ("done", 2, 5), task["log"]


async def test_a_run_is_cancelled_and_tried_again(released: Service, course: Course, tmp_path: Path) -> None:
    await hand_in(released, course, tmp_path / "endless", "a" * 16, square="while True:\n    pass")
    async with released.with_token(INSTRUCTOR) as teacher:
        run = (await teacher.post(f"{API}/assignments/{ASSIGNMENT}/runs")).json()["id"]
        async with looping(released):
            await executing(teacher, run)
            cancelled = (await teacher.post(f"{API}/runs/{run}/cancel")).json()
            assert cancelled["states"] == {"cancelled": 1}
            assert (await teacher.post(f"{API}/runs/{run}/cancel")).json()["slug"] == "run-over"
        assert (await teacher.post(f"{API}/runs/{run}/retry")).json()["states"] == {"queued": 1}
        assert (await teacher.post(f"{API}/runs/{run}/retry")).json()["slug"] == "run-over"
        assert (await teacher.get(f"{API}/runs/{run + 1}")).json()["slug"] == "unknown-run"
    async with released.state.reading() as session:
        (task,) = await open_tasks(session)
    assert (task.state, task.attempt) == (State.QUEUED, 2)
