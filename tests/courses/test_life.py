"""From a new course to one that nobody can restore any more."""

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from kirzl_lab.catalog.models import CourseCreators, CourseFile, Role
from kirzl_lab.courses import life
from kirzl_lab.courses.download import members_of, tar_of
from kirzl_lab.courses.erasing import due_to_erase, erase
from kirzl_lab.courses.terms import NextTerm, due_in_term, in_term
from kirzl_lab.problems import (
    CourseDeleted,
    CourseNameRefused,
    CourseNameTaken,
    CourseRefused,
    FileManaged,
    NotArchived,
    UnknownCourse,
)
from kirzl_lab.store.course_tables import Assignment, BlobRow, GradingRun, GradingTask, Submission
from kirzl_lab.store.database import Store
from kirzl_lab.store.members import may_create_courses, member_of_course, memberships
from kirzl_lab.store.tables import AuditEntry, InstitutionRow, Membership, RosterEntry, Space
from tests.courses.conftest import LECTURER, NAMELESS, NOW, SIZES, STUDENT, course_file, person


async def create(lab: Store, name: str, who: str = LECTURER, **changes: object) -> Space:
    by = await person(lab, who)
    async with lab.writing() as session:
        return await life.create(session, name, course_file(**changes), SIZES, by=by, now=NOW)


async def space_of(lab: Store, name: str) -> Space:
    async with lab.reading() as session:
        return (await session.scalars(select(Space).where(Space.name == name))).one()


async def hand_in(lab: Store, space: Space, who: str) -> None:
    """An assignment with its source, handed in and graded."""
    by = await person(lab, who)
    async with lab.writing() as session:
        session.add(BlobRow(sha256="a" * 64, size=3, created_at=NOW))
        await session.flush()
        assignment = Assignment(
            space_id=space.id,
            name="ps1",
            due_at=datetime(2026, 10, 20, 21, 59, tzinfo=UTC),
            notebooks=["p1"],
            released_at=NOW,
            released_by=by.id,
            release_sha256="a" * 64,
            source_sha256="a" * 64,
            created_at=NOW,
        )
        run = GradingRun(started_by=by.id, started_at=NOW)
        session.add(assignment)
        await session.flush()
        submission = Submission(
            assignment_id=assignment.id,
            person_id=by.id,
            key="k" * 16,
            submitted_at=NOW,
            sha256="a" * 64,
            files=1,
            notebooks=["p1"],
            receipt="r",
        )
        run.assignment_id = assignment.id
        session.add_all([submission, run])
        await session.flush()
        session.add(GradingTask(run_id=run.id, submission_id=submission.id, state="waiting", changed_at=NOW))


async def test_whoever_makes_a_course_instructs_it_at_once(lab: Store) -> None:
    lecturer = await person(lab, LECTURER)
    async with lab.reading() as session:
        member = await member_of_course(session, lecturer.id, "stat-1")
        row = (await session.scalars(select(RosterEntry))).one()
    assert member is not None
    assert (member.role, member.space.managed_by) == (Role.INSTRUCTOR, None)
    assert CourseFile.model_validate(member.space.spec) == course_file()
    assert (row.claim, row.value, row.bound_person_id) == ("email", "lecturer@uni.example", lecturer.id)


async def test_somebody_of_whom_nothing_personal_is_known_can_have_one_too(lab: Store) -> None:
    await create(lab, "stat-2", NAMELESS)
    async with lab.reading() as session:
        row = (await session.scalars(select(RosterEntry).where(RosterEntry.institution_name == "uas"))).one()
        names = [member.space.name for member in await memberships(session, (await person(lab, NAMELESS)).id)]
    assert (row.claim, row.value, names) == ("sub", f"sub-{NAMELESS}", ["stat-2"])


@pytest.mark.parametrize("name", ["", "Stat", "1-stat", "stat--2", "stat-", "a" * 25, "stat\n"])
async def test_names_that_no_server_could_have(lab: Store, name: str) -> None:
    with pytest.raises(CourseNameRefused):
        await create(lab, name)


async def test_a_name_is_taken_once_also_in_one_moment(lab: Store) -> None:
    with pytest.raises(CourseNameTaken):
        await create(lab, "stat-1")
    results = await asyncio.gather(*(create(lab, "stat-3") for _ in range(4)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["CourseNameTaken"] * 3 + ["Space"]


@pytest.mark.parametrize(
    "changes",
    [
        {"sizes": ["gpu-huge"], "default_size": "gpu-huge"},
        {"default_size": "cpu-medium"},
        {"title": {"de": "a\x00", "en": "b"}},
    ],
)
async def test_what_the_lab_cannot_offer_or_keep(lab: Store, changes: dict[str, object]) -> None:
    with pytest.raises(CourseRefused):
        await create(lab, "stat-4", **changes)


async def test_edit_tells_the_audit_what_was_before(lab: Store) -> None:
    file = course_file(title={"de": "Neu", "en": "New"}, sizes=["cpu-small", "cpu-medium"])
    async with lab.writing() as session:
        await life.edit(session, "stat-1", file, SIZES, by=LECTURER, now=NOW)
    space = await space_of(lab, "stat-1")
    assert (space.title_en, CourseFile.model_validate(space.spec)) == ("New", file)
    async with lab.reading() as session:
        detail = (await session.scalars(select(AuditEntry.detail).where(AuditEntry.action == "space-changed"))).one()
    assert detail["sizes"] == [["cpu-small"], ["cpu-small", "cpu-medium"]]


async def test_a_course_of_a_file_is_not_changed_here(lab: Store) -> None:
    async with lab.writing() as session:
        (await session.scalars(select(Space).where(Space.name == "stat-1"))).one().managed_by = "stat-1/course.yaml"
    for change in (life.archive, life.restore, life.delete):
        with pytest.raises(FileManaged, match=r"courses/stat-1/course\.yaml"):
            async with lab.writing() as session:
                await change(session, "stat-1", by=LECTURER, now=NOW)
    with pytest.raises(FileManaged):
        async with lab.writing() as session:
            await life.edit(session, "stat-1", course_file(), SIZES, by=LECTURER, now=NOW)


async def test_a_copy_keeps_assignments_and_nobody_but_the_copier(lab: Store) -> None:
    original = await space_of(lab, "stat-1")
    await hand_in(lab, original, STUDENT)
    student = await person(lab, STUDENT)
    async with lab.writing() as session:
        then = NextTerm("2027 summer", weeks=26)
        await life.copy(session, original, "stat-1-s27", then, SIZES, by=student, now=NOW)
    copied = await space_of(lab, "stat-1-s27")
    async with lab.reading() as session:
        assignment = (await session.scalars(select(Assignment).where(Assignment.space_id == copied.id))).one()
        people = await session.scalars(select(Membership.person_id).where(Membership.space_id == copied.id))
        assert list(people) == [student.id]
        assert (await session.execute(select(func.count()).select_from(Submission))).scalar_one() == 1
    assert (copied.spec["starts"], copied.spec["term"]) == ("2027-04-12", "2027 summer")
    assert (assignment.name, assignment.released_at, assignment.source_sha256) == ("ps1", None, "a" * 64)
    assert assignment.due_at == datetime(2027, 4, 20, 21, 59, tzinfo=UTC)


DAYS = st.dates(date(2020, 1, 1), date(2035, 1, 1))


@given(DAYS, st.integers(0, 400), st.integers(-60, 120))
def test_weeks_keep_weekdays_and_lengths(starts: date, lasts: int, weeks: int) -> None:
    file = course_file(starts=starts.isoformat(), ends=(starts + timedelta(days=lasts)).isoformat())
    then = in_term(file, NextTerm("next", weeks=weeks))
    assert then.starts is not None
    assert then.ends is not None
    assert then.starts.weekday() == starts.weekday()
    assert (then.ends - then.starts).days == lasts


@given(DAYS, DAYS, st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)))
def test_a_given_start_moves_everything_by_as_much_at_the_same_hour(starts: date, target: date, due: datetime) -> None:
    file = course_file(starts=starts.isoformat(), ends=None)
    then = NextTerm("next", starts=target)
    assert in_term(file, then).starts == target
    moved = due_in_term(due.replace(tzinfo=UTC), file, then)
    assert moved is not None
    before, after = due.replace(tzinfo=UTC).astimezone(file.zone), moved.astimezone(file.zone)
    assert (after.date() - before.date()).days == (target - starts).days
    if (
        after.utcoffset() is not None
        and (after - timedelta(hours=2)).utcoffset() == (after + timedelta(hours=2)).utcoffset()
    ):
        assert after.time() == before.time()


async def test_who_may_create_courses(lab: Store) -> None:
    creators = [CourseCreators(institution="uas", claim="eduperson_scoped_affiliation", value="faculty@uas.example")]
    wrong = [CourseCreators(institution="uni", claim="eduperson_scoped_affiliation", value="faculty@uas.example")]
    expected = {LECTURER: (True, True), NAMELESS: (True, False), STUDENT: (False, False)}
    async with lab.reading() as session:
        for who, answers in expected.items():
            id_ = (await person(lab, who)).id
            told = tuple([await may_create_courses(session, id_, those) for those in (creators, wrong)])
            assert told == answers, who
    async with lab.writing() as session:
        (await session.get_one(InstitutionRow, "uas")).removed_at = NOW
    async with lab.reading() as session:
        id_ = (await person(lab, NAMELESS)).id
        assert not await may_create_courses(session, id_, creators), (
            "what a removed institution asserted counts no more"
        )


async def test_everything_of_a_course_in_one_archive(lab: Store) -> None:
    space = await space_of(lab, "stat-1")
    await hand_in(lab, space, STUDENT)

    async def read(sha256: str) -> AsyncIterator[bytes]:
        async def parts() -> AsyncIterator[bytes]:
            for byte in sha256[:3]:
                yield byte.encode()

        return parts()

    async with lab.reading() as session:
        (number,) = await session.scalars(select(Submission.id).where(Submission.key == "k" * 16))
        members = await members_of(session, space, NOW, gradebook=b"student,total\r\n", graded={number: "a" * 64})
    data = b"".join([part async for part in tar_of(members, read)])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
        contents = {name: archive.extractfile(name).read() for name in names}  # type: ignore[union-attr]
    assert [name.removeprefix("stat-1/") for name in names] == [
        "course.json",
        "roster.csv",
        "gradebook.csv",
        "assignments/ps1/assignment.json",
        "assignments/ps1/source.tar.gz",
        "assignments/ps1/release.tar.gz",
        f"submissions/ps1/{STUDENT}/20261012T080000.000000Z/files.tar.gz",
        f"submissions/ps1/{STUDENT}/20261012T080000.000000Z/receipt.jws",
        f"submissions/ps1/{STUDENT}/20261012T080000.000000Z/graded.tar.gz",
    ]
    assert contents["stat-1/assignments/ps1/source.tar.gz"] == b"aaa"
    assert contents[names[-2]] == b"r"
    assert contents["stat-1/gradebook.csv"] == b"student,total\r\n"
    assert "lecturer@uni.example" in contents["stat-1/roster.csv"].decode("utf-8-sig")


async def test_archived_and_restored_as_it_was(lab: Store) -> None:
    lecturer = await person(lab, LECTURER)
    async with lab.writing() as session:
        await life.archive(session, "stat-1", by=LECTURER, now=NOW)
    async with lab.reading() as session:
        assert await memberships(session, lecturer.id) == []  # nothing starts any more
        member = await member_of_course(session, lecturer.id, "stat-1")  # but it can be read
        assert member is not None
    async with lab.writing() as session:
        await life.restore(session, "stat-1", by=LECTURER, now=NOW)
    async with lab.reading() as session:
        assert [each.space.name for each in await memberships(session, lecturer.id)] == ["stat-1"]


async def test_deleted_after_its_grace_and_its_name_is_never_given_away(lab: Store) -> None:
    space = await space_of(lab, "stat-1")
    await hand_in(lab, space, STUDENT)
    with pytest.raises(NotArchived):
        async with lab.writing() as session:
            await life.delete(session, "stat-1", by=LECTURER, now=NOW)
    async with lab.writing() as session:
        await life.archive(session, "stat-1", by=LECTURER, now=NOW)
        until = await life.delete(session, "stat-1", by=LECTURER, now=NOW)
        assert until == NOW + life.GRACE
        assert await life.delete(session, "stat-1", by=LECTURER, now=NOW + timedelta(days=3)) == until
    async with lab.writing() as session:
        assert await due_to_erase(session, until - timedelta(seconds=1)) == []
        await erase(session, "stat-1", until - timedelta(seconds=1))
        assert (await session.execute(select(func.count()).select_from(Submission))).scalar_one() == 1
    with pytest.raises(CourseDeleted):
        async with lab.writing() as session:
            await life.restore(session, "stat-1", by=LECTURER, now=until)
    for _ in range(2):  # the second time nothing is left to do
        async with lab.writing() as session:
            for name in await due_to_erase(session, until):
                await erase(session, name, until)
    async with lab.reading() as session:
        for table in (GradingTask, GradingRun, Submission, Assignment, Membership, RosterEntry):
            assert (await session.execute(select(func.count()).select_from(table))).scalar_one() == 0
        actions = [action for action in await session.scalars(select(AuditEntry.action).order_by(AuditEntry.id))]
        assert actions[-3:] == ["space-archived", "space-deleted", "space-erased"]
    with pytest.raises(CourseNameTaken):
        await create(lab, "stat-1")


async def test_a_course_that_was_deleted_comes_back_within_the_grace(lab: Store) -> None:
    async with lab.writing() as session:
        await life.archive(session, "stat-1", by=LECTURER, now=NOW)
        await life.delete(session, "stat-1", by=LECTURER, now=NOW)
        await life.restore(session, "stat-1", by=LECTURER, now=NOW + timedelta(days=13))
    space = await space_of(lab, "stat-1")
    assert (space.archived_at, space.delete_after) == (None, None)


async def test_a_course_that_there_is_not(lab: Store) -> None:
    for name in ("nowhere", "x\x00"):
        with pytest.raises(UnknownCourse):
            async with lab.writing() as session:
                await life.archive(session, name, by=LECTURER, now=NOW)
