"""One course for all tests of grading, generated once, and copied for each."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kirzl_lab.grading.prepare import prepare
from tests.grading import course
from tests.grading.course import LATE, STUDENT, Course


@pytest.fixture(scope="session", autouse=True)
def programs() -> Iterator[None]:
    """nbgrader starts `alembic` by its name. Last on the path: this lasts as long as the process, for other tests, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)]))
        yield


@pytest.fixture(scope="session")
def template(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Course:
    """The generated course."""
    return course.make(tmp_path_factory.mktemp("template") / "course")


@pytest.fixture
def fresh(template: Course, tmp_path: Path) -> Course:
    """A course of its own for a test."""
    return template.copy(tmp_path / "course")


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules every process of a test can import."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


@pytest.fixture(scope="session")
def prepared_template(template: Course, tmp_path_factory: pytest.TempPathFactory) -> tuple[Course, Path]:
    """A course with one submission, late and as it was released, and that submission prepared."""
    root = tmp_path_factory.mktemp("prepared")
    (root / "work").mkdir()
    handed_in = template.copy(root / "course")
    handed_in.hand_in(STUDENT, LATE, {name: handed_in.released(name) for name in ("problem1", "problem2")})
    of = handed_in.to_grade(STUDENT, LATE)
    prepare(of, handed_in.submitted(STUDENT), root / "prepared", root / "work", handed_in.source)
    return handed_in, root / "prepared"


@pytest.fixture
def handed_in(prepared_template: tuple[Course, Path], tmp_path: Path) -> Course:
    """A course for a test, with one submission that was prepared."""
    return prepared_template[0].copy(tmp_path / "course")


@pytest.fixture
def prepared(prepared_template: tuple[Course, Path], tmp_path: Path) -> Path:
    """That submission as it is sent to be run."""
    return Path(shutil.copytree(prepared_template[1], tmp_path / "prepared"))
