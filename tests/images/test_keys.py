"""The key of an image changes with anything that goes into it, and with nothing else."""

import shutil
from pathlib import Path

import pytest

from images.about import about, version
from images.build import stage
from images.keys import key_of
from images.plan import BY_NAME, REPOSITORY, Choices

HUB = BY_NAME["hub"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of what keys are made from."""
    copy = tmp_path / "repository"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("images", "requirements", "hub_config", "tools/demo_institutions"):
        shutil.copytree(REPOSITORY / name, copy / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "package.json", "package-lock.json"):
        shutil.copy(REPOSITORY / name, copy / name)
    for name in ("courses", "grading", "spawning", "store"):
        shutil.copytree(REPOSITORY / "kirzl_lab" / name, copy / "kirzl_lab" / name, ignore=ignored)
    for name in ("__init__.py", "logs.py", "settings.py"):
        shutil.copy(REPOSITORY / "kirzl_lab" / name, copy / "kirzl_lab" / name)
    return copy


def keys(repository: Path, choices: Choices | None = None) -> dict[str, str]:
    return {name: key_of(image, choices or Choices(), repository) for name, image in BY_NAME.items()}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_same_inputs_same_key_wherever_they_are(repository: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(repository, elsewhere)
    assert keys(repository) == keys(elsewhere)
    assert len(set(keys(repository).values())) == len(BY_NAME)


def test_times_caches_and_other_files_do_not_count(repository: Path) -> None:
    before = keys(repository)
    (repository / "kirzl_lab" / "__init__.py").touch()
    (repository / "kirzl_lab" / "__pycache__").mkdir()
    (repository / "kirzl_lab" / "__pycache__" / "x.pyc").write_bytes(b"x")
    (repository / "requirements" / "dev.txt").write_text("")
    assert keys(repository) == before


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("kirzl_lab/settings.py", {"hub"}),
        ("kirzl_lab/spawning/laptop.py", {"hub"}),
        ("kirzl_lab/spawning/idle.py", {"hub", "notebook", "notebook-gpu", "grader"}),
        ("images/requirements/notebook.txt", {"notebook", "notebook-gpu", "grader"}),
        ("images/requirements/notebook-cuda.txt", {"notebook-gpu"}),
        ("package-lock.json", {"proxy", "demo-institutions"}),
        ("images/base/Containerfile", set(BY_NAME)),
        ("images/debian.py", set(BY_NAME)),
    ],
)
def test_a_change_reaches_the_images_it_goes_into(repository: Path, file: str, expected: set[str]) -> None:
    before = keys(repository)
    with (repository / file).open("a") as text:
        text.write("# changed\n")
    assert changed(before, keys(repository)) == expected


def test_a_new_file_in_a_copied_folder_counts(repository: Path) -> None:
    before = keys(repository)
    (repository / "hub_config" / "more.yaml").write_text("")
    assert changed(before, keys(repository)) == {"hub"}


def test_being_executable_counts(repository: Path) -> None:
    before = keys(repository)
    (repository / "images" / "hub" / "process").chmod(0o644)
    assert changed(before, keys(repository)) == {"hub"}


def in_pyproject(repository: Path, old: str, new: str) -> None:
    file = repository / "pyproject.toml"
    assert old in file.read_text("utf-8")
    file.write_text(file.read_text("utf-8").replace(old, new, 1), "utf-8")


def test_labels_count_since_an_archive_is_taken_by_its_key(repository: Path) -> None:
    before = keys(repository)
    in_pyproject(repository, f'version = "{version()}"', 'version = "9.9.9"')
    after = keys(repository)
    assert changed(before, after) == set(BY_NAME)
    assert about(repository)["org.opencontainers.image.version"] == version(repository) == "9.9.9"
    in_pyproject(repository, "[project]", '[project]\nurls = { Source = "https://lab.example/source" }')
    assert changed(after, keys(repository)) == set(BY_NAME)
    assert about(repository)["org.opencontainers.image.source"] == "https://lab.example/source"


def test_what_else_is_in_pyproject_concerns_only_who_has_it(repository: Path) -> None:
    before = keys(repository)
    in_pyproject(repository, "[project]", "# changed\n[project]")
    assert changed(before, keys(repository)) == {"hub"}


def test_choices_count(repository: Path) -> None:
    before = keys(repository)
    assert changed(before, keys(repository, Choices(base="your.registry/debian:12"))) == set(BY_NAME)
    assert changed(before, keys(repository, Choices(arguments={"JAX": "cuda"}))) == {"notebook-gpu"}


def test_a_missing_file_is_named(repository: Path) -> None:
    (repository / "LICENSE").unlink()
    with pytest.raises(FileNotFoundError, match="LICENSE"):
        key_of(HUB, Choices(), repository)


def test_staged_is_what_the_key_was_made_from(repository: Path, tmp_path: Path) -> None:
    stage(HUB, repository, tmp_path / "context")
    staged = {
        path.relative_to(tmp_path / "context").as_posix()
        for path in (tmp_path / "context").rglob("*")
        if path.is_file()
    }
    assert "Containerfile" in staged
    assert "kirzl_lab/__init__.py" in staged
    assert not any("__pycache__" in name or name.startswith("images/base") for name in staged)
    assert (tmp_path / "context/images/hub/process").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "context/LICENSE").stat().st_mode & 0o777 == 0o644
