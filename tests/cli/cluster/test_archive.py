"""A backup on disk: for the owner alone, whole or not there, and refused when a byte of it is not what it was."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kirzl_lab.cli.cluster.archive import MANIFEST, Backup, Manifest, writing
from kirzl_lab.cli.exits import Exit, Stop

ABOUT = Manifest("2026-11-24T05:00:00+00:00", "0.1.0", "0001", "https://lab.uni.example")
PARTS = {
    "hub.sqlite": b"SQLite format 3\0" * 100,
    "lab.sql": b"CREATE TABLE;\n" * 7,
    "secrets.json": b"{}",
    "empty": b"",
}


def make(path: Path, parts: dict[str, bytes] = PARTS) -> Manifest:
    with writing(path) as writer:
        for name, content in parts.items():
            with writer.part(name) as sink:
                for begin in range(0, len(content), 100):
                    sink.write(content[begin : begin + 100])
        return writer.finish(ABOUT)


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    make(tmp_path / "lab.tar")
    return tmp_path / "lab.tar"


def refused(path: Path) -> str:
    with pytest.raises(Stop) as stop:
        Backup(path)
    assert stop.value.code == Exit.NO
    return stop.value.sentence


def test_what_lies_where_a_backup_is_begun_is_not_written_into(tmp_path: Path) -> None:
    partial, elsewhere = tmp_path / ".lab.tar.partial", tmp_path / "elsewhere"
    partial.write_bytes(b"of a backup that was cut off")
    partial.chmod(0o644)
    with partial.open("rb") as reader:
        make(tmp_path / "lab.tar")
        assert reader.read() == b"of a backup that was cut off", "who has it open reads none of the new one"
    assert (tmp_path / "lab.tar").stat().st_mode & 0o777 == 0o600
    (tmp_path / ".third.tar.partial").symlink_to(elsewhere)
    make(tmp_path / "third.tar")
    assert not elsewhere.exists()
    assert not (tmp_path / "third.tar").is_symlink()


def test_what_was_written_is_read(backup: Path) -> None:
    found = Backup(backup)
    assert {name: b"".join(found.chunks(name)) for name in PARTS} == PARTS
    assert found.manifest.made == ABOUT.made
    assert [part.name for part in found.manifest.parts] == list(PARTS)
    assert found.size("lab.sql") == len(PARTS["lab.sql"])


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.binary(max_size=2000), max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_parts_come_back(tmp_path: Path, parts: dict[str, bytes]) -> None:
    path = tmp_path / "some.tar"
    path.unlink(missing_ok=True)
    make(path, PARTS | parts)
    found = Backup(path)
    assert {part.name: b"".join(found.chunks(part.name)) for part in found.manifest.parts} == PARTS | parts


@pytest.mark.parametrize("missing", ["hub.sqlite", "lab.sql", "secrets.json"])
def test_a_backup_without_what_a_restore_needs_is_refused(tmp_path: Path, missing: str) -> None:
    make(tmp_path / "less.tar", {name: content for name, content in PARTS.items() if name != missing})
    assert f"it lacks {missing}" in refused(tmp_path / "less.tar")


def test_tar_reads_it_too_and_only_the_owner(backup: Path) -> None:
    with tarfile.open(backup) as archive:
        assert archive.getnames() == [*PARTS, MANIFEST]
        assert all(entry.mode == 0o600 for entry in archive)
    assert backup.stat().st_mode & 0o777 == 0o600


def test_a_backup_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def half() -> None:
        with writing(tmp_path / "lab.tar") as writer, writer.part("hub.sqlite") as sink:
            sink.write(b"half")
            raise Stop(Exit.FELL_OVER, "the connection broke")

    with pytest.raises(Stop):
        half()
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_replaced(backup: Path) -> None:
    before = backup.read_bytes()
    with pytest.raises(Stop, match="replaces none"):
        make(backup)
    assert backup.read_bytes() == before


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_changed_byte_of_a_part_is_noticed(backup: Path, tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(backup.read_bytes())
    with tarfile.open(backup) as archive:
        parts = [entry for entry in archive if entry.size and entry.name != MANIFEST]
    entry = data.draw(st.sampled_from(parts))
    whole[entry.offset_data + data.draw(st.integers(0, entry.size - 1))] ^= data.draw(st.integers(1, 255))
    broken = tmp_path / "broken.tar"
    broken.write_bytes(whole)
    assert f"its part {entry.name} is not what it was" in refused(broken)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_that_was_cut_off_is_refused(backup: Path, tmp_path: Path, data: st.DataObject) -> None:
    whole = backup.read_bytes()
    with tarfile.open(backup) as archive:
        last = archive.getmembers()[-1]
    short = tmp_path / "short.tar"
    short.write_bytes(whole[: data.draw(st.integers(0, last.offset_data + last.size - 1))])
    assert "no whole backup" in refused(short)


def test_a_part_that_the_manifest_does_not_know_is_refused(backup: Path, tmp_path: Path) -> None:
    with tarfile.open(backup) as archive:
        entries = [(entry, archive.extractfile(entry)) for entry in archive]
        kept = [(entry, stream.read() if stream else b"") for entry, stream in entries]
    other = tmp_path / "other.tar"
    with tarfile.open(other, "w") as archive:
        stranger = tarfile.TarInfo("stranger")
        for entry, content in [(stranger, b""), *kept]:
            archive.addfile(entry, io.BytesIO(content))
    assert "not those of its manifest" in refused(other)


def test_another_format_is_told_apart(backup: Path, tmp_path: Path) -> None:
    told = Backup(backup).manifest.as_json() | {"format": 2, "lab": "9.0"}
    later = tmp_path / "later.tar"
    with tarfile.open(later, "w") as archive:
        entry = tarfile.TarInfo(MANIFEST)
        content = json.dumps(told).encode()
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    assert "version 9.0" in refused(later)


def test_what_is_no_tar_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "lab.tar"
    path.write_bytes(os.urandom(4096))
    assert "no tar archive" in refused(path)
