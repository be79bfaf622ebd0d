"""The gradebook of a large course: 1,200 students, 12 assignments, 8 graded cells in each, on SQLite.

Through the lab service's application, with its answer read to the end: the page as it opens, sorted by total, with
only those who have something to be graded by hand, the statistics of an assignment, and both exports. Beside it what
nbgrader's own `Gradebook` takes for the scores of one page of students. Prints the median of each, in seconds, and the
processor's share of it, which a busy machine does not lengthen; the last line is one JSON object.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, timedelta
from functools import partial
from pathlib import Path

import httpx
from nbgrader.api import Gradebook
from sqlalchemy import create_engine, insert

from kirzl_lab.courses.gradebook import gradebooks
from kirzl_lab.service.app import app_for
from kirzl_lab.service.state import ServiceState
from kirzl_lab.settings import Settings
from kirzl_lab.store.course_tables import Assignment, BlobRow, Submission
from kirzl_lab.store.database import Store
from kirzl_lab.store.migrate import migrate
from kirzl_lab.store.tables import InstitutionRow, Membership, Person, RosterEntry, Space
from tests.courses.books import DUE, fill_large
from tests.service.conftest import PLACE
from tests.service.fake_hub import FakeHub
from tests.service.sample import CATALOGUE, NOW

COURSE, LECTURER, SHA256 = "ml-101", "lecturer", "0" * 64
API, PAGES = f"/services/lab/api/courses/{COURSE}", f"/services/lab/courses/{COURSE}"
PAGE = {"Accept": "text/html", "Accept-Language": "de"}
ASKED = {
    "page": (f"{PAGES}/gradebook", PAGE),
    "page_by_total": (f"{PAGES}/gradebook?sort=total&descending=true", PAGE),
    "page_to_be_graded": (f"{PAGES}/gradebook?state=needs-manual-grade&assignment=ps5", PAGE),
    "statistics": (f"{PAGES}/assignments/ps5/statistics", PAGE),
    "csv": (f"{API}/gradebook.csv", {}),
    "xlsx": (f"{API}/gradebook.xlsx", {}),
}


Taken = tuple[float, float]
"""Seconds on the clock, and seconds of the processor."""


async def measure(folder: Path, students: int, assignments: int, rounds: int) -> dict[str, Taken]:
    """Medians of everything in `ASKED`, and of nbgrader."""
    names = [f"student-{number:04d}" for number in range(students)]
    tasks = [f"ps{number}" for number in range(assignments)]
    async with _service(folder, names, tasks) as client:
        times = {
            name: await _median(partial(_read, client, address, headers), rounds)
            for name, (address, headers) in ASKED.items()
        }
    times["nbgrader_50_students"] = await asyncio.to_thread(_nbgraders, folder, names[:50], tasks)
    return times


async def _read(client: httpx.AsyncClient, address: str, headers: dict[str, str]) -> None:
    answer = await client.get(address, headers=headers)
    assert answer.status_code == 200, answer.text
    assert len(answer.content) > 5_000


async def _median(once: Callable[[], Awaitable[None]], rounds: int) -> Taken:
    await once()  # opens files, compiles templates and statements
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter(), time.process_time()
        await once()
        taken.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    clock, processor = zip(*taken, strict=True)
    return statistics.median(clock), statistics.median(processor)


def _nbgraders(folder: Path, names: list[str], tasks: list[str]) -> Taken:
    """The same scores, penalties and states by nbgrader's own properties."""
    url = gradebooks(folder, create_engine("sqlite://").url).lab_url(COURSE)
    with Gradebook(url, COURSE) as gradebook:
        begun = time.perf_counter(), time.process_time()
        for task in tasks:
            for name in names:
                one = gradebook.find_submission(task, name)
                assert one.max_score >= one.score - one.late_submission_penalty
                assert one.needs_manual_grade in (False, True)
        return time.perf_counter() - begun[0], time.process_time() - begun[1]


@asynccontextmanager
async def _service(folder: Path, names: list[str], tasks: list[str]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service, as a lecturer, on a lab in which everybody has handed in everything."""
    database = f"sqlite+aiosqlite:///{folder / 'lab.sqlite'}"
    await asyncio.to_thread(migrate, database)
    store, hub = Store(database), FakeHub()
    books = gradebooks(folder, store.engine.url)
    await asyncio.to_thread(books.prepare, COURSE)
    with create_engine(books.lab_url(COURSE)).begin() as connection:
        fill_large(connection, names, tasks)
    await _fill_lab(store, names, tasks)

    @asynccontextmanager
    async def opened() -> AsyncIterator[ServiceState]:
        settings = Settings(
            hub_config=folder, courses=folder, data=folder, database_url=database, public_url="http://b"
        )
        async with httpx.AsyncClient(transport=hub.transport()) as own:
            yield ServiceState(settings, PLACE, CATALOGUE, store, own, clock=lambda: NOW)

    app = app_for(PLACE, opened)
    token = hub.give_token(LECTURER, "token")
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://b", headers=headers) as client:
            yield client
    await store.close()


async def _fill_lab(store: Store, names: list[str], tasks: list[str]) -> None:
    spec = CATALOGUE.courses[COURSE].file.model_dump(mode="json")
    async with store.writing() as session:
        session.add(InstitutionRow(name="uni", title_de="Uni", title_en="Uni"))
        session.add(BlobRow(sha256=SHA256, size=1, created_at=NOW))
        space = Space(name=COURSE, kind="course", title_de="ML", title_en="ML", spec=spec, created_at=NOW)
        people = [Person(hub_name=name, display_name=name.title(), created_at=NOW) for name in [LECTURER, *names]]
        session.add_all([space, *people])
        await session.flush()
        for number, person in enumerate(people):
            role = "student" if number else "instructor"
            row = RosterEntry(
                space_id=space.id, institution_name="uni", claim="email", value=f"{number}@uni.example", role=role,
                created_at=NOW,
            )  # fmt: skip
            session.add(row)
            await session.flush()
            session.add(
                Membership(
                    person_id=person.id, space_id=space.id, roster_row_id=row.id, role=role,
                    section=f"{number % 8}", created_at=NOW,
                )
            )  # fmt: skip
        for number, task in enumerate(tasks):
            due = DUE.replace(tzinfo=UTC) + timedelta(days=7 * number)
            one = Assignment(space_id=space.id, name=task, due_at=due, notebooks=[], released_at=NOW, created_at=NOW)
            session.add(one)
            await session.flush()
            await session.execute(
                insert(Submission),
                [
                    {
                        "assignment_id": one.id, "person_id": person.id, "key": f"key-{at}", "sha256": SHA256,
                        "submitted_at": due - timedelta(minutes=at), "files": 1, "notebooks": [], "receipt": "",
                    }
                    for at, person in enumerate(people[1:])
                ],
            )  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=1200)
    parser.add_argument("--assignments", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        times = asyncio.run(measure(Path(folder), chosen.students, chosen.assignments, chosen.rounds))
    for name, (clock, processor) in times.items():
        print(f"{name:22} {clock:.3f} s, processor {processor:.3f} s")
    figures: dict[str, object] = {"students": chosen.students, "assignments": chosen.assignments}
    figures |= {f"{name}_s": round(clock, 4) for name, (clock, _) in times.items()}
    figures |= {f"{name}_cpu_s": round(processor, 4) for name, (_, processor) in times.items()}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
