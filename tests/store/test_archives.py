"""Folders as archives: what goes in comes out, nothing else gets in, and nothing gets out of the folder."""

import gzip
import hashlib
import io
import os
import random
import stat
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.store.archive_rules import SENTENCES, check_path, header_of
from kirzl_lab.store.archives import ArchiveRefused, File, Limits, Reason, inspect, pack, unpack
from tests.store.hostile_archives import (
    ARCHIVES,
    CLASHES,
    FINE_NAMES,
    GOOD,
    NAMES,
    both,
    named,
    refused,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "archive.tar.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below the folder: what is in it, and its mode."""
    files = [each for each in folder.rglob("*") if not each.is_dir() or each.is_symlink()]
    return {
        each.relative_to(folder).as_posix(): (each.read_bytes(), stat.S_IMODE(each.lstat().st_mode)) for each in files
    }


# -- there and back -----------------------------------------------------------------------------------------------

_step = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12) | st.sampled_from(["a", "A", "Übung", "b.ipynb"])


def _writable(path: str) -> bool:
    try:
        check_path(path)
    except ArchiveRefused:
        return False
    return True


_paths = st.lists(_step, min_size=1, max_size=4).map("/".join).filter(_writable)
_trees = st.dictionaries(_paths, st.tuples(st.binary(max_size=2000), st.booleans()), max_size=8)


@given(files=_trees)
def test_what_is_packed_comes_out_again(tmp_path_factory: pytest.TempPathFactory, files: dict[str, tuple[bytes, bool]]) -> None:  # fmt: skip
    base = tmp_path_factory.mktemp("trip")
    (base / "in").mkdir()
    for path, (content, executable) in files.items():
        target = base / "in" / path
        with suppress(OSError):  # a file where another one has a folder
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(0o700 if executable else 0o600)
    expected = {
        path: (content, 0o755 if mode & 0o100 else 0o644) for path, (content, mode) in tree(base / "in").items()
    }
    try:
        packed = pack(base / "in", base / "file")
    except ArchiveRefused as clash:
        assert clash.reason is Reason.DUPLICATE
        return
    assert unpack(base / "file", base / "out") == inspect(base / "file") == packed
    assert tree(base / "out") == expected
    assert packed.unpacked == sum(len(content) for content, _ in expected.values())
    assert [each.path for each in packed.files] == sorted(expected)
    assert (packed.size, packed.sha256) == (
        (base / "file").stat().st_size,
        hashlib.sha256((base / "file").read_bytes()).hexdigest(),
    )
    with tarfile.open(base / "file") as archive:  # others read the same
        assert {each.name: archive.extractfile(each).read() for each in archive} == {
            path: content for path, (content, _) in expected.items()
        }


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name, order in (("one", ["b", "a/ü", "a/c"]), ("two", ["a/c", "a/ü", "b"])):
        for path in order:
            target = tmp_path / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path)
            os.utime(target, (1, len(made)))
        pack(tmp_path / name, tmp_path / f"{name}.tar.gz")
        made.append((tmp_path / f"{name}.tar.gz").read_bytes())
    assert made[0] == made[1]


def test_the_bytes_are_the_same_for_ever() -> None:
    digest = hashlib.sha256(header_of("a.txt", 5, False) + header_of("Übung/" + "x" * 200, 0, True)).hexdigest()
    assert digest == "4bfcb862b95724661b8fdd7d05ae2bb661c2994146c121a35416eff48c0cf8d5"


def test_an_empty_folder(folder: Path, file: Path) -> None:
    assert pack(folder, file).files == ()
    unpack(file, file.parent / "out")
    assert tree(file.parent / "out") == {}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_are_ours_whatever_the_umask(folder: Path, file: Path, umask: int) -> None:
    (folder / "a").mkdir(mode=0o700)
    (folder / "a" / "run.sh").write_text("")
    (folder / "a" / "run.sh").chmod(0o4777)
    (folder / "b").write_text("")
    (folder / "b").chmod(0o600)
    pack(folder, file)
    before = os.umask(umask)
    try:
        unpack(file, file.parent / "out")
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE((file.parent / "out" / path).stat().st_mode) for path in (".", "a", "a/run.sh", "b")}
    assert modes == {".": 0o755, "a": 0o755, "a/run.sh": 0o755, "b": 0o644}


def test_patterns_leave_out_by_name_and_by_path(folder: Path, file: Path) -> None:
    for path in ("a.pyc", "sub/b.pyc", "sub/c.py", "__pycache__/x", "sub/__pycache__/x", "data/x", "sub/data/x"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("")
    (folder / "__pycache__" / "CON").write_text("")  # nobody minds what stays out
    found = pack(folder, file, exclude=("*.pyc", "__pycache__", "sub/data"))
    assert [each.path for each in found.files] == ["data/x", "sub/c.py"]
    assert found.left_out == ()


def test_links_inside_become_files_and_others_are_left_out_and_told(folder: Path, file: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (folder / "sub").mkdir()
    (folder / "real").write_text("real")
    (folder / "sub" / "link").symlink_to("../real")
    (folder / "absolute").symlink_to(folder / "real")
    (folder / "twice").symlink_to("sub/link")
    (folder / "out").symlink_to("../secret")
    (folder / "root").symlink_to("/etc/passwd")
    (folder / "broken").symlink_to("nowhere")
    (folder / "circle").symlink_to("circle")
    (folder / "folder").symlink_to("sub")
    (folder / "parent").symlink_to("..")
    (folder / "around").symlink_to("../folder/real")
    os.mkfifo(folder / "pipe")
    found = pack(folder, file)
    assert {each.path for each in found.files} == {"real", "sub/link", "absolute", "twice", "around"}
    assert found.left_out == ("broken", "circle", "folder", "out", "parent", "pipe", "root")
    unpack(file, tmp_path / "new")
    assert set(tree(tmp_path / "new").values()) == {(b"real", 0o644)}


def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(folder: Path, file: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_text("secret")
    (folder / "sub").mkdir()
    (folder / "sub" / "a").write_text("mine")
    (folder / "0").write_text("")
    swapped = []

    class Swapping(list[str]):  # asked for each entry, at a moment when the folder's own was listed already
        def __iter__(self) -> Iterator[str]:
            if not swapped and (folder / "sub").exists():
                (folder / "sub").rename(folder / "was")
                (folder / "sub").symlink_to(tmp_path / "elsewhere")
                swapped.append(True)
            return iter(())

    try:
        pack(folder, file, exclude=Swapping())
    except ArchiveRefused as told:
        assert told.reason is Reason.UNREADABLE
    assert swapped
    assert not file.exists() or b"secret" not in gzip.decompress(file.read_bytes())


def test_a_file_that_grows_meanwhile_is_told(folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "log").write_bytes(b"x")
    real = os.fstat

    def earlier(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        with (folder / "log").open("ab") as log:
            log.write(b"x")
        return found

    monkeypatch.setattr("kirzl_lab.store.archives.os.fstat", earlier)
    with pytest.raises(ArchiveRefused) as told:
        pack(folder, file)
    assert (told.value.reason, told.value.name) == (Reason.CHANGED, "log")
    assert not file.exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("CON", Reason.RESERVED), ("a\nb", Reason.CONTROL), (os.fsdecode(b"\xff"), Reason.NOT_TEXT)],
)
def test_a_folder_is_not_packed_with_what_would_be_refused(folder: Path, file: Path, name: str, reason: Reason) -> None:
    file.write_text("before")
    (folder / name).write_text("")
    with pytest.raises(ArchiveRefused) as told:
        pack(folder, file)
    assert told.value.reason is reason
    assert file.read_text() == "before"
    assert sorted(each.name for each in file.parent.iterdir()) == ["archive.tar.gz", "folder"]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(unpacked=9), Reason.TOO_BIG),
        (Limits(packed=100), Reason.PACKED_TOO_BIG),
        (Limits(files=2), Reason.TOO_MANY),
        (Limits(depth=1), Reason.TOO_DEEP),
        (Limits(path=2), Reason.TOO_LONG),
    ],
)
def test_limits_hold_for_both_sides(folder: Path, file: Path, limits: Limits, reason: Reason) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "b").write_bytes(random.Random(1).randbytes(5))
    (folder / "c").write_bytes(random.Random(2).randbytes(5))
    pack(folder, file, limits=Limits(packed=1000, unpacked=10, files=3, depth=2, path=3))
    with pytest.raises(ArchiveRefused) as told:
        pack(folder, file, limits=limits)
    assert told.value.reason is reason
    assert refused(file, file.read_bytes(), limits).reason is reason


def test_an_archive_is_not_in_its_own_folder(folder: Path) -> None:
    with pytest.raises(ValueError, match="own folder"):
        pack(folder, folder / "archive.tar.gz")


def test_what_is_there_stays(file: Path, tmp_path: Path) -> None:
    file.write_bytes(GOOD)
    (tmp_path / "link").symlink_to("nowhere")
    for there in (file, tmp_path / "link"):
        with pytest.raises(FileExistsError):
            unpack(file, there)


# -- what is refused ----------------------------------------------------------------------------------------------


def test_the_good_one_is_let_in(file: Path) -> None:
    file.write_bytes(GOOD)
    assert unpack(file, file.parent / "out").files == (File("a.txt", 5, False),)
    assert tree(file.parent / "out") == {"a.txt": (b"hello", 0o644)}


def test_tarfile_as_it_comes_is_let_in(file: Path) -> None:
    with tarfile.open(file, "w:gz") as archive:
        member = tarfile.TarInfo("Übung.ipynb")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"hello"))
    assert inspect(file).files == (File("Übung.ipynb", 5, False),)


@pytest.mark.parametrize(("content", "reason"), ARCHIVES.values(), ids=ARCHIVES)
def test_archives_that_are_refused(file: Path, content: bytes, reason: Reason) -> None:
    assert refused(file, content).reason is reason


@pytest.mark.parametrize(("name", "reason"), NAMES.items(), ids=[repr(name)[:40] for name in NAMES])
def test_names_that_are_refused(file: Path, name: str, reason: Reason) -> None:
    told = refused(file, named(name))
    assert told.reason is reason
    assert told.name.isprintable()
    assert str(told) == SENTENCES[reason] % told.fields


@pytest.mark.parametrize("name", FINE_NAMES, ids=[repr(name)[:40] for name in FINE_NAMES])
def test_names_that_are_fine(file: Path, name: str) -> None:
    file.write_bytes(named(name))
    unpack(file, file.parent / "out")
    assert tree(file.parent / "out") == {name: (b"", 0o644)}


@pytest.mark.parametrize("names", CLASHES, ids=map("|".join, CLASHES))
def test_files_that_are_one_elsewhere(file: Path, names: tuple[str, ...]) -> None:
    told = refused(file, both(*names))
    assert (told.reason, told.name) == (Reason.DUPLICATE, names[-1])


def test_a_long_name_is_told_shortly(file: Path) -> None:
    assert len(str(refused(file, named("/".join(["a" * 200] * 30))))) < 300
