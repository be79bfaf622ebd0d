"""Wishes for feedback in the lab database, on each of the two databases."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from kirzl_lab.grading import releases, run_view
from kirzl_lab.grading.tasks import State
from kirzl_lab.problems import NothingToRelease, UnknownRun
from kirzl_lab.store.course_tables import Assignment, BlobRow, GradingRun, GradingTask, Submission
from kirzl_lab.store.database import Store
from kirzl_lab.store.tables import AuditEntry, Person, Space

NOW = datetime(2026, 11, 24, 8, 30, 0, 123456, tzinfo=UTC)
OLD, NEW = "0" * 64, "1" * 64


@pytest.fixture
async def ids(any_store: Store) -> dict[str, int]:
    """One student handed in twice and the first was graded twice, the other's failed; the ids of what there is."""
    async with any_store.writing() as session:
        space = Space(name="ml-101", kind="course", title_de="ML", title_en="ML", spec={}, created_at=NOW)
        student1, student2 = (
            Person(hub_name=name, display_name=name, created_at=NOW) for name in ("student1", "student2")
        )
        session.add_all(
            [space, student1, student2, *(BlobRow(sha256=one, size=1, created_at=NOW) for one in (OLD, NEW))]
        )
        await session.flush()
        ps1 = Assignment(space_id=space.id, name="ps1", notebooks=[], created_at=NOW)
        session.add(ps1)
        await session.flush()
        work = {"assignment_id": ps1.id, "sha256": OLD, "files": 1, "notebooks": [], "receipt": ""}
        first = Submission(person_id=student1.id, key="first", submitted_at=NOW, **work)
        second = Submission(person_id=student1.id, key="second", submitted_at=NOW + timedelta(hours=1), **work)
        failed = Submission(person_id=student2.id, key="first", submitted_at=NOW, **work)
        runs = [GradingRun(assignment_id=ps1.id, started_by=student2.id, started_at=NOW) for _ in range(2)]
        session.add_all([first, second, failed, *runs])
        await session.flush()
        for run, blob in zip(runs, (OLD, NEW), strict=True):
            done = {"state": State.DONE, "graded_sha256": blob, "changed_at": NOW}
            session.add(GradingTask(run_id=run.id, submission_id=first.id, **done))
        session.add(
            GradingTask(run_id=runs[1].id, submission_id=failed.id, state=State.FAILED, changed_at=NOW, log="No")
        )
        await session.flush()
        return {
            "ps1": ps1.id,
            "student1": student1.id,
            "student2": student2.id,
            "first": first.id,
            "failed": failed.id,
            "run": runs[1].id,
        }


async def ask(store: Store, ids: dict[str, int], at: datetime, *students: str) -> int:
    async with store.writing() as session:
        return await releases.ask(session, await session.get_one(Assignment, ids["ps1"]), students, ids["student2"], at)


async def test_a_wish_is_for_what_was_graded_last_and_met_once(any_store: Store, ids: dict[str, int]) -> None:
    assert await ask(any_store, ids, NOW, "student1", "student2", "nobody") == 1
    with pytest.raises(NothingToRelease):
        await ask(any_store, ids, NOW, "student2")
    async with any_store.writing() as session:
        (wish,) = await releases.wishes(session, 10)
        assert (wish.submission_id, wish.graded_sha256, wish.asked_by) == (ids["first"], NEW, "student2")
        assert await releases.is_wanted(session, wish)
        assert await releases.meet(session, wish, NEW, NOW)
        assert not await releases.meet(session, wish, NEW, NOW)
        assert await releases.wishes(session, 10) == []
    async with any_store.reading() as session:
        (entry,) = await session.scalars(select(AuditEntry))
        assert (entry.action, entry.actor, entry.detail) == (
            "feedback-released",
            "student2",
            {"submission": ids["first"]},
        )
        released = await session.get_one(Submission, ids["first"])
        assert (released.feedback_sha256, released.feedback_at) == (NEW, NOW)


async def test_what_was_wished_anew_is_not_met_for_the_older_wish(any_store: Store, ids: dict[str, int]) -> None:
    await ask(any_store, ids, NOW, "student1")
    async with any_store.reading() as session:
        (older,) = await releases.wishes(session, 10)
    await ask(any_store, ids, NOW + timedelta(microseconds=1), "student1")
    async with any_store.writing() as session:
        assert not await releases.is_wanted(session, older)
        assert not await releases.meet(session, older, OLD, NOW)
        await releases.give_up(session, older, "grading-broke")
        (newer,) = await releases.wishes(session, 10)
        await releases.give_up(session, newer, "grade-replaced")
        assert await releases.wishes(session, 10) == []
    async with any_store.reading() as session:
        about = await session.get_one(Submission, ids["first"])
        assert (about.feedback_problem, about.feedback_sha256) == ("grade-replaced", None)


async def test_tasks_of_a_run_as_pages_show_them(any_store: Store, ids: dict[str, int]) -> None:
    async with any_store.reading() as session:
        shown = await run_view.task_lines(session, ids["run"], state=None, page=1, per_page=10)
        assert [(one.student, one.state) for one in shown.items] == [
            ("student2", State.FAILED),
            ("student1", State.DONE),
        ]
        second = await run_view.task_lines(session, ids["run"], state=None, page=2, per_page=1)
        assert ([one.student for one in second.items], second.total) == (["student1"], 2)
        done = await run_view.task_lines(session, ids["run"], state=State.DONE, page=1, per_page=10)
        assert [one.student for one in done.items] == ["student1"]
        line, log = await run_view.task_called(session, ids["run"], shown.items[0].id)
        assert (line, log) == (shown.items[0], "No")
        with pytest.raises(UnknownRun):
            await run_view.task_called(session, ids["run"] - 1, line.id)
        assert await run_view.last_states(session, ids["ps1"]) == {
            ids["first"]: State.DONE,
            ids["failed"]: State.FAILED,
        }
