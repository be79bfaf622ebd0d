"""What `kirzl-lab catalog check` asks for: everything, or the files that are named."""

import json
import os
from pathlib import Path

import pytest

from kirzl_lab.catalog.check import check
from kirzl_lab.catalog.mistakes import Mistake
from tests.catalog.conftest import LAB, Site


@pytest.fixture
def broken(site: Site) -> Site:
    """A site with one mistake in each file, and in the folder of a second course."""
    site.change("lab.yaml", "help@uni.example", "nobody")
    site.change("sizes.yaml", "cpus: 1", "cpus: 0")
    site.change("institutions.yaml", "demo: true", "demo: 1")
    site.change("course.yaml", "storage_gib: 5", "storage_gib: 0")
    site.change("roster.csv", "1000001,student", "1000001,pupil")
    (site.courses / "Other").mkdir()
    for name in ("course.yaml", "roster.csv"):
        (site.courses / "Other" / name).write_bytes(site.path(name).read_bytes())
    return site


def names(site: Site, *paths: Path) -> list[str]:
    found = check(paths, site.hub_config, site.courses)
    return [str(mistake.file.relative_to(site.root)) for mistake in found]


HUB = ["hub_config/institutions.yaml", "hub_config/lab.yaml", "hub_config/sizes.yaml"]
ML = ["courses/ml-101/course.yaml", "courses/ml-101/roster.csv"]
OTHER = ["courses/Other", "courses/Other/course.yaml", "courses/Other/roster.csv"]


def test_without_a_path_the_whole_is_checked(broken: Site) -> None:
    assert names(broken) == [*OTHER, *ML, *HUB]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", [*OTHER, *ML, *HUB]),
        ("hub_config", HUB),
        ("hub_config/sizes.yaml", ["hub_config/sizes.yaml"]),
        ("courses", [*OTHER, *ML]),
        ("courses/ml-101", ML),
        ("courses/ml-101/", ML),
        ("courses/../courses/ml-101", ML),
        ("courses/ml-101/course.yaml", [ML[0]]),
        ("courses/ml-101/roster.csv", [ML[1]]),
        ("courses/Other", OTHER),
        ("courses/Other/roster.csv", [OTHER[2]]),
    ],
)
def test_a_path_tells_what_is_in_it(broken: Site, path: str, expected: list[str]) -> None:
    assert names(broken, broken.root / path) == expected


def test_several_paths_are_told_together_and_once(broken: Site) -> None:
    paths = [broken.course, broken.path("lab.yaml"), broken.path("roster.csv"), broken.course]

    assert names(broken, *paths) == [*ML, "hub_config/lab.yaml"]


def test_paths_are_taken_from_the_current_folder(broken: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(broken.course)

    assert names(broken, Path()) == ML
    assert [str(mistake) for mistake in check([Path("course.yaml")], broken.hub_config, broken.courses)] == [
        "course.yaml:10: found 0, expected a whole number from 1 to 10000"
    ]


def test_good_files_have_no_mistakes(site: Site) -> None:
    for path in (site.root, site.hub_config, site.courses, site.course, site.path("roster.csv")):
        assert check([path], site.hub_config, site.courses) == ()


def test_a_course_elsewhere_is_checked_against_the_lab(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    mine = tmp_path_factory.mktemp("mine") / "my-course"
    mine.mkdir()
    (mine / "course.yaml").write_bytes(site.path("course.yaml").read_bytes())
    (mine / "roster.csv").write_text(
        "institution,claim,value,role\nunu,email,a@uni.example,student\n", encoding="utf-8"
    )

    (mistake,) = check([mine], site.hub_config, site.courses)
    assert (mistake.file, mistake.line) == (mine / "roster.csv", 2)


def test_courses_are_checked_against_the_hub_config_that_is_named(
    site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / "config"
    other.mkdir()
    for name in ("lab.yaml", "sizes.yaml", "institutions.yaml"):
        (other / name).write_bytes(site.path(name).read_bytes())
    text = (other / "sizes.yaml").read_text(encoding="utf-8")
    (other / "sizes.yaml").write_text(text.replace("  large:", "  huge:"), encoding="utf-8")

    (mistake,) = check([other, site.course], site.hub_config, site.courses)
    assert mistake.expected == "one of small, huge"


def test_what_could_not_be_checked_against_is_told(site: Site) -> None:
    site.path("institutions.yaml").write_text("institutions: [", encoding="utf-8")

    assert names(site, site.course) == ["hub_config/institutions.yaml"]
    assert names(site, site.path("sizes.yaml")) == ["hub_config/institutions.yaml"]


def test_paths_that_mean_nothing(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    (empty / "course.yml").write_text(LAB, encoding="utf-8")
    os.mkfifo(empty / "pipe")
    paths = [empty, empty / "course.yml", empty / "none", empty / "pipe", Path("a\0b"), Path("x" * 5000)]

    found = check(paths, site.hub_config, site.courses)

    wanted = "a hub_config folder, a courses folder, a course's folder, or one of their files"
    said = {mistake.file.name: (mistake.found, mistake.expected) for mistake in found}
    assert said[empty.name] == ("a folder with none of these files", wanted)
    assert said["course.yml"] == (
        "a file called course.yml",
        "one of lab.yaml, sizes.yaml, institutions.yaml, course.yaml, roster.csv (did you mean course.yaml?)",
    )
    assert said["none"] == ("nothing", wanted)
    assert said["pipe"][0] == "a file called pipe"
    assert len(found) == len(paths)


def test_a_named_file_that_is_not_there(site: Site) -> None:
    site.path("sizes.yaml").rename(site.hub_config / "size.yaml")

    (mistake,) = check([site.path("sizes.yaml")], site.hub_config, site.courses)
    assert str(mistake).endswith("sizes.yaml: found no such file, but size.yaml, expected sizes.yaml")


def test_mistakes_as_json() -> None:
    mistake = Mistake(Path("courses/ml-101/course.yaml"), 7, 3, "“x”", "a text")
    whole = Mistake(Path("courses"), 0, None, "no such folder", "a folder")

    assert json.loads(json.dumps([mistake.as_json(), whole.as_json()])) == [
        {
            "file": "courses/ml-101/course.yaml",
            "line": 7,
            "column": 3,
            "found": "“x”",
            "expected": "a text",
            "message": "courses/ml-101/course.yaml:7: found “x”, expected a text",
        },
        {
            "file": "courses",
            "line": None,
            "column": None,
            "found": "no such folder",
            "expected": "a folder",
            "message": "courses: found no such folder, expected a folder",
        },
    ]
