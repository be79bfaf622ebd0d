"""A class at work, for pages of assignments: submissions at every stage, a run that goes on and one that is over."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.catalog.models import Role
from kirzl_lab.grading.tasks import State
from kirzl_lab.service.state import ServiceState
from kirzl_lab.store.course_tables import Assignment, BlobRow, GradingRun, GradingTask, Submission
from kirzl_lab.store.tables import Membership, Person, RosterEntry, Space
from tests.courses.books import DUE, BookMade, CellMade, GradeMade, WorkMade, fill
from tests.service.sample import COLLEAGUE, INSTRUCTOR, NAMES, NOW, STUDENT

COURSE = "ml-101"
BLOB = "0" * 64
IN_TIME, LATE = timedelta(hours=-5), timedelta(hours=3)
STAGES = ("released", "graded", "needs-manual-grade", "submitted", "missing", "failed", "grading", "newer")
"""Of the assignment ps1, one after the other."""
RESULT = {"score": 8.0, "max_score": 10.0, "needs_manual_grade": False, "late_penalty": 0.0}


def due(number: int) -> datetime:
    """When ps0, ps1 ... are due, as in the gradebook."""
    return DUE.replace(tzinfo=UTC) + timedelta(days=7 * number)


async def fill_classroom(state: ServiceState, size: int = 24) -> None:
    """Fill ml-101; `STUDENT` has feedback on the first of two submissions to ps1, `COLLEAGUE` handed nothing in."""
    async with state.store.writing() as session:
        space = (await session.scalars(select(Space).where(Space.name == COURSE))).one()
        people = {one.hub_name: one.id for one in await session.scalars(select(Person))}
        session.add(BlobRow(sha256=BLOB, size=1, created_at=NOW))
        names = await enrol(session, space.id, size)
        session.add_all([_assignment(space.id, f"ps{number}", due(number), number > 0) for number in range(2)])
        session.add(_assignment(space.id, "project", NOW + timedelta(days=5), released=True))
        await session.flush()
        ps1 = (await session.scalars(select(Assignment).where(Assignment.name == "ps1"))).one().id
        over = GradingRun(assignment_id=ps1, started_by=people[INSTRUCTOR], started_at=NOW, finished_at=NOW)
        going = GradingRun(assignment_id=ps1, started_by=people[INSTRUCTOR], started_at=NOW)
        session.add_all([over, going])
        await session.flush()
        works: list[WorkMade | None] = []
        for number, person_id in enumerate(names.values()):
            stage = STAGES[number % len(STAGES)]
            late = LATE if number % 5 == 0 else IN_TIME
            works.append(_graded(stage, late))
            await _handed_in(session, ps1, person_id, stage, due(1) + late, (over.id, going.id))
        first = _submission(ps1, people[STUDENT], due(1) + LATE, "first")
        first.feedback_sha256, first.feedback_at = BLOB, NOW
        session.add_all([first, _submission(ps1, people[STUDENT], due(1) + LATE * 2, "second")])
    book = BookMade(
        assignments=[[[CellMade("auto", 5)]], [[CellMade("auto", 4), CellMade("manual", 6)]]],
        work=[[None, _graded("released", LATE)], *([None, work] for work in works)],
    )
    fill(state.gradebooks.staff_url(COURSE, INSTRUCTOR), book, [STUDENT, *names])
    assert COLLEAGUE not in names


async def enrol(session: AsyncSession, space_id: int, size: int) -> dict[str, int]:
    """More students of the course, in two sections; hub name -> person."""
    found = {}
    for number in range(size):
        name = NAMES[number % len(NAMES)]
        hub_name = f"{name.split()[0].lower()}-{number:04d}"
        person = Person(hub_name=hub_name, display_name=name, created_at=NOW)
        promise = {"institution_name": "uni", "claim": "matriculation_number", "value": f"55{number:05d}"}
        row = RosterEntry(space_id=space_id, role=Role.STUDENT, created_at=NOW, **promise)
        session.add_all([person, row])
        await session.flush()
        row.bound_person_id, row.bound_at = person.id, NOW
        place = {"role": Role.STUDENT, "section": ("Tuesday", "Thursday")[number % 2], "roster_row_id": row.id}
        session.add(Membership(person_id=person.id, space_id=space_id, created_at=NOW, **place))
        found[hub_name] = person.id
    return found


def _assignment(space_id: int, name: str, due_at: datetime, released: bool) -> Assignment:
    return Assignment(
        space_id=space_id,
        name=name,
        due_at=due_at,
        notebooks=["nb0"],
        released_at=NOW - timedelta(days=50) if released else None,
        release_sha256=BLOB,
        created_at=NOW,
    )


def _submission(assignment_id: int, person_id: int, at: datetime, key: str) -> Submission:
    return Submission(
        assignment_id=assignment_id, person_id=person_id, key=key, submitted_at=at, sha256=BLOB, files=3,
        notebooks=["nb0"], receipt="signed",
    )  # fmt: skip


def _graded(stage: str, late: timedelta) -> WorkMade | None:
    if stage in ("missing", "submitted", "failed", "grading"):
        return None
    manual = GradeMade(None, None, None, True) if stage == "needs-manual-grade" else GradeMade(None, 4.5, None, False)
    return WorkMade([(1.0 if late > IN_TIME else None, [GradeMade(4, None, None, False), manual])], late)


async def _handed_in(
    session: AsyncSession, assignment_id: int, person_id: int, stage: str, at: datetime, runs: Sequence[int]
) -> None:
    if stage == "missing":
        return
    made = [_submission(assignment_id, person_id, at, "first")]
    if stage == "newer":
        made.append(_submission(assignment_id, person_id, at + timedelta(hours=1), "second"))
    if stage == "released":
        made[0].feedback_sha256, made[0].feedback_at = BLOB, NOW
    session.add_all(made)
    await session.flush()
    ends = {"submitted": None, "failed": (State.FAILED, "memory"), "grading": (State.EXECUTING, None)}
    ended = ends.get(stage, (State.DONE, None))
    if ended is not None:
        run = runs[1] if stage == "grading" else runs[0]
        task = GradingTask(run_id=run, submission_id=made[0].id, state=ended[0], reason=ended[1], changed_at=NOW)
        task.log = "Converting notebook nb0.ipynb\nMemoryError\n" if stage == "failed" else ""
        task.result = RESULT if ended[0] is State.DONE else None
        task.graded_sha256 = BLOB if ended[0] is State.DONE else None
        session.add(task)
