"""What is decided about releases and submissions, and their rows on both databases, also when many come at once."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, func, select

from kirzl_lab.courses import exchange
from kirzl_lab.courses.exchange import ASSIGNMENT, KEY, By, HandedIn, Received, is_late, limits_of, notebooks_in
from kirzl_lab.courses.exchange_lists import assignments_of, submission_in, submissions_page
from kirzl_lab.courses.receipts import Signer, verify
from kirzl_lab.problems import AlreadyReleased, KeyUsed, NoFeedback, NotReleased, UnknownAssignment
from kirzl_lab.store.archives import File, Manifest
from kirzl_lab.store.blob_folder import DirectoryBlobs
from kirzl_lab.store.course_tables import Assignment, BlobRow, Submission
from kirzl_lab.store.database import Store
from kirzl_lab.store.tables import AuditEntry, Person, Space

NOW = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
DUE = NOW + timedelta(hours=1)
SIGNER = Signer.from_secret("5a" * 32, "https://lab.example")
SPEC = {
    "title": {"de": "Kurs", "en": "Course"},
    "term": "2026",
    "sizes": ["cpu-small"],
    "default_size": "cpu-small",
    "max_submission_mib": 3,
    "max_submission_files": 7,
}
KEY_1, KEY_2 = "0123456789abcdef", "fedcba9876543210"


def manifest(*paths: str) -> Manifest:
    return Manifest(tuple(File(path, 2, executable=False) for path in paths), 2 * len(paths), 100, "0" * 64)


class Course:
    """A course with an instructor and two students, on a lab database and a folder of blobs."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.blobs = DirectoryBlobs(folder / "blobs")
        self.space: Space
        self.people: dict[str, By] = {}

    async def make(self) -> "Course":
        about = {"kind": "course", "title_de": "", "title_en": "", "spec": SPEC, "created_at": NOW}
        async with self.store.writing() as session:
            session.add(space := Space(name="ml-101", **about))
            for name in ("instructor", "student1", "student2"):
                session.add(person := Person(hub_name=name, display_name=name.title(), created_at=NOW))
                await session.flush()
                self.people[name] = By(person.id, name)
        self.space = space
        return self

    @asynccontextmanager
    async def received(self, content: bytes, at: datetime, *paths: str) -> AsyncIterator[Received]:
        async with self.blobs.draft() as draft:
            await draft.write(content)
            yield Received(draft, await self.blobs.keep(draft), manifest(*paths or ("ps1.ipynb",)), at)

    async def release(self, name: str = "ps1", content: bytes = b"given", *, force: bool = False) -> None:
        async with self.received(content, NOW) as received, self.store.writing() as session:
            by = self.people["instructor"]
            await exchange.release(session, self.blobs, self.space, name, received, by=by, due_at=DUE, force=force)

    async def submit(
        self, who: str = "student1", key: str = KEY_1, content: bytes = b"done", at: datetime = NOW, name: str = "ps1"
    ) -> HandedIn:
        async with self.received(content, at) as received, self.store.writing() as session:
            what = {"by": self.people[who], "key": key, "signer": SIGNER}
            return await exchange.submit(session, self.blobs, self.space, name, received, **what)

    async def withdraw(self, name: str = "ps1") -> None:
        async with self.store.writing() as session:
            await exchange.withdraw(session, self.space, name, by=self.people["instructor"], now=NOW)

    async def count(self, kind: type) -> int:
        async with self.store.reading() as session:
            return (await session.execute(select(func.count()).select_from(kind))).scalar_one()


@pytest.fixture
async def course(any_store: Store, tmp_path: Path) -> Course:
    return await Course(any_store, tmp_path).make()


# -- decisions -----------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_no_two_submissions_have_one_time_and_none_is_before_another(steps: list[int]) -> None:
    now, last = NOW, None
    for step in steps:
        now += timedelta(microseconds=step)
        time = exchange.time_of_submission(now, last)
        assert time >= now
        assert last is None or time > last
        last = time


def test_a_clock_that_was_put_back_changes_no_order() -> None:
    assert exchange.time_of_submission(NOW - timedelta(hours=1), NOW) == NOW + timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("due", "late"), [(None, False), (NOW, False), (NOW - timedelta(microseconds=1), True), (NOW + timedelta(1), False)]
)
def test_late_is_after_it_was_due(due: datetime | None, late: bool) -> None:
    assert is_late(NOW, due) is late


def test_notebooks_are_those_in_no_folder() -> None:
    found = notebooks_in(manifest("b.ipynb", "a.ipynb", "data/c.ipynb", "notes.txt", "x.IPYNB.bak", ".ipynb"))
    assert found == ["a", "b"]


@pytest.mark.parametrize("name", ["ps1", "Problem_Set-1.2", "1", "a" * 64, "a._-b"])
def test_names_of_assignments(name: str) -> None:
    assert re.fullmatch(ASSIGNMENT, name)


@pytest.mark.parametrize("name", ["", ".ps1", "ps1.", "-a", "_a", "a+b", "a b", "a/b", "ä", "a" * 65, "ps1\n", ".."])
def test_names_that_are_none(name: str) -> None:
    assert not re.fullmatch(ASSIGNMENT, name)


def test_keys() -> None:
    assert re.fullmatch(KEY, "Az09_-" * 3)
    assert not any(re.fullmatch(KEY, key) for key in ("", "a" * 15, "a" * 65, "a" * 15 + "!", "a" * 16 + "\n"))


async def test_limits_are_the_course_s(course: Course) -> None:
    limits = limits_of(course.space)
    assert (limits.packed, limits.unpacked, limits.files) == (3 << 20, 30 << 20, 7)


# -- submissions ---------------------------------------------------------------------------------------------------


async def test_a_submission_has_a_receipt_for_what_was_handed_in(course: Course) -> None:
    await course.release()
    submission = (await course.submit(at=DUE + timedelta(seconds=1))).submission
    receipt = verify(submission.receipt, SIGNER.public_keys)
    assert (receipt.course, receipt.assignment, receipt.student) == ("ml-101", "ps1", "student1")
    assert (receipt.submission, receipt.sha256) == (str(submission.id), submission.sha256)
    assert (receipt.time, receipt.files, receipt.size) == (submission.submitted_at, 1, 4)
    async with course.store.reading() as session:
        found = await submissions_page(session, course.space.id)
    assert [(line.student, line.student_name, line.late, line.size) for line in found.items] == [
        ("student1", "Student1", True, 4)
    ]


async def test_the_same_key_is_the_same_submission(course: Course) -> None:
    await course.release()
    first = await course.submit()
    again = await course.submit(at=NOW + timedelta(hours=2))
    assert (first.new, again.new) == (True, False)
    assert (again.submission.id, again.submission.receipt) == (first.submission.id, first.submission.receipt)
    assert again.submission.submitted_at == NOW
    assert await course.count(Submission) == 1


async def test_the_same_key_with_other_content_is_refused(course: Course) -> None:
    await course.release()
    await course.submit()
    with pytest.raises(KeyUsed):
        await course.submit(content=b"something else")
    assert await course.count(Submission) == 1


async def test_a_key_is_one_person_s_for_one_assignment(course: Course) -> None:
    await course.release()
    await course.release("ps2")
    handed_in = [await course.submit(), await course.submit("student2"), await course.submit(name="ps2")]
    assert all(each.new for each in handed_in)


async def test_tries_at_the_same_moment_are_one_submission(course: Course) -> None:
    await course.release()
    handed_in = await asyncio.gather(*(course.submit() for _ in range(20)))
    assert sum(each.new for each in handed_in) == 1
    assert len({(each.submission.id, each.submission.receipt) for each in handed_in}) == 1
    assert await course.count(Submission) == 1


async def test_submissions_at_the_same_moment_have_times_of_their_own(course: Course) -> None:
    await course.release()
    keys = [f"{number:016}" for number in range(20)]
    handed_in = await asyncio.gather(*(course.submit(key=key, content=key.encode()) for key in keys))
    times = {each.submission.submitted_at for each in handed_in}
    assert times == {NOW + timedelta(microseconds=number) for number in range(20)}
    assert (await course.submit("student2")).submission.submitted_at == NOW, "another person's are no matter"


async def test_what_many_hand_in_is_one_file(course: Course) -> None:
    await course.release()
    await asyncio.gather(*(course.submit(who, key) for who in ("student1", "student2") for key in (KEY_1, KEY_2)))
    assert await course.count(Submission) == 4
    assert await course.count(BlobRow) == 2  # and the release


async def test_only_what_is_released_can_be_handed_in(course: Course) -> None:
    with pytest.raises(UnknownAssignment):
        await course.submit()
    async with course.received(b"source", NOW) as received, course.store.writing() as session:
        await exchange.keep_source(session, course.blobs, course.space, "ps1", received)
    with pytest.raises(UnknownAssignment):  # its source alone is nothing that students know of
        await course.submit()
    await course.release()
    first = await course.submit()
    await course.withdraw()
    with pytest.raises(NotReleased):
        await course.submit(key=KEY_2)
    assert (await course.submit()).submission.id == first.submission.id, "who has the key had handed it in"
    async with course.store.reading() as session:
        by = course.people["student1"]
        await exchange.may_submit(session, course.space, "ps1", by=by, key=KEY_1)
        with pytest.raises(NotReleased):
            await exchange.may_submit(session, course.space, "ps1", by=by, key=KEY_2)


async def test_a_row_that_cannot_be_written_leaves_no_row_at_all(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    await course.release()

    def fails(*_: object, **__: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(Signer, "sign", fails)
    with pytest.raises(ZeroDivisionError):
        await course.submit()
    assert await course.count(Submission) == 0
    assert await course.count(BlobRow) == 1


# -- releases ------------------------------------------------------------------------------------------------------


async def test_a_release_is_replaced_with_force_alone(course: Course) -> None:
    await course.release()
    with pytest.raises(AlreadyReleased):
        await course.release(content=b"new")
    await course.release(content=b"new", force=True)
    async with course.store.reading() as session:
        found = await exchange.assignment_called(session, course.space.id, "ps1")
        actions = list(await session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))
        details = list(await session.scalars(select(AuditEntry.detail).order_by(AuditEntry.id)))
    assert found is not None
    assert (found.notebooks, found.due_at, found.released_at) == (["ps1"], DUE, NOW)
    assert actions == ["assignment-released"] * 2
    assert details == [{"assignment": "ps1"}, {"assignment": "ps1", "again": True}]


async def test_of_releases_at_the_same_moment_one_wins(course: Course) -> None:
    results = await asyncio.gather(*(course.release(content=b"%d" % n) for n in range(8)), return_exceptions=True)
    assert results.count(None) == 1
    assert all(result is None or isinstance(result, AlreadyReleased) for result in results)
    assert await course.count(Assignment) == 1


async def test_withdrawn_is_not_gone(course: Course) -> None:
    with pytest.raises(UnknownAssignment):
        await course.withdraw()
    await course.release()
    await course.submit()
    await course.withdraw()
    with pytest.raises(NotReleased):
        await course.withdraw()
    async with course.store.reading() as session:
        student1, student2 = (course.people[who].person_id for who in ("student1", "student2"))
        mine = await assignments_of(session, course.space.id, student1, staff=False)
        theirs = await assignments_of(session, course.space.id, student2, staff=False)
        staffs = await assignments_of(session, course.space.id, student2, staff=True)
    assert [(line.name, line.released, len(line.submissions)) for line in mine] == [("ps1", False, 1)]
    assert theirs == []
    assert [(line.name, line.released, line.submissions) for line in staffs] == [("ps1", False, [])]
    await course.release()
    assert await course.count(Submission) == 1


# -- feedback ------------------------------------------------------------------------------------------------------


async def test_feedback_comes_and_goes(course: Course) -> None:
    await course.release()
    number = (await course.submit()).submission.id
    by = course.people["instructor"]
    async with course.received(b"feedback", NOW) as received, course.store.writing() as session:
        submission = await exchange.submission_to_change(session, number)
        await exchange.release_feedback(session, course.blobs, course.space, submission, received, by=by)
    async with course.store.reading() as session:
        found = await submission_in(session, course.space.id, number)
        assert found is not None
        assert (found.feedback_sha256, found.feedback_at) == (received.blob.sha256, NOW)
        assert await submission_in(session, course.space.id + 1, number) is None
    for problem in (None, NoFeedback):
        async with course.store.writing() as session:
            submission = await exchange.submission_to_change(session, number)
            if problem is None:
                await exchange.withdraw_feedback(session, course.space, submission, by=by, now=NOW)
                continue
            with pytest.raises(problem):
                await exchange.withdraw_feedback(session, course.space, submission, by=by, now=NOW)


# -- lists ---------------------------------------------------------------------------------------------------------


async def test_lists_ask_few_questions_however_much_there_is(course: Course) -> None:
    for name in ("ps1", "ps2", "ps3"):
        await course.release(name)
        for number in range(10):
            await course.submit(("student1", "student2")[number % 2], f"{number:016}", b"%d" % number, name=name)
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    engine = course.store.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    async with course.store.reading() as session:
        linstructor = await assignments_of(session, course.space.id, course.people["student1"].person_id, staff=False)
        assert len([one for one in asked if one.startswith("SELECT assignments") or "FROM submissions" in one]) == 2
        asked.clear()
        found = await submissions_page(
            session, course.space.id, assignment="ps2", student="student2", page=2, per_page=2
        )
        assert len(asked) == 2
    event.remove(engine, "before_cursor_execute", note)
    assert [(line.name, len(line.submissions)) for line in linstructor] == [("ps1", 5), ("ps2", 5), ("ps3", 5)]
    assert (found.total, found.pages, len(found.items)) == (5, 3, 2)
    assert [line.submitted_at for line in found.items] == [NOW + timedelta(microseconds=number) for number in (2, 3)]
