"""Hundreds of students hand in at the same moment, the service is killed, the disk is full: nothing is lost or doubled."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from kirzl_lab.settings import Settings
from kirzl_lab.store.blob_bucket import S3Blobs
from kirzl_lab.store.blob_folder import DirectoryBlobs
from kirzl_lab.store.blob_rows import LEFT_ALONE, remove_unneeded
from kirzl_lab.store.blobs import Blobs
from kirzl_lab.store.course_tables import BlobRow
from kirzl_lab.store.database import Store
from tests.service.crowd import (
    HandedIn,
    Tally,
    all_hand_in,
    fill,
    hand_in,
    release,
    student,
    submissions,
    tally,
    teacher,
)
from tests.service.fake_hub import FakeHub, on_loopback
from tests.service.running import RunningService, running, settings_in
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@dataclass
class Lab:
    """Where everything is, before the service runs."""

    settings: Settings
    blobs: Blobs
    drafts: Path
    environment: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def hub() -> Iterator[tuple[FakeHub, str]]:
    hub = FakeHub()
    with on_loopback(hub) as api:
        yield hub, api


@pytest.fixture(params=["laptop", pytest.param("cluster", marks=[pytest.mark.postgres, pytest.mark.cluster])])
def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """On SQLite with a folder, and on PostgreSQL with a bucket."""
    if request.param == "laptop":
        folder = tmp_path / "blobs"
        settings = settings_in(tmp_path, request.getfixturevalue("sqlite_url"))
        return Lab(settings, DirectoryBlobs(folder), folder / ".drafts")
    s3 = request.getfixturevalue("s3")
    address = f"s3://{s3.bucket()}/lab"
    settings = settings_in(tmp_path, request.getfixturevalue("postgres_url"), address)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return Lab(settings, S3Blobs(address, tmp_path / "drafts"), tmp_path / "drafts", s3.environment)


async def test_nothing_is_lost_or_doubled_when_the_service_is_killed(
    lab: Lab, hub: tuple[FakeHub, str], tmp_path: Path
) -> None:
    """300 students within 20 s, each with 2 MB; in the middle it is killed, and started again."""
    students = 300
    await fill(lab.settings, hub[0], students)
    had: list[HandedIn] = []
    with running(RunningService(lab.settings, hub[1], tmp_path / "log", lab.environment)) as service:
        await release(service.url)
        async with asyncio.TaskGroup() as group:
            group.create_task(all_hand_in(service.url, students, 15, had))
            await asyncio.to_thread(wait_until, lambda: len(had) >= students // 3, "a third of the receipts", 300)
            service.kill()
            await asyncio.to_thread(service.start)
        assert any(each.tries > 1 for each in had)
        assert await tally(service.url, lab.blobs, students, had) == Tally(lost=[], doubled=[])
    await _nothing_else_is_left(lab, students)


async def _nothing_else_is_left(lab: Lab, students: int) -> None:
    """After what nobody needs is removed: a blob for each submission and the release, and no draft."""
    store = Store(lab.settings.database_url)
    await remove_unneeded(store, lab.blobs, datetime.now(UTC) + 2 * LEFT_ALONE)
    async with store.reading() as session:
        rows = set(await session.scalars(select(BlobRow.sha256)))
    kept = {sha256 async for batch in lab.blobs.old(datetime.now(UTC) + LEFT_ALONE) for sha256 in batch}
    assert kept == rows
    assert len(rows) == students + 1
    assert list(lab.drafts.iterdir()) == []
    lab.blobs.close()
    await store.close()


@pytest.fixture
def small_disk(tmp_path: Path, sqlite_template: Path, hub: tuple[FakeHub, str]) -> Iterator[RunningService]:
    """A service whose data are on a file system of their own, with room for some submissions; as on a laptop."""
    data = tmp_path / "data"
    data.mkdir()
    file = tmp_path / "lab.sqlite"
    shutil.copyfile(sqlite_template, file)
    asyncio.run(fill(settings_in(tmp_path, f"sqlite+aiosqlite:///{file}"), hub[0], STUDENTS))
    mount = f"mount -t tmpfs -o size={DISK} none {data} && cp {file} {data} && exec "
    around = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount + '"$@"', "sh"]
    settings = settings_in(data, f"sqlite+aiosqlite:///{data}/lab.sqlite")
    with running(RunningService(settings, hub[1], tmp_path / "log", around=around)) as service:
        yield service


STUDENTS, DISK = 12, 32 << 20


async def test_a_full_disk_is_refused_clearly_and_tears_nothing(small_disk: RunningService) -> None:
    await release(small_disk.url)
    data = Path(f"/proc/{small_disk.pid}/root{small_disk.settings.data}")
    ballast = data / "ballast"
    with ballast.open("wb") as file:  # leaves room for two, and not for three
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(data).free - 5 * (1 << 20))
    limits = httpx.Limits(max_keepalive_connections=0)
    async with (
        httpx.AsyncClient(base_url=small_disk.url, timeout=60, limits=limits, trust_env=False) as client,
        teacher(small_disk.url) as staff,
    ):
        answers = dict(enumerate(await asyncio.gather(*(hand_in(client, number) for number in range(STUDENTS)))))
        kept = {number for number, answer in answers.items() if answer.status_code == 201}
        refused = {(answer.status_code, answer.json().get("slug")) for answer in answers.values()} - {(201, None)}
        assert refused == {(507, "storage-full")}
        assert {each["student"] for each in await submissions(staff)} == {student(number) for number in kept}
        assert list((data / "blobs" / ".drafts").iterdir()) == []
        ballast.unlink()
        again = await asyncio.gather(*(hand_in(client, number) for number in range(STUDENTS)))
        assert [answer.status_code for answer in again] == [200 if n in kept else 201 for n in range(STUDENTS)]
        assert len(await submissions(staff)) == STUDENTS
    files = [path for path in (data / "blobs").rglob("*") if path.is_file()]
    assert len(files) == STUDENTS + 1
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in files)
