"""Blobs in a folder and in a bucket: whole or not there, streamed, shared by all who have the same, removed when unneeded."""

import asyncio
import errno
import os
import stat
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from kirzl_lab.problems import FileLost, StorageAway, StorageFull
from kirzl_lab.store.blob_bucket import S3Blobs
from kirzl_lab.store.blob_folder import SPOOL, DirectoryBlobs
from kirzl_lab.store.blob_rows import LEFT_ALONE, need, remove_unneeded
from kirzl_lab.store.blobs import Blob, Blobs
from kirzl_lab.store.course_tables import Assignment, BlobRow
from kirzl_lab.store.database import Store
from kirzl_lab.store.tables import Space

NOW = datetime.now(UTC)
LATER = NOW + 2 * LEFT_ALONE
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.cluster)])
def blobs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blobs:
    if request.param == "folder":
        return DirectoryBlobs(tmp_path / "blobs")
    s3 = request.getfixturevalue("s3")
    bucket = s3.bucket()
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    monkeypatch.setenv("AWS_REGION", s3.region)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret)
    return S3Blobs(f"s3://{bucket}/lab", tmp_path / "drafts")


@pytest.fixture
def folder(tmp_path: Path) -> DirectoryBlobs:
    return DirectoryBlobs(tmp_path / "blobs")


async def keep(blobs: Blobs, *parts: bytes) -> Blob:
    async with blobs.draft() as draft:
        for part in parts:
            await draft.write(part)
        return await blobs.keep(draft)


async def content(blobs: Blobs, blob: Blob) -> bytes:
    return b"".join([part async for part in await blobs.read(blob.sha256)])


def files(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if path.is_file())


async def test_what_is_kept_can_be_read(blobs: Blobs) -> None:
    parts = [os.urandom(size) for size in (1, 100_000, 0, 70_000)]
    kept = await keep(blobs, *parts)
    assert kept == Blob(sha256(b"".join(parts)).hexdigest(), sum(map(len, parts)))
    assert await blobs.has(kept.sha256)
    assert await content(blobs, kept) == b"".join(parts)


async def test_nothing_is_a_blob_as_well(blobs: Blobs) -> None:
    assert await content(blobs, await keep(blobs)) == b""


async def test_the_same_is_kept_once(blobs: Blobs) -> None:
    first, *others = await asyncio.gather(*(keep(blobs, b"the same") for _ in range(20)))
    assert set(others) == {first}
    assert [sha async for batch in blobs.old(LATER) for sha in batch] == [first.sha256]


async def test_what_is_not_there_is_told_before_anything_is_read(blobs: Blobs) -> None:
    await keep(blobs, b"x")
    assert not await blobs.has("0" * 64)
    with pytest.raises(FileLost):
        await blobs.read("0" * 64)


async def test_a_disk_that_is_away_has_lost_nothing(folder: DirectoryBlobs) -> None:
    with pytest.raises(StorageAway):
        await folder.read("0" * 64)


async def test_large_ones_are_not_in_memory(blobs: Blobs) -> None:
    megabyte = os.urandom(1 << 20)
    tracemalloc.start()
    try:
        async with blobs.draft() as draft:
            for _ in range(64):
                await draft.write(megabyte)
            kept = await blobs.keep(draft)
        digest = sha256()
        async for part in await blobs.read(kept.sha256):
            digest.update(part)
        assert digest.hexdigest() == kept.sha256
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()


async def test_removed_is_gone_and_twice_is_no_mistake(blobs: Blobs) -> None:
    kept, other = await keep(blobs, b"one"), await keep(blobs, b"another")
    await blobs.remove([kept.sha256])
    await blobs.remove([kept.sha256])
    await blobs.remove([])
    assert not await blobs.has(kept.sha256)
    assert await blobs.has(other.sha256)


async def test_a_draft_that_is_not_kept_leaves_nothing(folder: DirectoryBlobs, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with folder.draft() as draft:
            await draft.write(b"x" * 200_000)
            assert files(tmp_path / "blobs") == [draft.path]
            raise ZeroDivisionError
    assert files(tmp_path / "blobs") == []


async def test_an_upload_that_is_cancelled_leaves_nothing(folder: DirectoryBlobs, tmp_path: Path) -> None:
    writing = asyncio.Event()

    async def upload() -> None:
        async with folder.draft() as draft:
            while True:
                await draft.write(b"x" * 100_000)
                writing.set()

    task = asyncio.create_task(upload())
    await writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(tmp_path / "blobs") == []


async def test_only_the_lab_can_read_them(folder: DirectoryBlobs, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        kept = await keep(folder, b"private")
    finally:
        os.umask(old)
    place = tmp_path / "blobs"
    modes = {path.relative_to(place).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in place.rglob("*")}
    first, second = kept.sha256[:2], kept.sha256[2:4]
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert modes == {
        SPOOL: 0o700,
        first: 0o700,
        f"{first}/{second}": 0o700,
        f"{first}/{second}/{kept.sha256}": 0o600,
    }


async def test_it_is_on_the_disk_before_it_has_a_name(
    folder: DirectoryBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, link = os.fsync, os.link

    def synced(number: int) -> None:
        done.append(f"sync {Path(f'/proc/self/fd/{number}').readlink().relative_to(tmp_path / 'blobs')}")
        sync(number)

    def linked(draft: Path, target: Path) -> None:
        done.append(f"link {target.name}")
        link(draft, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", linked)
    async with folder.draft() as draft:
        await draft.write(b"durable")
        kept = await folder.keep(draft)
        first, second = kept.sha256[:2], f"{kept.sha256[:2]}/{kept.sha256[2:4]}"
        drafted = f"sync {SPOOL}/{draft.path.name}"
        assert done == [drafted, "sync .", f"sync {first}", f"link {kept.sha256}", f"sync {second}"]


FILLS = """
import asyncio, os, sys
from pathlib import Path
from kirzl_lab.problems import StorageFull
from kirzl_lab.store.blob_folder import DirectoryBlobs
from tests.store.test_blobs import content, files, keep

async def main():
    place = Path(sys.argv[1])
    blobs = DirectoryBlobs(place)
    fits = await keep(blobs, os.urandom(1 << 20))
    before = files(place)
    disk = os.statvfs(place)
    for too_much in (disk.f_bavail * disk.f_bsize + 1000, 4 << 20):  # too much at its last bytes, and long before
        try:
            await keep(blobs, *(os.urandom(1000) for _ in range(too_much // 1000 + 1)))
        except StorageFull:
            print("full")
        assert files(place) == before
    assert len(await content(blobs, fits)) == 1 << 20
    print("kept" if await keep(blobs, os.urandom(1 << 18)) else "")

asyncio.run(main())
"""


def test_a_full_disk_is_told_and_nothing_is_torn(tmp_path: Path) -> None:
    """On a real file system of 2 MiB, in a mount namespace of its own."""
    program = f"mount -t tmpfs -o size=2m none {tmp_path} && exec {sys.executable} -c '{FILLS}' {tmp_path}/blobs"
    told = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert told.stdout.split() == ["full", "full", "kept"], told.stderr


@pytest.mark.parametrize(
    ("number", "problem"), [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, StorageAway)]
)
async def test_errors_of_the_disk_are_problems(
    folder: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch, number: int, problem: type[Exception]
) -> None:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", fails)
    with pytest.raises(problem):
        await keep(folder, b"x")


async def test_a_server_that_is_not_there_is_a_problem(blobs_elsewhere: Blobs) -> None:
    with pytest.raises(StorageAway):
        await keep(blobs_elsewhere, b"x")
    with pytest.raises(StorageAway):
        await blobs_elsewhere.has("0" * 64)


@pytest.fixture
def blobs_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blobs:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    return S3Blobs("s3://nowhere", tmp_path / "drafts")


@pytest.fixture
def drafts_stay(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removals of these tests are hours ahead of the clock by which drafts are written."""

    async def none(_before: datetime) -> int:
        return 0

    monkeypatch.setattr(blobs, "remove_drafts", none)


async def needed(store: Store, blobs: Blobs, data: bytes, at: datetime = NOW) -> str:
    async with blobs.draft() as draft:
        await draft.write(data)
        blob = await blobs.keep(draft)
        async with store.writing() as session:
            return await need(session, blobs, draft, blob, at)


async def test_what_has_no_row_goes_after_an_hour(any_store: Store, blobs: Blobs) -> None:
    left, kept = await keep(blobs, b"left"), await needed(any_store, blobs, b"needed", LATER)
    assert await remove_unneeded(any_store, blobs, datetime.now(UTC)) == 0
    assert await blobs.has(left.sha256)
    assert await remove_unneeded(any_store, blobs, LATER) == 1
    assert not await blobs.has(left.sha256)
    assert await blobs.has(kept)


async def test_a_row_that_nothing_points_to_goes_and_its_blob_with_it(any_store: Store, blobs: Blobs) -> None:
    replaced, kept = await needed(any_store, blobs, b"first release"), await needed(any_store, blobs, b"second")
    about = {"name": "ml-101", "kind": "course", "title_de": "", "title_en": "", "spec": {}, "created_at": NOW}
    async with any_store.writing() as session:
        session.add(space := Space(**about))
        await session.flush()
        session.add(Assignment(space_id=space.id, name="ps1", notebooks=[], created_at=NOW, release_sha256=kept))
    assert await remove_unneeded(any_store, blobs, LATER) == 1
    assert not await blobs.has(replaced)
    assert await blobs.has(kept)
    async with any_store.reading() as session:
        assert await session.get(BlobRow, replaced) is None
        assert await session.get(BlobRow, kept) is not None


@pytest.mark.usefixtures("drafts_stay")
async def test_one_that_was_removed_before_its_row_was_written_comes_back(any_store: Store, blobs: Blobs) -> None:
    async with blobs.draft() as draft:
        await draft.write(b"late")
        blob = await blobs.keep(draft)
        assert await remove_unneeded(any_store, blobs, LATER) == 1
        async with any_store.writing() as session:
            await need(session, blobs, draft, blob, LATER)
    assert await content(blobs, blob) == b"late"


@pytest.mark.usefixtures("drafts_stay")
async def test_rows_and_removals_at_the_same_moment_lose_nothing(any_store: Store, blobs: Blobs) -> None:
    """Forty uploads of four contents while everything without a row is removed again and again."""
    stop = asyncio.Event()

    async def remove() -> None:
        while not stop.is_set():
            await remove_unneeded(any_store, blobs, LATER)

    removing = asyncio.create_task(remove())
    try:
        for _ in range(10):
            kept = await asyncio.gather(*(needed(any_store, blobs, b"%d" % number, LATER) for number in range(4)))
            assert all([await blobs.has(sha256) for sha256 in kept])
    finally:
        stop.set()
        await removing


async def test_drafts_of_a_killed_process_go(folder: DirectoryBlobs, store: Store, tmp_path: Path) -> None:
    left = tmp_path / "blobs" / SPOOL / "0123"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"torn")
    async with folder.draft() as draft:
        await draft.write(b"x" * 100_000)
        assert await folder.remove_drafts(NOW - timedelta(hours=1)) == 0
        old = (NOW - 2 * LEFT_ALONE).timestamp()
        os.utime(left, (old, old))
        await remove_unneeded(store, folder, NOW)
        assert not left.exists()
        assert draft.path.exists()
