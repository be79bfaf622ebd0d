"""What `kirzl-lab catalog check [PATH...]` asks: the mistakes in the files that were named, or in all of them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kirzl_lab.catalog.loader import check_site, course_folders, read_course, read_hub_config, read_site
from kirzl_lab.catalog.mistakes import Mistake, in_order, one_of_or_meant, shown

LAB_FILES = ("lab.yaml", "sizes.yaml", "institutions.yaml")
COURSE_FILES = ("course.yaml", "roster.csv")
CHECKABLE = "a hub_config folder, a courses folder, a course's folder, or one of their files"


@dataclass
class _Plan:
    """What was named."""

    named: list[Path] = field(default_factory=list)
    """Files and folders whose mistakes are asked for."""
    hub_configs: list[Path] = field(default_factory=list)
    courses: list[Path] = field(default_factory=list)
    """Course folders to read."""
    mistakes: list[Mistake] = field(default_factory=list)
    """Those of the names themselves."""


def check(paths: Sequence[Path], hub_config: Path, courses: Path) -> tuple[Mistake, ...]:
    """Every mistake in `paths` by file and line; without paths, in `hub_config` and `courses` as a whole.

    A path is a hub_config folder, a courses folder, a course's folder, one of their files, or a folder that holds
    `hub_config` and `courses`. Courses are checked against the first hub_config that is named, else against
    `hub_config`; where that cannot be read, its mistakes are told as well, since nothing was checked against it.
    Raises nothing.
    """
    if not paths:
        return read_site(hub_config, courses).all_mistakes()
    plan = _Plan()
    for path in paths:
        # Absolute, so that "." has a name; no link followed, so that people find again what they typed.
        _look_at(plan, Path(os.path.abspath(path)), hub_config, courses)  # noqa: PTH100
    found = list(plan.mistakes)
    first, *others = plan.hub_configs or [hub_config]
    for folder in others:
        found += _mistakes(plan, folder, [])
    found += _mistakes(plan, first, plan.courses) if plan.hub_configs or plan.courses else []
    return in_order(found)


def _mistakes(plan: _Plan, hub_config: Path, courses: Sequence[Path]) -> list[Mistake]:
    site = read_hub_config(hub_config)
    site.courses = [read_course(folder, folder.parent) for folder in courses]
    check_site(site)
    broken = {read.file.path for read in (site.sizes, site.institutions) if not read.file.readable}
    return [
        mistake
        for mistake in site.all_mistakes()
        if mistake.file in broken or any(mistake.file.is_relative_to(named) for named in plan.named)
    ]


def _look_at(plan: _Plan, path: Path, hub_config: Path, courses: Path) -> None:
    try:
        if path.is_dir():
            _look_at_folder(plan, path, hub_config, courses)
        elif path.name in LAB_FILES:
            _add(plan.hub_configs, path.parent)
            plan.named.append(path)
        elif path.name in COURSE_FILES:
            _add(plan.courses, path.parent)
            plan.named.append(path)
        elif path.exists():
            wanted = one_of_or_meant(path.name, (*LAB_FILES, *COURSE_FILES))
            plan.mistakes.append(Mistake(path, 0, None, f"a file called {shown(path.name)}", wanted))
        else:
            plan.mistakes.append(Mistake(path, 0, None, "nothing", CHECKABLE))
    except (OSError, ValueError):
        plan.mistakes.append(Mistake(path, 0, None, "a path that cannot be read", CHECKABLE))


def _look_at_folder(plan: _Plan, path: Path, hub_config: Path, courses: Path) -> None:
    plan.named.append(path)
    if _same(path, hub_config) or _has(path, LAB_FILES):
        _add(plan.hub_configs, path)
    elif _same(path.parent, courses) or _has(path, COURSE_FILES):
        _add(plan.courses, path)
    elif (path / "hub_config").is_dir() or (path / "courses").is_dir():
        _add(plan.hub_configs, path / "hub_config")
        _look_at_courses(plan, path / "courses")
    elif _same(path, courses) or any(_has(folder, COURSE_FILES) for folder in path.iterdir()):
        _look_at_courses(plan, path)
    else:
        plan.mistakes.append(Mistake(path, 0, None, "a folder with none of these files", CHECKABLE))


def _look_at_courses(plan: _Plan, path: Path) -> None:
    folders, mistakes = course_folders(path)
    plan.mistakes += mistakes
    for folder in folders:
        _add(plan.courses, folder)


def _add(paths: list[Path], path: Path) -> None:
    if path not in paths:
        paths.append(path)


def _has(folder: Path, names: Sequence[str]) -> bool:
    return any((folder / name).exists() for name in names)


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)
