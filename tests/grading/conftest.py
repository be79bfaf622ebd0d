"""One course for all tests of grading, generated once, and copied for each."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.grading import course
from tests.grading.course import Course


@pytest.fixture(scope="session", autouse=True)
def programs() -> Iterator[None]:
    """nbgrader starts `alembic` by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
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
