"""Reads the catalogue: `hub_config/*.yaml` and one folder a course.

Guarantees: `load` returns a catalogue that is consistent as a whole, or raises `CatalogueMistakes` with every
mistake of every file. Nothing else is raised, whatever the files hold.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from kirzl_lab.catalog.consistency import (
    check_course,
    check_course_creators,
    check_default_size,
    check_institutions,
    check_operators,
    check_roster,
    check_sizes,
    institutions_of,
    sizes_of,
)
from kirzl_lab.catalog.mistakes import CatalogueMistakes, Mistake, in_order, meant, shown
from kirzl_lab.catalog.models import (
    Catalogue,
    Course,
    CourseFile,
    InstitutionsFile,
    LabFile,
    SizesFile,
    is_space_name,
)
from kirzl_lab.catalog.roster_file import RosterFile, read_roster
from kirzl_lab.catalog.text_file import escapes, why
from kirzl_lab.catalog.validate import validate
from kirzl_lab.catalog.values import ASSIGNMENT_NAME, MEANING, SPACE_NAME, is_assignment_name
from kirzl_lab.catalog.yaml_file import YamlFile, read_yaml

__all__ = ["CatalogueMistakes", "Mistake", "load", "read_site"]

M = TypeVar("M", bound=BaseModel)


@dataclass
class Read(Generic[M]):
    """A YAML file and what it says, if that is well said."""

    file: YamlFile
    model: M | None


@dataclass
class CourseFolder:
    """A course's folder, read."""

    path: Path
    file: Read[CourseFile]
    roster: RosterFile
    mistakes: list[Mistake]
    """Those of the folder itself."""
    materials: bool = False
    assignments: tuple[str, ...] = ()


@dataclass
class Site:
    """Everything that a site wrote, read and checked."""

    lab: Read[LabFile]
    sizes: Read[SizesFile]
    institutions: Read[InstitutionsFile]
    courses: list[CourseFolder] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    """Those of the courses folder itself."""

    def all_mistakes(self) -> tuple[Mistake, ...]:
        """Every mistake, by file and line."""
        found = list(self.mistakes)
        for read in (self.lab, self.sizes, self.institutions):
            found += read.file.mistakes
        for course in self.courses:
            found += [*course.mistakes, *course.file.file.mistakes, *course.roster.mistakes]
        return in_order(found)


def load(hub_config: Path, courses: Path) -> Catalogue:
    """The catalogue in the folders `hub_config` and `courses`. Raises `CatalogueMistakes` with all that is wrong."""
    site = read_site(hub_config, courses)
    mistakes = site.all_mistakes()
    lab, sizes, institutions = site.lab.model, site.sizes.model, site.institutions.model
    if mistakes or lab is None or sizes is None or institutions is None:
        raise CatalogueMistakes(mistakes)
    return Catalogue(
        lab=lab,
        sizes=dict(sizes.sizes),
        flavours=dict(sizes.flavours),
        institutions=dict(institutions.institutions),
        courses={
            folder.path.name: Course(
                name=folder.path.name,
                file=folder.file.model,
                roster=tuple(folder.roster.rows),
                materials=folder.materials,
                assignments=folder.assignments,
            )
            for folder in site.courses
            if folder.file.model is not None
        },
    )


def read_site(hub_config: Path, courses: Path) -> Site:
    """Both folders, read and checked against each other."""
    site = read_hub_config(hub_config)
    folders, site.mistakes = course_folders(courses)
    site.courses = [read_course(folder, courses) for folder in folders]
    check_site(site)
    return site


def read_hub_config(folder: Path) -> Site:
    """The three files of `folder`, read but not checked against each other; no courses yet."""
    return Site(
        lab=_yaml(folder, "lab.yaml", LabFile),
        sizes=_yaml(folder, "sizes.yaml", SizesFile),
        institutions=_yaml(folder, "institutions.yaml", InstitutionsFile),
    )


def check_site(site: Site) -> None:
    """Add to the files' mistakes what does not fit together."""
    check_sizes(site.sizes.file)
    check_institutions(site.institutions.file)
    sizes, institutions = sizes_of(site.sizes.file), institutions_of(site.institutions.file)
    if institutions is not None:
        check_operators(site.lab.file, institutions)
        check_course_creators(site.lab.file, institutions)
    for course in site.courses:
        check_default_size(course.file.file)
        if sizes is not None:
            check_course(course.file.file, sizes)
        if institutions is not None:
            check_roster(course.roster, institutions)


def _yaml(folder: Path, name: str, model: type[M]) -> Read[M]:
    file = read_yaml(folder / name, folder, name)
    if not file.readable and not file.path.exists() and (other := _near(folder, name)):
        file.mistakes[:] = [Mistake(file.path, 0, None, f"no such file, but {shown(other)}", name)]
    return Read(file, validate(file, model))


def _near(folder: Path, name: str) -> str | None:
    """A file in `folder` whose name was probably meant to be `name`."""
    try:
        return meant(name, sorted(entry.name for entry in folder.iterdir() if entry.is_file()))
    except (OSError, ValueError):
        return None


def course_folders(courses: Path) -> tuple[list[Path], list[Mistake]]:
    """The folders in `courses`, hidden ones left out, and what is wrong with `courses` itself."""
    try:
        entries = sorted(entry for entry in courses.iterdir() if not entry.name.startswith("."))
        return [entry for entry in entries if entry.is_dir()], []
    except (OSError, ValueError) as error:
        found = "no such folder" if isinstance(error, FileNotFoundError) else f"no folder to read ({why(error)})"
        return [], [Mistake(courses, 0, None, found, "a folder with one folder a course")]


def read_course(folder: Path, courses: Path) -> CourseFolder:
    """The course in `folder`, which must lie inside `courses`; not checked against `hub_config` yet."""
    mistakes = []
    if not is_space_name(folder.name):
        mistakes.append(Mistake(folder, 0, None, f"a course folder called “{shown(folder.name)}”", MEANING[SPACE_NAME]))
    if escapes(folder, courses):
        mistakes.append(Mistake(folder, 0, None, "a link that leads out of the courses folder", "a folder inside it"))
        path = folder / "course.yaml"
        return CourseFolder(
            folder, Read(YamlFile(path, None, [], readable=False), None), RosterFile(folder / "roster.csv"), mistakes
        )
    materials = _has_folder(folder / "materials", mistakes)
    assignments = _assignments(folder / "source", mistakes) if _has_folder(folder / "source", mistakes) else ()
    roster = read_roster(folder / "roster.csv", folder)
    if not roster.readable and not roster.path.exists() and (other := _near(folder, "roster.csv")):
        roster.mistakes[:] = [Mistake(roster.path, 0, None, f"no such file, but {shown(other)}", "roster.csv")]
    return CourseFolder(folder, _yaml(folder, "course.yaml", CourseFile), roster, mistakes, materials, assignments)


def _has_folder(path: Path, mistakes: list[Mistake]) -> bool:
    """Whether a course has this folder in its own; adds to `mistakes` when something else has its name."""
    there = path.is_dir()
    if (there or path.is_symlink()) and escapes(path, path.parent):
        mistakes.append(Mistake(path, 0, None, "a link that leads out of the course", "a folder inside it"))
        return False
    if path.exists() and not there:
        mistakes.append(Mistake(path, 0, None, "a file", "a folder"))
    return there


def _assignments(source: Path, mistakes: list[Mistake]) -> tuple[str, ...]:
    """The names of the folders in `source`, hidden ones left out: each is an assignment."""
    try:
        names = sorted(entry.name for entry in source.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        mistakes.append(
            Mistake(source, 0, None, f"no folder to read ({why(error)})", "a folder with one folder an assignment")
        )
        return ()
    for name in names:
        if not is_assignment_name(name):
            found = f"an assignment folder called “{shown(name)}”"
            mistakes.append(Mistake(source / name, 0, None, found, MEANING[ASSIGNMENT_NAME]))
    return tuple(names)
