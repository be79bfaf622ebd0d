"""Archives that would fill memory, disk or time, and bytes that mean nothing: refused at once, in words, without a trace."""

import gzip
import os
import random
import resource
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kirzl_lab.store.archives import LIMITS, ArchiveRefused, Limits, Reason, inspect, pack, unpack
from tests.store.hostile_archives import ARCHIVES, FINE_NAMES, GOOD, bomb, header, named, refused, tar

ROOT = Path(__file__).parents[2]
SMALL = Limits(packed=1 << 20, unpacked=4 << 20, files=100, path=200, depth=5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "archive.tar.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


# -- bombs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "limits", "reason"),
    [
        (header(b"a", size=b"77777777777"), LIMITS, Reason.TOO_BIG),
        (header(b"a", size=b"77777777777"), Limits(unpacked=1 << 40), Reason.RATIO),
        (header(b"a"), LIMITS, Reason.TRAILING),
        (b"x", LIMITS, Reason.NOT_AN_ARCHIVE),
    ],
    ids=["announced", "allowed", "after the end", "no tar"],
)
def test_10_gigabytes_in_10_megabytes_are_refused_at_once(
    first: bytes, limits: Limits, reason: Reason, file: Path
) -> None:
    content = bomb(first, 10)
    assert len(content) < 12 << 20
    begin = time.process_time()
    assert refused(file, content, limits).reason is reason
    assert time.process_time() - begin < 5  # seconds; to unpack it takes a minute


def test_100_000_tiny_files_are_refused_at_once(file: Path) -> None:
    content = tar(*(header(b"%d" % number) for number in range(100_000)))
    begin = time.process_time()
    told = refused(file, content)
    assert (told.reason, told.limit) == (Reason.TOO_MANY, LIMITS.files)
    assert time.process_time() - begin < 15  # seconds; most of it is making and removing 10,000 files


MEASURE = """
import resource, sys, tracemalloc
from pathlib import Path
from kirzl_lab.store.archives import ArchiveRefused, Limits, inspect, unpack
def most(*does):
    tracemalloc.start()
    for do in does:
        do()
    top = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return top
file, out = Path(sys.argv[1]), Path(sys.argv[2])
limits = Limits(packed=1 << 40, unpacked=1 << 40)
begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(most(lambda: inspect(file, limits), lambda: unpack(file, out, limits)))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin) * 1024)
"""


def test_memory_does_not_grow_with_the_files(folder: Path, file: Path, tmp_path: Path) -> None:
    with (folder / "big").open("wb") as big:
        chunk = random.Random(1).randbytes(1 << 20)
        for _ in range(64):
            big.write(chunk[:500_000] + bytes(len(chunk) - 500_000))
    found = pack(folder, file)
    assert (found.unpacked, found.size > 30 << 20) == (64 << 20, True)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, file, tmp_path / "out"], capture_output=True, text=True, check=True
    )
    traced, resident = map(int, done.stdout.split())
    assert traced < 1 << 20  # bytes, of 64 MiB
    assert resident < 8 << 20


# -- where it runs ------------------------------------------------------------------------------------------------


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_leaves_nothing_behind(folder: Path, file: Path) -> None:
    (folder / "a").write_bytes(random.Random(1).randbytes(1 << 20))
    with largest_file(100_000), pytest.raises(OSError, match="too large"):
        pack(folder, file)
    assert [each.name for each in file.parent.iterdir()] == ["folder"]
    pack(folder, file)
    with largest_file(100_000), pytest.raises(OSError, match="too large"):
        unpack(file, file.parent / "out")
    assert sorted(each.name for each in file.parent.iterdir()) == ["archive.tar.gz", "folder"]


def test_the_standard_library_is_all_it_needs(folder: Path, file: Path) -> None:
    (folder / "a").write_text("a")
    code = "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from kirzl_lab.store import archives; print(archives.pack(Path(sys.argv[2]), Path(sys.argv[3])).files)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, ROOT, folder, file], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{inspect(file).files}\n"


def test_tar_reads_what_is_packed(folder: Path, file: Path) -> None:
    for path in ("Übung/" + "文" * 60 + ".ipynb", "/".join(["a" * 60] * 6), "b"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    pack(folder, file)
    out = file.parent / "out"
    out.mkdir()
    subprocess.run(["tar", "-xzf", file, "-C", out], check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert {each.relative_to(out).as_posix() for each in out.rglob("*") if each.is_file()} == {
        each.path for each in inspect(file).files
    }


# -- anything at all ----------------------------------------------------------------------------------------------


def _only_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with suppress(ArchiveRefused):
        inspect(file, SMALL)
    out = file.parent / "out"
    with suppress(ArchiveRefused):
        found = unpack(file, out, SMALL)
        shutil.rmtree(out)
        with tarfile.open(file) as archive:  # whatever is let in, nobody reads otherwise
            told = [(each.name, each.size, each.isreg()) for each in archive]
        assert told == [(each.path, each.size, True) for each in found.files]
    assert [each.name for each in file.parent.iterdir()] == [file.name]


@settings(max_examples=300)
@given(content=st.binary(max_size=3000), packed=st.booleans())
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes, packed: bool) -> None:
    _only_refused(tmp_path_factory.mktemp("any") / "file", gzip.compress(content) if packed else content)


_seeds = [content for content, _ in ARCHIVES.values() if len(content) < 5000] + [GOOD, *map(named, FINE_NAMES)]


@settings(max_examples=1000)
@given(data=st.data(), seed=st.sampled_from(_seeds), inside=st.booleans())
def test_mutated_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, seed: bytes, inside: bool
) -> None:
    """Bytes of the gzip or, inside, of the tar are replaced, cut out and doubled; checksums of headers are mended."""
    content = seed
    if inside:
        try:
            content = gzip.decompress(seed)
        except (OSError, EOFError):
            content = header(b"a", b"x" * 600) + bytes(1024)
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, max(0, len(changed) - 1)))
        end = start + data.draw(st.integers(0, 12))
        changed[start:end] = data.draw(st.binary(max_size=12))
    if inside:
        for start in range(0, len(changed) - 511, 512):
            if changed[start + 257 : start + 262] == b"ustar":
                changed[start + 148 : start + 156] = b" " * 8
                changed[start + 148 : start + 156] = b"%06o\0 " % sum(changed[start : start + 512])
    _only_refused(
        tmp_path_factory.mktemp("mutated") / "file", gzip.compress(bytes(changed)) if inside else bytes(changed)
    )
