"""Courses as an archive: what is in it, that it is the same each time, and that it is not too large."""

import base64
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.cli.cluster.packing import LIMIT, courses_in, pack, unpack
from kirzl_lab.cli.exits import Exit, Stop

COURSES = Path(__file__).parents[3] / "courses"


def test_an_archive_holds_courses_without_materials(tmp_path: Path) -> None:
    archive = pack(COURSES)
    assert courses_in(archive) == ["dl-201", "ml-101"]
    unpack(archive, tmp_path)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {f"{course}/{name}" for course in ("dl-201", "ml-101") for name in ("course.yaml", "roster.csv")}
    assert (tmp_path / "ml-101" / "roster.csv").read_bytes() == (COURSES / "ml-101" / "roster.csv").read_bytes()


def test_the_same_courses_are_the_same_archive(tmp_path: Path) -> None:
    copy = tmp_path / "courses"
    unpack(pack(COURSES), copy.parent)
    assert pack(tmp_path) == pack(COURSES)


def test_what_is_no_course_is_left_out(tmp_path: Path) -> None:
    for name in (".git", "ml-101"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "course.yaml").write_text("title: {}")
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / "ml-101" / "notes.txt").write_text("hello")
    assert courses_in(pack(tmp_path)) == ["ml-101"]


def test_too_large_a_folder_is_refused_with_what_is_large_in_it(tmp_path: Path) -> None:
    (tmp_path / "ml-101").mkdir()
    (tmp_path / "ml-101" / "course.yaml").write_text("title: {}")
    (tmp_path / "ml-101" / "roster.csv").write_bytes(random.Random(1).randbytes(LIMIT + 1000))
    with pytest.raises(Stop) as stop:
        pack(tmp_path)
    assert stop.value.code == Exit.CANNOT
    assert "at most 200 kB" in stop.value.sentence
    assert stop.value.lines[0] == "ml-101/roster.csv: 201 kB"


@given(st.binary(max_size=200))
def test_what_is_no_archive_is_said_to_be_none(junk: bytes) -> None:
    with pytest.raises(Stop, match=r"no tar\.gz"):
        courses_in(base64.b64encode(junk).decode())
