"""Runs and tasks on both databases: every step once, for the attempt that was asked alone."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from kirzl_lab.grading import runs
from kirzl_lab.grading.tasks import (
    OPEN,
    OVER,
    Graded,
    State,
    Task,
    hash_of,
    is_newest,
    newest_graded,
    open_tasks,
    task_reporting,
    tasks_of,
)
from kirzl_lab.grading.work import next_ones
from kirzl_lab.problems import NothingToGrade, RunOver, UnknownRun
from kirzl_lab.store.course_tables import Assignment, BlobRow, Submission
from kirzl_lab.store.database import Store
from kirzl_lab.store.tables import Person, Space

NOW = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
SPEC = {
    "title": {"de": "Kurs", "en": "Course"},
    "term": "2026",
    "sizes": ["cpu-small"],
    "default_size": "cpu-small",
    "late_penalty": "zero",
}
SHA = "0" * 64


@dataclass
class Class:
    """A course in which two students handed in, the first of them twice."""

    store: Store
    space_id: int
    assignment_id: int
    lecturer: int
    first: list[int]
    """Submissions of student1, oldest first."""
    second: list[int]

    async def begin(self, students: list[str] | None = None) -> int:
        async with self.store.writing() as session:
            return await runs.begin(
                session, await session.get_one(Assignment, self.assignment_id), self.lecturer, NOW, students
            )

    async def tasks(self, run: int) -> list[Task]:
        async with self.store.reading() as session:
            return await tasks_of(session, run)

    async def move(self, task: Task, frm: State, to: State, **values: object) -> bool:
        async with self.store.writing() as session:
            return await runs.move(session, task, frm, to, NOW, **values)

    async def run(self, number: int) -> runs.Run:
        async with self.store.reading() as session:
            return await runs.run_called(session, self.space_id, number)


@pytest.fixture
async def course(any_store: Store) -> Class:
    async with any_store.writing() as session:
        about = {"kind": "course", "title_de": "", "title_en": "", "spec": SPEC, "created_at": NOW}
        session.add(space := Space(name="ml-101", **about))
        people = [
            Person(hub_name=name, display_name=name, created_at=NOW) for name in ("lecturer", "student1", "student2")
        ]
        session.add_all([*people, BlobRow(sha256=SHA, size=1, created_at=NOW)])
        await session.flush()
        session.add(assignment := Assignment(space_id=space.id, name="ps1", notebooks=["ps1"], created_at=NOW))
        await session.flush()

        async def hand_in(person: Person, key: str, minutes: int) -> int:
            at = NOW + timedelta(minutes=minutes)
            made = Submission(
                assignment_id=assignment.id, person_id=person.id, key=key, submitted_at=at, sha256=SHA, files=1,
                notebooks=["ps1"], receipt="",
            )  # fmt: skip
            session.add(made)
            await session.flush()
            return made.id

        first = [await hand_in(people[1], "a", 1), await hand_in(people[1], "b", 3)]
        second = [await hand_in(people[2], "a", 2)]
        return Class(any_store, space.id, assignment.id, people[0].id, first, second)


async def test_a_run_is_about_the_newest_submission_of_each(course: Class) -> None:
    tasks = await course.tasks(await course.begin())
    assert [(task.student, task.submission_id) for task in tasks] == [
        ("student1", course.first[-1]),
        ("student2", course.second[-1]),
    ]
    assert {task.state for task in tasks} == {State.QUEUED}
    assert {(task.course, task.assignment, task.late_penalty) for task in tasks} == {("ml-101", "ps1", "zero")}
    chosen = await course.tasks(await course.begin(["student2"]))
    assert [task.student for task in chosen] == ["student2"]
    with pytest.raises(NothingToGrade):
        await course.begin(["nobody"])


async def test_a_later_run_takes_the_place_of_an_earlier_one(course: Class) -> None:
    earlier = await course.begin()
    await course.begin(["student1"])
    assert (await course.run(earlier)).states == {State.CANCELLED: 1, State.QUEUED: 1}
    assert (await course.run(earlier)).finished_at is None
    await course.begin(["student2"])
    assert (await course.run(earlier)).finished_at == NOW


async def test_a_step_is_taken_once(course: Class) -> None:
    (task,) = await course.tasks(await course.begin(["student1"]))
    took = await asyncio.gather(*(course.move(task, State.QUEUED, State.PREPARED) for _ in range(4)))
    assert sorted(took) == [False, False, False, True]


async def test_what_an_older_attempt_brings_is_not_taken(course: Class) -> None:
    (task,) = await course.tasks(await course.begin(["student1"]))
    assert await course.move(task, State.QUEUED, State.EXECUTING)
    async with course.store.writing() as session:
        assert await runs.again(session, task, NOW)
    async with course.store.writing() as session:
        assert not await runs.again(session, task, NOW), "it was given up already"
    assert not await course.move(task, State.PREPARED, State.EXECUTED)
    (newer,) = await course.tasks(task.run_id)
    assert (newer.attempt, newer.state) == (2, State.PREPARED)
    assert await course.move(newer, State.PREPARED, State.EXECUTED)


async def test_tokens_work_once_and_for_their_own_task_alone(course: Class) -> None:
    for task in await course.tasks(await course.begin()):
        token = f"token-{task.student}"
        hashes = {"fetch_hash": hash_of(token), "report_hash": hash_of(f"{token}-report")}
        assert await course.move(task, State.QUEUED, State.EXECUTING, **hashes)
    async with course.store.writing() as session:
        taken = await runs.take_fetch(session, "token-student1")
        assert taken is not None
        assert taken.student == "student1"
        assert await runs.take_fetch(session, "token-student1") is None
        assert await runs.take_report(session, "token-student1") is None, "it is for fetching"
        assert await runs.take_fetch(session, "made-up") is None
        reporting = await task_reporting(session, "token-student2-report")
        assert reporting is not None
        assert reporting.student == "student2"
        assert await runs.take_report(session, "token-student2-report") == reporting
        assert await task_reporting(session, "token-student2-report") is None


async def test_a_token_ends_with_its_attempt(course: Class) -> None:
    (task,) = await course.tasks(run := await course.begin(["student1"]))
    hashes = {"fetch_hash": hash_of("token"), "report_hash": hash_of("report")}
    assert await course.move(task, State.QUEUED, State.EXECUTING, **hashes)
    async with course.store.writing() as session:
        await runs.cancel(session, run, NOW)
    async with course.store.writing() as session:
        assert await runs.take_fetch(session, "token") is None
        assert await runs.take_report(session, "report") is None


async def test_what_was_handed_in_later_is_not_overtaken_by_what_was_handed_in_before(course: Class) -> None:
    older, newer = (await course.tasks(await course.begin(["student1"])))[0], None
    assert await course.move(older, State.QUEUED, State.EXECUTED)
    async with course.store.reading() as session:
        assert await is_newest(session, older)
        assert not await is_newest(session, Task(**{**_fields(older), "attempt": 7}))
    async with course.store.writing() as session:
        before = await session.get_one(Submission, course.first[-1])
        session.add(_later(before))
    (newer,) = await course.tasks(await course.begin(["student1"]))
    assert await course.move(newer, State.QUEUED, State.DONE, graded_sha256=SHA)
    async with course.store.reading() as session:
        assert not await is_newest(session, older)
        graded = Graded(newer.submission_id, "ps1", "student1", newer.submitted_at, SHA)
        assert await newest_graded(session, course.space_id) == [graded]
        assert await newest_graded(session, course.space_id, newer.submission_id) == [graded]
        assert await newest_graded(session, course.space_id, older.submission_id) == []
        assert await newest_graded(session, course.space_id + 1) == []


def _fields(task: Task) -> dict[str, object]:
    return {name: getattr(task, name) for name in Task.__slots__}


async def test_a_run_is_over_when_its_last_task_is(course: Class) -> None:
    number = await course.begin()
    first, second = await course.tasks(number)
    assert await course.move(first, State.QUEUED, State.FAILED, reason="time", log="x" * 30_000 + "\x00end")
    assert (await course.run(number)).finished_at is None
    assert await course.move(second, State.QUEUED, State.DONE)
    done = await course.run(number)
    assert (done.finished_at, done.total, done.over) == (NOW, 2, 2)
    (failed, _) = await course.tasks(number)
    assert (failed.reason, len(failed.log), failed.log[-4:]) == ("time", runs.LOG_LIMIT, "\N{REPLACEMENT CHARACTER}end")
    with pytest.raises(RunOver):
        async with course.store.writing() as session:
            await runs.cancel(session, number, NOW)
    async with course.store.writing() as session:
        assert await runs.retry(session, number, NOW) == 1
    async with course.store.writing() as session:
        assert await runs.retry(session, number, NOW) == 0
    again = await course.run(number)
    assert (again.finished_at, again.states) == (None, {State.QUEUED: 1, State.DONE: 1})


async def test_runs_of_other_courses_are_none(course: Class) -> None:
    number = await course.begin()
    async with course.store.reading() as session:
        assert [run.id for run in await runs.runs_of(session, course.assignment_id)] == [number]
        assert {task.state for task in await open_tasks(session)} <= OPEN
        with pytest.raises(UnknownRun):
            await runs.run_called(session, course.space_id + 1, number)
        assert (await session.scalars(select(BlobRow.sha256))).all() == [SHA]
    assert not OPEN & OVER


async def test_a_run_takes_the_place_of_open_tasks_about_earlier_submissions_of_the_same_person(course: Class) -> None:
    earlier = await course.begin(["student1"])
    async with course.store.writing() as session:
        newest = await session.get_one(Submission, course.first[-1])
        session.add(_later(newest))
    later = await course.begin(["student1"])
    assert (await course.run(earlier)).states == {State.CANCELLED: 1}
    assert (await course.run(later)).states == {State.QUEUED: 1}


def _later(before: Submission) -> Submission:
    return Submission(
        assignment_id=before.assignment_id, person_id=before.person_id, key="c", sha256=SHA, files=1,
        submitted_at=before.submitted_at + timedelta(minutes=1), notebooks=["ps1"], receipt="",
    )  # fmt: skip


async def test_what_another_run_has_taken_over_is_not_tried_again(course: Class) -> None:
    first = await course.begin()
    for task in await course.tasks(first):
        assert await course.move(task, State.QUEUED, State.FAILED)
    (newer,) = await course.tasks(await course.begin(["student1"]))
    async with course.store.writing() as session:
        assert await runs.retry(session, first, NOW) == 1
    assert [(task.student, task.state) for task in await course.tasks(first)] == [
        ("student1", State.FAILED),
        ("student2", State.QUEUED),
    ]
    assert await course.move(newer, State.QUEUED, State.CANCELLED)
    async with course.store.writing() as session:  # what was cancelled takes nothing over
        assert await runs.retry(session, first, NOW) == 1


async def test_runs_that_begin_together_grade_once(course: Class) -> None:
    numbers = await asyncio.gather(*(course.begin() for _ in range(4)))
    async with course.store.reading() as session:
        waiting = await open_tasks(session)
    assert len(waiting) == 2
    assert {task.run_id for task in waiting} == {max(numbers)}


async def test_lost_attempts_are_counted_until_somebody_asks_again(course: Class) -> None:
    (task,) = await course.tasks(run := await course.begin(["student1"]))

    async def lose(*, lost: bool) -> Task:
        (now,) = await course.tasks(run)
        assert await course.move(now, now.state, State.EXECUTING)
        async with course.store.writing() as session:
            assert await runs.again(session, (await tasks_of(session, run))[0], NOW, lost=lost)
        return (await course.tasks(run))[0]

    assert (await lose(lost=True)).losses == 1
    assert (await lose(lost=False)).losses == 1  # it never began
    assert (task := await lose(lost=True)).losses == 2
    assert task.attempt == 4
    assert await course.move(task, State.PREPARED, State.FAILED)
    async with course.store.writing() as session:
        await runs.retry(session, run, NOW)
    assert (await course.tasks(run))[0].losses == 0


async def test_courses_take_turns_and_what_is_to_be_finished_comes_first(course: Class) -> None:
    (task,) = await course.tasks(await course.begin(["student1"]))
    crowd = [replace(task, id=number, course="large") for number in range(100)]
    crowd[50] = replace(crowd[50], state=State.EXECUTED)
    small = [replace(task, id=1000, course="small"), replace(task, id=1001, course="small", state=State.EXECUTING)]
    assert [each.id for each in next_ones(crowd + small, 4)] == [50, 1000, 0, 1]
    assert next_ones(crowd, 0) == next_ones(crowd, -1) == []
