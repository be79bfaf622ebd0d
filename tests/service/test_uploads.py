"""Uploads that are too large, too slow, too many, or break off: each is told, and nothing of it stays."""

import asyncio
import os
import re
import socket
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import delete, select, update

from kirzl_lab.service import receiving, uploads
from kirzl_lab.store.course_tables import Submission
from kirzl_lab.store.tables import Membership, Person, Space
from tests.service.conftest import Service
from tests.service.handed_in import (
    COURSE,
    GZIP,
    PS1,
    archive,
    fill_exchange,
    kept_files,
    listening,
    release,
    submit,
)
from tests.service.sample import CATALOGUE, COLLEAGUE, INSTRUCTOR, STUDENT
from tests.service.test_exchange import slug, submissions
from tests.service.test_loops import until

NEW_KEY = "another-key-of-16"
HEADERS = GZIP | {"Idempotency-Key": NEW_KEY}
MIB = 1 << 20


@pytest.fixture
async def released(in_course: Service, tmp_path: Path) -> AsyncIterator[Service]:
    """`ps1` of a course where a submission has at most one MiB and three files."""
    await fill_exchange(in_course, tmp_path)
    spec = CATALOGUE.courses["ml-101"].file.model_dump(mode="json")
    small = spec | {"max_submission_mib": 1, "max_submission_files": 3}
    async with in_course.store.writing() as session:
        await session.execute(update(Space).where(Space.name == "ml-101").values(spec=small))
    before = kept_files(in_course)
    yield in_course
    assert kept_files(in_course) == before, "something stays"
    assert await submissions(in_course) == 1


class Body:
    """A body that comes in parts, and notes how many were asked for."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            self.taken += 1
            yield part


async def test_what_says_that_it_is_too_large_is_not_read(released: Service) -> None:
    body = Body(bytes(MIB), b"x")
    async with released.with_token(STUDENT) as student:
        answer = await student.post(
            f"{PS1}/submissions", content=body, headers=HEADERS | {"Content-Length": str(MIB + 1)}
        )
    assert (slug(answer), answer.status_code) == ("upload-too-large", 413)
    assert body.taken == 0


async def test_what_does_not_say_is_read_up_to_the_limit(released: Service) -> None:
    async with released.with_token(STUDENT) as student:
        answer = await student.post(f"{PS1}/submissions", content=Body(bytes(MIB), b"x", b"x"), headers=HEADERS)
    assert (slug(answer), answer.status_code) == ("upload-too-large", 413)


async def test_too_many_files_and_too_much_in_them(released: Service, tmp_path: Path) -> None:
    many = archive(tmp_path, {f"{number}.txt": "" for number in range(4)})
    much = archive(tmp_path, {"zeros": bytes(11 * MIB)})
    async with released.with_token(STUDENT) as student:
        told = [(await submit(student, body, NEW_KEY)).json()["detail"] for body in (many, much)]
    assert "more than 3 files and folders" in told[0]
    assert f"larger than {10 * MIB} bytes together" in told[1]


@pytest.mark.parametrize("kind", [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_what_does_not_say_that_it_is_an_archive(released: Service, tmp_path: Path, kind: str | None) -> None:
    headers = {"Idempotency-Key": NEW_KEY} | ({} if kind is None else {"Content-Type": kind})
    async with released.with_token(STUDENT) as student:
        body = archive(tmp_path, {"ps1.ipynb": ""})
        answer = await student.post(f"{PS1}/submissions", content=body, headers=headers)
    assert (slug(answer), answer.status_code) == ("not-an-archive", 415)


@pytest.mark.parametrize("length", ["-1", "1e9", "９", "x"])
async def test_odd_lengths(released: Service, length: str) -> None:
    async with released.with_token(STUDENT) as student:
        headers = HEADERS | {"Content-Length": length.encode()}
        answer = await student.post(f"{PS1}/submissions", content=Body(b"no archive"), headers=headers)
    assert slug(answer) == "archive-not-accepted"


async def test_a_browser_s_form_is_no_upload(released: Service, tmp_path: Path) -> None:
    """A page of somebody else cannot hand in with the cookies of a person's browser."""
    async with released.browser(STUDENT) as browser:
        for headers in (
            {},
            {"Origin": "http://lab.test"},
            {"Origin": "http://lab.test", "Sec-Fetch-Site": "same-site"},
        ):
            answer = await browser.post(
                f"{PS1}/submissions",
                content=archive(tmp_path, {"ps1.ipynb": ""}),
                headers=HEADERS | headers | {"Accept": "*/*"},
            )
            assert slug(answer) == "form-expired"


async def test_a_form_of_our_own_is_no_archive(released: Service) -> None:
    """A form is read to see whose it is, and nothing is left of it to hand in."""
    async with released.browser(STUDENT) as browser:
        session = released.state.cookies.session(dict(browser.cookies), released.state.clock())
        assert session is not None
        answer = await browser.post(
            f"{PS1}/submissions",
            data={"form_key": session.form_key},
            files={"file": b"x"},
            headers={"Origin": "http://lab.test", "Accept": "*/*", "Idempotency-Key": NEW_KEY},
        )
        assert slug(answer) == "not-an-archive"


@pytest.mark.parametrize("length", [str((16 << 20) + 1), "9" * 30, "\xb2", "-1", "x"])
async def test_a_form_that_is_too_large_is_not_read(released: Service, length: str) -> None:
    body = Body(b"form_key=")
    async with released.browser(STUDENT) as browser:
        headers = {"Origin": "http://lab.test", "Accept": "*/*", "Content-Type": "application/x-www-form-urlencoded"}
        headers_sent = {name: value.encode() for name, value in headers.items()} | {
            "Content-Length": length.encode("latin-1")
        }
        answer = await browser.post(f"{PS1}/submissions", content=body, headers=headers_sent)
    assert slug(answer) == "too-large"
    assert body.taken == 0


async def test_an_upload_that_stands_still_ends(released: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "IDLE_S", 0.05)
    never = asyncio.Event()

    async def stands_still() -> AsyncIterator[bytes]:
        yield b"\x1f\x8b"
        await never.wait()

    async with released.with_token(STUDENT) as student:
        answer = await student.post(f"{PS1}/submissions", content=stands_still(), headers=HEADERS)
    assert (slug(answer), answer.status_code) == ("upload-too-slow", 408)


async def test_an_upload_that_drips_ends(released: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "WHOLE_S", 0.2)

    async def drips() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    async with released.with_token(STUDENT) as student:
        answer = await student.post(f"{PS1}/submissions", content=drips(), headers=HEADERS)
    assert (slug(answer), answer.status_code) == ("upload-too-slow", 408)


@pytest.mark.parametrize("lost", ["membership", "course"])
async def test_who_loses_the_right_while_they_upload_has_handed_in_nothing(
    released: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    monkeypatch.setattr(receiving, "DECIDED_FOR_S", 0.0)
    content = archive(tmp_path, {"ps1.ipynb": "{}"})
    async with released.store.reading() as session:
        before = list(await session.scalars(select(Submission.id)))

    async def body() -> AsyncIterator[bytes]:
        yield content[:100]
        async with released.store.writing() as session:
            if lost == "membership":
                person = (await session.scalars(select(Person).where(Person.hub_name == STUDENT))).one()
                await session.execute(delete(Membership).where(Membership.person_id == person.id))
            else:
                await session.execute(update(Space).values(archived_at=released.state.clock()))
        yield content[100:]

    async with released.with_token(STUDENT) as student:
        answer = await student.post(f"{PS1}/submissions", content=body(), headers=HEADERS)
    assert slug(answer) == {"membership": "unknown-course", "course": "course-archived"}[lost]
    async with released.store.reading() as session:
        assert list(await session.scalars(select(Submission.id))) == before


class Waiting:
    """Bodies that begin, and go on when they are told."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.begun = 0
        self.go_on = asyncio.Event()
        self.connections: set[int] = set()

    async def body(self, content: bytes) -> AsyncIterator[bytes]:
        yield content[:100]
        self.begun += 1
        await self.go_on.wait()
        self.connections.add(self.service.store.engine.pool.checkedout())  # type: ignore[attr-defined]
        yield content[100:]


async def test_nobody_waits_for_a_database_connection_while_others_upload(in_course: Service, tmp_path: Path) -> None:
    """More uploads than the pool has connections stand still, and pages go on."""
    async with in_course.with_token(INSTRUCTOR) as teacher:
        await release(teacher, archive(tmp_path, {"ps1.ipynb": "{}"}))
    waiting = Waiting(in_course)
    tokens = [STUDENT, COLLEAGUE, INSTRUCTOR]
    in_course_uploads: list[asyncio.Task[httpx.Response]] = []
    content = archive(tmp_path, {"ps1.ipynb": os.urandom(100_000)})
    for number in range(3 * uploads.EACH):
        client = in_course.with_token(tokens[number % 3])
        headers = GZIP | {"Idempotency-Key": f"{number:016}"}
        sent = client.post(f"{PS1}/submissions", content=waiting.body(content), headers=headers)
        in_course_uploads.append(asyncio.create_task(sent))
    await until(lambda: waiting.begun == 3 * uploads.EACH, "all uploads to begin")
    async with in_course.with_token(STUDENT) as student:
        assert (await student.get(f"{COURSE}/assignments")).status_code == 200
    waiting.go_on.set()
    answers = await asyncio.gather(*in_course_uploads)
    assert {answer.status_code for answer in answers} == {201}
    assert min(waiting.connections) == 0


async def test_a_person_has_few_uploads_at_once(released: Service) -> None:
    waiting = Waiting(released)
    async with released.with_token(STUDENT) as student, released.with_token(COLLEAGUE) as other:
        tasks = [
            asyncio.create_task(
                student.post(f"{PS1}/submissions", content=waiting.body(b"no archive"), headers=HEADERS)
            )
            for _ in range(uploads.EACH)
        ]
        await until(lambda: waiting.begun == uploads.EACH, "the uploads to begin")
        answer = await submit(student, b"no archive", NEW_KEY)
        assert (slug(answer), answer.status_code, answer.headers["retry-after"]) == ("too-many-uploads", 429, "30")
        assert slug(await submit(other, b"no archive", NEW_KEY)) == "archive-not-accepted"
        waiting.go_on.set()
        assert {slug(answer) for answer in await asyncio.gather(*tasks)} == {"archive-not-accepted"}
        assert slug(await submit(student, b"no archive", NEW_KEY)) == "archive-not-accepted"


async def test_a_process_has_so_many_uploads_at_once(released: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "AT_ONCE", 1)
    waiting = Waiting(released)
    async with released.with_token(STUDENT) as student, released.with_token(COLLEAGUE) as other:
        upload = student.post(f"{PS1}/submissions", content=waiting.body(b"no archive"), headers=HEADERS)
        task = asyncio.create_task(upload)
        await until(lambda: waiting.begun == 1, "the upload to begin")
        answer = await submit(other, b"no archive", NEW_KEY)
        assert (slug(answer), answer.status_code, answer.headers["retry-after"]) == ("uploads-full", 503, "30")
        waiting.go_on.set()
        await task
        assert slug(await submit(other, b"no archive", NEW_KEY)) == "archive-not-accepted"


@pytest.mark.parametrize("way", ["shut", "reset"])
async def test_an_upload_that_breaks_off_leaves_nothing(released: Service, tmp_path: Path, way: str) -> None:
    content = archive(tmp_path, {"ps1.ipynb": os.urandom(MIB // 2)})
    before = kept_files(released)
    async with listening(released) as url:
        place = urlsplit(url)
        _reader, writer = await asyncio.open_connection(place.hostname, place.port)
        head = {"Host": "lab", "Authorization": f"Bearer {released.tokens[STUDENT]}", **HEADERS}
        head |= {"Content-Length": str(len(content))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        writer.write(f"POST {PS1}/submissions HTTP/1.1\r\n{lines}\r\n".encode() + content[:300_000])
        await writer.drain()
        await until(lambda: kept_files(released) != before, "the draft")
        if way == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        writer.close()
        await until(lambda: kept_files(released) == before, "nothing")
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": head["Authorization"]}) as student:
            listed = (await student.get(f"{COURSE}/assignments")).json()["assignments"]
    assert [len(each["submissions"]) for each in listed] == [1]


async def test_large_ones_pass_through_in_constant_memory(in_course: Service, tmp_path: Path) -> None:
    """Both ways over a real connection; what the client has in memory counts, too."""
    size, packed = 32 * MIB, tmp_path / "large.tar.gz"
    content = archive(tmp_path, {"data.bin": os.urandom(size)})
    packed.write_bytes(content)
    digest = sha256(content).hexdigest()
    del content

    def parts() -> Iterator[bytes]:
        with packed.open("rb") as file:
            while part := file.read(1 << 16):
                yield part

    async def body() -> AsyncIterator[bytes]:
        for part in parts():
            yield part

    async with listening(in_course) as url:
        client = {"base_url": url, "headers": {"Authorization": f"Bearer {in_course.tokens[INSTRUCTOR]}"}}
        async with httpx.AsyncClient(**client, timeout=60) as teacher:
            tracemalloc.start()
            try:
                answer = await teacher.put(f"{PS1}/release", content=body(), headers=GZIP)
                assert answer.status_code == 204, answer.text
                found = sha256()
                async with teacher.stream("GET", f"{PS1}/release") as fetched:
                    async for part in fetched.aiter_bytes():
                        found.update(part)
                assert found.hexdigest() == digest
                assert tracemalloc.get_traced_memory()[1] < 8 * MIB
            finally:
                tracemalloc.stop()


async def test_nobody_has_a_large_body_understood_before_they_are_known(released: Service) -> None:
    """Every address that takes JSON: FastAPI reads it before any of our code asks who sends it."""
    paths = released.app.openapi()["paths"]
    taking = [
        (method, path)
        for path, methods in paths.items()
        for method, about in methods.items()
        if "application/json" in about.get("requestBody", {}).get("content", {})
    ]
    assert len(taking) > 5
    async with released.client() as stranger:
        for method, path in taking:
            body = Body(*[b"[]," * 20_000] * 100)
            answer = await stranger.request(
                method, re.sub(r"{\w+}", "1", path), content=body, headers={"Content-Type": "application/json"}
            )
            assert (answer.status_code, slug(answer)) == (413, "too-large"), path
            assert body.taken <= 6, path
            answer = await stranger.request(method, re.sub(r"{\w+}", "1", path), json=[[]] * 300_000)
            assert answer.status_code == 413, path
