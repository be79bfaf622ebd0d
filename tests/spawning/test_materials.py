"""The copy equals the source after every update, whatever either looked like before."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kirzl_lab.spawning import materials
from tests.spawning.samples import tree
from tests.support.waiting import wait_until

NAMES = st.sampled_from(["a", "b", "c.ipynb", "ä ö", ".hidden"])
TREES = st.recursive(st.binary(max_size=8), lambda inner: st.dictionaries(NAMES, inner, max_size=4), max_leaves=12)
FOLDERS = st.dictionaries(NAMES, TREES, max_size=4)


def write(folder: Path, content: dict[str, object]) -> None:
    folder.mkdir(exist_ok=True)
    for name, inner in content.items():
        if isinstance(inner, bytes):
            (folder / name).write_bytes(inner)
        else:
            assert isinstance(inner, dict)
            write(folder / name, inner)


@settings(max_examples=50)  # each writes three folders
@given(before=FOLDERS, after=FOLDERS)
def test_the_copy_becomes_the_source(before: dict[str, object], after: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second, copy = Path(folder, "first"), Path(folder, "second"), Path(folder, "copy", "materials")
        write(first, before)
        write(second, after)
        materials.update(first, copy)
        assert tree(copy) == tree(first)
        materials.update(second, copy)
        assert tree(copy) == tree(second)
        materials._remove(copy)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    write(source, {"01.ipynb": b"one", "data": {"points.csv": b"1,2"}, ".ipynb_checkpoints": {"x": b"old"}})
    return source


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "spaces" / "ml-101" / "materials"


def test_a_change_of_the_same_size_and_time_is_seen(source: Path, copy: Path) -> None:
    materials.update(source, copy)
    times = (source / "01.ipynb").stat()
    (source / "01.ipynb").write_bytes(b"two")
    os.utime(source / "01.ipynb", ns=(times.st_atime_ns, times.st_mtime_ns))
    materials.update(source, copy)
    assert (copy / "01.ipynb").read_bytes() == b"two"


def test_checkpoints_stay_out(source: Path, copy: Path) -> None:
    materials.update(source, copy)
    assert set(tree(copy)) == {"01.ipynb", "data", "data/points.csv"}


def test_the_copy_is_for_reading_only(source: Path, copy: Path) -> None:
    materials.update(source, copy)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (copy, copy / "data")} == {0o555}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (copy / "01.ipynb", copy / "data/points.csv")} == {0o444}


def test_an_unchanged_file_is_left_as_it_is(source: Path, copy: Path) -> None:
    materials.update(source, copy)
    before = (copy / "01.ipynb").stat().st_ino
    materials.update(source, copy)
    assert (copy / "01.ipynb").stat().st_ino == before


def test_links_that_lead_out_links_to_folders_and_pipes_are_left_out(tmp_path: Path, source: Path, copy: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (source / "out").symlink_to(tmp_path / "secret")
    (source / "up").symlink_to("../secret")
    (source / "loop").symlink_to(".")
    (source / "nowhere").symlink_to("missing")
    (source / "in").symlink_to("data/points.csv")
    os.mkfifo(source / "pipe")
    materials.update(source, copy)
    assert set(tree(copy)) == {"01.ipynb", "data", "data/points.csv", "in"}
    assert (copy / "in").read_bytes() == b"1,2"
    assert not (copy / "in").is_symlink()


def test_a_link_in_the_copy_is_replaced_and_never_written_through(tmp_path: Path, source: Path, copy: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    copy.mkdir(parents=True)
    (copy / "01.ipynb").symlink_to(tmp_path / "precious")
    (copy / "data").symlink_to(tmp_path)
    materials.update(source, copy)
    assert tree(copy) == {"01.ipynb": b"one", "data": None, "data/points.csv": b"1,2"}
    assert (tmp_path / "precious").read_text() == "precious"


def test_readers_see_the_old_or_the_new_file_and_never_a_part(source: Path, copy: Path) -> None:
    size = 1 << 20
    (source / "01.ipynb").write_bytes(b"a" * size)
    materials.update(source, copy)
    seen: set[bytes] = set()
    done = Event()

    def read() -> None:
        while not done.is_set():
            content = (copy / "01.ipynb").read_bytes()
            seen.add(content[:1] + content[-1:] if len(content) == size else b"part")

    reader = Thread(target=read)
    reader.start()
    try:
        for letter in b"bcdefgh":
            (source / "01.ipynb").write_bytes(bytes([letter]) * size)
            materials.update(source, copy)
    finally:
        done.set()
        reader.join()
    assert seen <= {bytes([letter]) * 2 for letter in b"abcdefgh"}


def test_many_updates_at_once_leave_one_whole_copy(source: Path, copy: Path) -> None:
    for number in range(40):
        (source / f"{number}.txt").write_text(str(number) * 1000)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: materials.update(source, copy), range(16)))
    assert set(tree(copy)) == set(tree(source)) - {".ipynb_checkpoints", ".ipynb_checkpoints/x"}


def test_an_update_that_was_killed_is_finished_by_the_next(source: Path, copy: Path) -> None:
    for number in range(3000):
        (source / f"{number}.txt").write_bytes(b"x" * 4096)
    code = f"from pathlib import Path; from kirzl_lab.spawning import materials; materials.update(Path({str(source)!r}), Path({str(copy)!r}))"
    updating = subprocess.Popen([sys.executable, "-c", code])
    wait_until(lambda: copy.is_dir() and sum(1 for _ in copy.iterdir()) > 100, "a half-made copy")
    updating.send_signal(signal.SIGKILL)
    assert updating.wait() == -signal.SIGKILL
    (copy / materials.PART).unlink(missing_ok=True)
    (copy / materials.PART).write_text("half")
    materials.update(source, copy)
    assert set(tree(copy)) == set(tree(source)) - {".ipynb_checkpoints", ".ipynb_checkpoints/x"}


def test_staff_see_the_folder_itself_and_students_the_copy(tmp_path: Path, source: Path, copy: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    assert materials.lay_out(home, source, None)
    assert (home / "materials").readlink() == source
    assert not copy.exists()
    assert materials.lay_out(home, source, copy)
    assert (home / "materials").readlink() == copy
    assert (home / "materials" / "01.ipynb").read_bytes() == b"one"
    assert materials.lay_out(home, None, copy)
    assert not any(home.iterdir())


def test_what_a_person_calls_materials_is_never_touched(tmp_path: Path, source: Path, copy: Path) -> None:
    (tmp_path / "materials").mkdir()
    (tmp_path / "materials" / "mine").write_text("mine")
    assert not materials.lay_out(tmp_path, source, copy)
    assert materials.lay_out(tmp_path, None, copy)
    assert (tmp_path / "materials" / "mine").read_text() == "mine"


def test_nobody_writes_into_a_sealed_copy_not_even_root(source: Path, copy: Path) -> None:
    materials.update(source, copy)
    words = materials.sealed(copy)
    assert words or os.geteuid() != 0, "root needs the mount"
    write_there = f"echo lost > {copy}/work.ipynb || echo changed > {copy}/01.ipynb"
    assert subprocess.run([*words, "sh", "-c", write_there], capture_output=True, check=False).returncode != 0
    assert subprocess.check_output([*words, "cat", copy / "01.ipynb"]) == b"one"
    assert set(tree(copy)) == {"01.ipynb", "data", "data/points.csv"}
    # Outside, the hub still brings it up to date.
    (source / "01.ipynb").write_bytes(b"new")
    materials.update(source, copy)
    assert (copy / "01.ipynb").read_bytes() == b"new"
