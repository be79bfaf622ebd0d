"""The exchange over HTTP: release, fetch, hand in, collect, feedback."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from kirzl_lab.courses import exchange
from kirzl_lab.courses.receipts import verify
from kirzl_lab.store.course_tables import BlobRow, Submission
from kirzl_lab.store.database import Store
from kirzl_lab.store.tables import Membership, Person, Space
from tests.service.conftest import Service
from tests.service.fake_hub import SCOPE
from tests.service.handed_in import COURSE, GZIP, KEY, PS1, archive, fill_exchange, kept_files, release, submit
from tests.service.sample import ASSISTANT, COLLEAGUE, INSTRUCTOR, NOW, OPERATOR, STUDENT, fill, fill_courses
from tests.store.hostile_archives import ARCHIVES, CLASHES, NAMES, bomb, both, header, named, tar


def slug(answer: httpx.Response) -> str:
    """The kind of problem."""
    assert answer.headers["content-type"] == "application/problem+json", (answer.status_code, answer.text)
    return str(answer.json()["slug"])


def everything_below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


async def submissions(service: Service) -> int:
    async with service.store.reading() as session:
        return (await session.execute(select(func.count()).select_from(Submission))).scalar_one()


async def test_from_release_to_feedback(in_course: Service, tmp_path: Path) -> None:
    given, done = archive(tmp_path, {"ps1.ipynb": "{}", "data.csv": "1"}), archive(tmp_path, {"ps1.ipynb": "{1}"})
    feedback = archive(tmp_path, {"ps1.html": "<p>"})
    async with in_course.with_token(INSTRUCTOR) as teacher, in_course.with_token(STUDENT) as student:
        assert slug(await student.get(f"{PS1}/release")) == "unknown-assignment"
        assert (await release(teacher, given, "?due=2026-11-24T09:00:00%2B01:00")).status_code == 204
        assert (await student.get(f"{PS1}/release")).content == given
        handed_in = await submit(student, done)
        assert handed_in.status_code == 201, handed_in.text
        submission = handed_in.json()
        about = {"assignment": "ps1", "student": STUDENT, "student_name": "Student Prüfling", "feedback_at": None}
        about |= {"late": True, "notebooks": ["ps1"], "files": 1, "size": len(done), "sha256": sha256(done).hexdigest()}
        assert submission.items() >= about.items()
        assert submission["submitted_at"] == "2026-11-24T08:30:00.000000Z"
        again = await submit(student, done)
        assert (again.status_code, again.json()) == (200, submission)
        place = f"{COURSE}/submissions/{submission['id']}"
        assert (await teacher.get(f"{place}/files")).content == done
        assert (await student.get(f"{place}/receipt")).text == submission["receipt"]
        assert slug(await student.get(f"{place}/feedback")) == "no-feedback"
        assert (await teacher.put(f"{place}/feedback", content=feedback, headers=GZIP)).status_code == 204
        assert (await student.get(f"{place}/feedback")).content == feedback
        (listed,) = (await student.get(f"{COURSE}/assignments")).json()["assignments"]
        assert (listed["name"], listed["due_at"], listed["source_sha256"]) == ("ps1", "2026-11-24T08:00:00Z", None)
        assert listed["submissions"] == [submission | {"feedback_at": "2026-11-24T08:30:00Z"}]
        assert (await teacher.delete(f"{place}/feedback")).status_code == 204
        assert slug(await teacher.delete(f"{place}/feedback")) == "no-feedback"
        assert slug(await student.get(f"{place}/feedback")) == "no-feedback"
    async with in_course.with_token(OPERATOR) as operator:
        entries = (await operator.get("/services/lab/api/audit?space=ml-101&per_page=3")).json()["items"]
    assert [(entry["action"], entry["actor"], entry["person"]) for entry in entries] == [
        ("feedback-withdrawn", INSTRUCTOR, STUDENT),
        ("feedback-released", INSTRUCTOR, STUDENT),
        ("assignment-released", INSTRUCTOR, None),
    ]


async def test_the_lab_s_key_checks_the_receipt(in_course: Service, tmp_path: Path) -> None:
    submission = await fill_exchange(in_course, tmp_path)
    async with in_course.client() as anyone:
        receipt = verify(submission["receipt"], (await anyone.get("/services/lab/api/receipts/key")).json())
    assert (receipt.issuer, receipt.course, receipt.student) == ("http://lab.test", "ml-101", STUDENT)
    assert (receipt.submission, receipt.sha256) == (str(submission["id"]), submission["sha256"])


async def test_sources_are_for_staff(in_course: Service, tmp_path: Path) -> None:
    source = archive(tmp_path, {"ps1.ipynb": "with solutions"})
    async with in_course.with_token(ASSISTANT) as assistant, in_course.with_token(STUDENT) as student:
        assert slug(await assistant.get(f"{PS1}/source")) == "unknown-assignment"
        assert (await release(assistant, archive(tmp_path, {"ps1.ipynb": "without"}))).status_code == 204
        assert slug(await assistant.get(f"{PS1}/source")) == "no-source"
        assert (await assistant.put(f"{PS1}/source", content=source, headers=GZIP)).status_code == 204
        assert (await assistant.get(f"{PS1}/source")).content == source
        assert slug(await student.get(f"{PS1}/source")) == "staff-only"
        (listed,) = (await assistant.get(f"{COURSE}/assignments")).json()["assignments"]
        assert listed["source_sha256"] == sha256(source).hexdigest()


async def test_a_release_is_replaced_with_force_alone_and_can_be_withdrawn(in_course: Service, tmp_path: Path) -> None:
    first, second = archive(tmp_path, {"ps1.ipynb": "1"}), archive(tmp_path, {"ps1.ipynb": "2"})
    async with in_course.with_token(INSTRUCTOR) as teacher, in_course.with_token(STUDENT) as student:
        assert slug(await teacher.delete(f"{PS1}/release")) == "unknown-assignment"
        await release(teacher, first)
        assert slug(await release(teacher, second)) == "already-released"
        assert (await student.get(f"{PS1}/release")).content == first
        assert (await release(teacher, second, "?force=true")).status_code == 204
        assert (await student.get(f"{PS1}/release")).content == second
        assert (await teacher.delete(f"{PS1}/release")).status_code == 204
        assert slug(await student.get(f"{PS1}/release")) == "not-released"
        assert slug(await submit(student, first)) == "not-released"
        assert (await student.get(f"{COURSE}/assignments")).json() == {"assignments": []}
        assert (await teacher.get(f"{PS1}/release")).content == second


@pytest.mark.parametrize(
    "due", ["tomorrow", "2026-11-24T09:00:00", "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-12:00"]
)
async def test_a_due_date_is_a_moment(in_course: Service, tmp_path: Path, due: str) -> None:
    async with in_course.with_token(INSTRUCTOR) as teacher:
        assert slug(await release(teacher, archive(tmp_path, {"a": ""}), f"?due={due}")) == "bad-input"


@pytest.mark.parametrize("name", ["..", ".hidden", "a+b", "a%2Fb", "a%00", "x" * 65, "%F0%9F%92%A9", "trailing."])
async def test_odd_names_of_assignments(in_course: Service, tmp_path: Path, name: str) -> None:
    async with in_course.with_token(INSTRUCTOR) as teacher:
        body = archive(tmp_path, {"ps1.ipynb": ""})
        answer = await teacher.put(f"{COURSE}/assignments/{name}/release", content=body, headers=GZIP)
        assert answer.status_code in (404, 405, 422), answer.text
    assert kept_files(in_course) == set()


@pytest.mark.parametrize("key", [None, "", "short", "x" * 65, "with space in the key", "ö" * 16])
async def test_a_submission_needs_a_key(in_course: Service, tmp_path: Path, key: str | None) -> None:
    await fill_exchange(in_course, tmp_path)
    headers = GZIP if key is None else GZIP | {"Idempotency-Key": key.encode()}
    async with in_course.with_token(STUDENT) as student:
        assert slug(await student.post(f"{PS1}/submissions", content=b"", headers=headers)) == "key-missing"


async def test_a_key_is_for_one_content(in_course: Service, tmp_path: Path) -> None:
    await fill_exchange(in_course, tmp_path)
    before = kept_files(in_course)
    async with in_course.with_token(STUDENT) as student:
        assert slug(await submit(student, archive(tmp_path, {"ps1.ipynb": "other"}))) == "key-used"
    assert await submissions(in_course) == 1
    assert len(kept_files(in_course) - before) == 1, "an hour later it goes"


async def test_an_archived_course_is_only_read(in_course: Service, tmp_path: Path) -> None:
    submission = await fill_exchange(in_course, tmp_path)
    async with in_course.store.writing() as session:
        await session.execute(update(Space).where(Space.name == "ml-101").values(archived_at=NOW))
    body = archive(tmp_path, {"ps1.ipynb": ""})
    async with in_course.with_token(STUDENT) as student, in_course.with_token(INSTRUCTOR) as teacher:
        assert slug(await submit(student, body, "another-key-of-16")) == "course-archived"
        assert slug(await release(teacher, body, "?force=true")) == "course-archived"
        assert (await student.get(f"{PS1}/release")).status_code == 200
        assert (await student.get(f"{COURSE}/submissions/{submission['id']}/files")).status_code == 200
        (course,) = [each for each in await courses(student) if each["name"] == "ml-101"]
        assert course["archived_at"] == "2026-11-24T08:30:00Z"


async def test_who_was_removed_loses_access_at_once_and_the_course_keeps_what_they_handed_in(
    in_course: Service, tmp_path: Path
) -> None:
    submission = await fill_exchange(in_course, tmp_path)
    async with in_course.store.writing() as session:
        student_id = (await session.scalars(select(Person.id).where(Person.hub_name == STUDENT))).one()
        for membership in await session.scalars(select(Membership).where(Membership.person_id == student_id)):
            await session.delete(membership)
    place = f"{COURSE}/submissions/{submission['id']}/files"
    async with in_course.with_token(STUDENT) as student, in_course.with_token(ASSISTANT) as assistant:
        assert slug(await student.get(place)) == "unknown-course"
        assert (await assistant.get(place)).status_code == 200


async def test_numbers_that_are_no_submission(in_course: Service, tmp_path: Path) -> None:
    await fill_exchange(in_course, tmp_path)
    async with in_course.with_token(INSTRUCTOR) as teacher:
        for number in ("0", "01", "-1", "1.0", "2", "9" * 30, "%D9%A1", "x", "1%20"):
            assert slug(await teacher.get(f"{COURSE}/submissions/{number}/files")) == "unknown-submission", number


async def test_what_was_handed_in_is_listed_a_page_at_a_time(in_course: Service, tmp_path: Path) -> None:
    await fill_exchange(in_course, tmp_path)
    async with AsyncExitStack() as stack:
        teacher, student, other = [
            await stack.enter_async_context(in_course.with_token(who)) for who in (INSTRUCTOR, STUDENT, COLLEAGUE)
        ]
        for number in range(4):
            await submit(student, archive(tmp_path, {"ps1.ipynb": str(number)}), f"{number:016}")
        await submit(other, archive(tmp_path, {"ps1.ipynb": "theirs"}))
        found: list[dict[str, Any]] = []
        for page in (1, 2, 3):
            answer = (await teacher.get(f"{COURSE}/submissions?per_page=2&page={page}")).json()
            assert (answer["total"], answer["pages"], answer["page"], answer["per_page"]) == (6, 3, page, 2)
            found += answer["submissions"]
        times = [each["submitted_at"] for each in found]
        assert times == sorted(times)
        assert all("receipt" not in each for each in found)
        one = (await teacher.get(f"{COURSE}/submissions?student={COLLEAGUE}&assignment=ps1")).json()
        assert [each["student"] for each in one["submissions"]] == [COLLEAGUE]
        for nothing in ("assignment=ps2", "student=nobody", "student=%00", "page=9"):
            answer = await teacher.get(f"{COURSE}/submissions?{nothing}")
            assert answer.status_code == 422 or answer.json()["submissions"] == []


async def courses(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get("/services/lab/api/courses")).json()["courses"]
    return found


async def test_courses_of_a_person_and_of_a_server(in_course: Service) -> None:
    def server(who: str, name: str) -> httpx.AsyncClient:
        scopes = (SCOPE, f"users:activity!user={who}", f"access:servers!server={who}/{name}")
        return in_course.client(Authorization=f"Bearer {in_course.hub.give_token(who, f'{who}/{name}', *scopes)}")

    told: dict[str, list[tuple[str, str]]] = {}
    clients = {
        "student": in_course.with_token(STUDENT),
        "student's server": server(STUDENT, "ml-101"),
        "instructor's preview": server(INSTRUCTOR, "ml-101-preview"),
        "instructor's server": server(INSTRUCTOR, "ml-101"),
        "server of nothing": server(INSTRUCTOR, "never-bound"),
        "operator": in_course.with_token(OPERATOR),
    }
    for name, client in clients.items():
        async with client:
            told[name] = [(course["name"], course["role"]) for course in await courses(client)]
    assert told == {
        "student": [("dl-201", "student"), ("ml-101", "student")],
        "student's server": [("ml-101", "student")],
        "instructor's preview": [("ml-101", "student")],
        "instructor's server": [("ml-101", "instructor")],
        "server of nothing": [],
        "operator": [],
    }


async def test_downloads_are_no_pages(in_course: Service, tmp_path: Path) -> None:
    submission = await fill_exchange(in_course, tmp_path)
    async with in_course.with_token(INSTRUCTOR) as teacher:
        answer = await teacher.get(f"{COURSE}/submissions/{submission['id']}/files")
    assert (
        answer.headers.items()
        >= {
            "content-type": "application/gzip",
            "content-length": str(submission["size"]),
            "etag": f'"{submission["sha256"]}"',
            "content-disposition": f'attachment; filename="submission-{submission["id"]}.tar.gz"',
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
        }.items()
    )


@pytest.mark.parametrize("limit", [("MOST_SUBMISSIONS", 2), ("MOST_SIZES", 0)])
async def test_nobody_fills_the_storage_for_all(
    in_course: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: tuple[str, int]
) -> None:
    async with in_course.with_token(INSTRUCTOR) as teacher, in_course.with_token(STUDENT) as student:
        await release(teacher, archive(tmp_path, {"ps1.ipynb": "{}"}))
        for number in range(2):
            assert (
                await submit(student, archive(tmp_path, {"ps1.ipynb": f"{number}"}), f"key-{number:012}")
            ).is_success
        monkeypatch.setattr(exchange, *limit)
        more = archive(tmp_path, {"ps1.ipynb": "more"})
        assert slug(await submit(student, more, "key-of-another-one")) == "too-many-submissions"
        again = await submit(student, archive(tmp_path, {"ps1.ipynb": "1"}), "key-000000000001")
        assert again.status_code == 200, "what was handed in before is answered as before"


async def test_a_file_that_is_lost_is_told(in_course: Service, tmp_path: Path) -> None:
    submission = await fill_exchange(in_course, tmp_path)
    await in_course.state.blobs.remove([submission["sha256"]])
    async with in_course.with_token(STUDENT) as student:
        assert slug(await student.get(f"{COURSE}/submissions/{submission['id']}/files")) == "file-lost"


# -- many at once --------------------------------------------------------------------------------------------------


async def test_tries_at_the_same_moment_are_one_submission_on_both_databases(
    any_store: Store, open_service: Callable[[Store], AbstractAsyncContextManager[Service]], tmp_path: Path
) -> None:
    await fill(any_store)
    await fill_courses(any_store)
    body = archive(tmp_path, {"ps1.ipynb": "{}"})
    async with open_service(any_store) as service, service.with_token(INSTRUCTOR) as teacher:
        await release(teacher, body)
        async with service.with_token(STUDENT) as student, service.with_token(COLLEAGUE) as other:
            tries = [submit(student, body) for _ in range(4)] + [submit(other, body) for _ in range(4)]
            answers = await asyncio.gather(*tries)
        assert sorted(answer.status_code for answer in answers) == [200] * 6 + [201] * 2
        assert len({answer.json()["receipt"] for answer in answers}) == 2
        assert await submissions(service) == 2
        async with service.store.reading() as session:
            assert len(list(await session.scalars(select(BlobRow)))) == 1


# -- hostile archives ----------------------------------------------------------------------------------------------

HOSTILE = {name: content for name, (content, _) in ARCHIVES.items()}
HOSTILE |= {f"name {name[:40]!r}": named(name) for name in NAMES}
HOSTILE |= {f"{one} beside {other}": both(one, other) for one, other in CLASHES}
HOSTILE["bomb"] = bomb(header(b"a", size=b"%011o" % 10**9), 1)
HOSTILE["100,000 tiny files"] = tar(*(header(b"%d" % number) for number in range(100_000)))


async def test_hostile_archives_are_refused_and_leave_nothing(in_course: Service, tmp_path: Path) -> None:
    await fill_exchange(in_course, tmp_path)
    before, outside = kept_files(in_course), everything_below(tmp_path)
    async with in_course.with_token(STUDENT) as student, in_course.with_token(INSTRUCTOR) as teacher:
        for number, (name, content) in enumerate(HOSTILE.items()):
            answer = await submit(student, content, f"{number:016}")
            assert (slug(answer), answer.status_code) == ("archive-not-accepted", 422), (name, answer.text)
        for name, content in list(HOSTILE.items())[::10]:
            answer = await release(teacher, content, "?force=true")
            assert (slug(answer), answer.status_code) == ("archive-not-accepted", 422), (name, answer.text)
    assert kept_files(in_course) == before
    assert everything_below(tmp_path) == outside
    assert await submissions(in_course) == 1


async def test_a_refusal_says_why_in_both_languages(in_course: Service, tmp_path: Path) -> None:
    await fill_exchange(in_course, tmp_path)
    async with in_course.with_token(STUDENT) as student:
        link = ARCHIVES["symbolic link"][0]
        told = [
            (await student.post(f"{PS1}/submissions", content=link, headers=GZIP | spoken)).json()["detail"]
            for spoken in ({"Idempotency-Key": KEY, "Accept-Language": language} for language in ("en", "de"))
        ]
    assert told == [
        "These files were not accepted, and nothing was kept: “odd” is a link.",
        "Diese Dateien wurden nicht angenommen, und nichts davon wurde aufbewahrt: „odd“ ist eine Verknüpfung.",
    ]
