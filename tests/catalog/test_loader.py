"""The catalogue as a whole: the samples, files that are not there, and what must fit together."""

import os
import shutil
from pathlib import Path

import pytest

from kirzl_lab.catalog.loader import load
from kirzl_lab.catalog.mistakes import CatalogueMistakes
from kirzl_lab.catalog.models import Role
from tests.catalog.conftest import REPOSITORY, Site


def test_the_samples_are_a_catalogue() -> None:
    catalogue = load(REPOSITORY / "hub_config", REPOSITORY / "courses")

    assert list(catalogue.institutions) == ["uni", "uas", "startups"]
    assert all(institution.demo for institution in catalogue.institutions.values())
    assert {"ml-101", "dl-201"} <= set(catalogue.courses)
    for course in catalogue.courses.values():
        assert course.file.starts is None and course.file.ends is None, "the samples are always open"
    assert {row.role for row in catalogue.courses["ml-101"].roster} == {Role.INSTRUCTOR, Role.ASSISTANT, Role.STUDENT}
    assert catalogue.courses["dl-201"].file.default_size == "gpu-slice"


def test_a_good_site_says_what_was_written(site: Site) -> None:
    site.course.joinpath("materials").mkdir()
    catalogue = site.load()

    assert list(catalogue.sizes) == ["small", "large"], "the order of the file is the order people see"
    assert catalogue.sizes["large"].gpu == "whole"
    assert catalogue.institutions["uni"].issuer == "https://login.uni.example", "exactly as written"
    course = catalogue.courses["ml-101"]
    assert str(course.file.ends) == "2027-03-31"
    assert course.materials
    assert [row.value for row in course.roster] == ["lecturer@uni.example", "1000001", "founder@firm.example"]


def test_email_addresses_come_in_lower_case_and_other_values_as_they_are(site: Site) -> None:
    site.change("roster.csv", "lecturer@uni.example", "Lecturer@Uni.Example")
    site.change("roster.csv", "1000001", "aB1")

    assert [row.value for row in site.load().courses["ml-101"].roster][:2] == ["lecturer@uni.example", "aB1"]


def test_values_come_in_the_normal_form_in_which_claims_come(site: Site) -> None:
    site.change("roster.csv", "1000001", "Mu\u0308ller")

    assert site.load().courses["ml-101"].roster[1].value == "M\u00fcller"


def test_mistakes_of_all_files_are_told_at_once(site: Site) -> None:
    site.change("lab.yaml", "contact: help@uni.example", "contact: nobody")
    site.change("sizes.yaml", "cpus: 1", "cpus: none")
    site.change("institutions.yaml", "  firm:", "  Firm:")
    site.change("course.yaml", "storage_gib: 5", "storage_gib: 0")
    site.change("roster.csv", "student", "pupil")

    assert [(mistake.file.name, mistake.line) for mistake in site.mistakes()] == [
        ("course.yaml", 10),
        ("roster.csv", 3),
        ("roster.csv", 4),  # firm is Firm now
        ("institutions.yaml", 8),
        ("lab.yaml", 2),
        ("sizes.yaml", 10),
    ]


FIT = [
    # file, what is written, what is written instead, line of the mistake, what it says
    ("course.yaml", "[small, large]", "[small, larg]", 8, "found the size “larg”, expected one of small, large (did you mean large?)"),
    ("course.yaml", "default_size: small", "default_size: smal", 9, "found “smal”, expected one of small, large (did you mean small?), the sizes of this course"),
    ("course.yaml", "[small, large]", "[small, small]", 8, "found “small”, expected each entry once"),
    ("sizes.yaml", "gpu: whole", "gpu: hole", 18, "found “hole”, expected whole"),
    ("institutions.yaml", "    demo: true", "    issuer: https://LOGIN.uni.example/", 12, "found the issuer of uni again, expected an issuer of its own"),
    ("institutions.yaml", "    demo: true", "    demo: false", 12, "found false, expected issuer, the address of the institution's OpenID provider"),
    ("institutions.yaml", "    demo: true\n", "", 8, "found no issuer in institutions.firm, expected issuer, the address of the institution's OpenID provider"),
    ("institutions.yaml", "    demo: true", "    issuer: https://firm.example\n    demo: true", 13, "found true, expected either issuer or demo: a demo institution has no issuer of its own"),
    ("institutions.yaml", "https://login.uni.example", "http://login.uni.example", 4, "found “http://login.uni.example”, expected an address that begins with https:// and has no ? or #, for example https://login.uni.example"),
    ("institutions.yaml", "[firm.example]", "[firm.example]\n    request_scopes: [email]", 12, "found a list, expected openid among them"),
    ("lab.yaml", "institution: uni", "institution: un", 4, "found “un”, expected one of uni, firm (did you mean uni?)"),
    ("lab.yaml", "claim: email", "claim: e_mail", 5, "found “e_mail”, expected one of email, matriculation_number, eduperson_principal_name (did you mean email?), the claims of uni"),
    ("lab.yaml", "operator@uni.example", "operator@firm.example", 6, "found “operator@firm.example”, expected a value in the domains of uni: uni.example, stud.uni.example"),
    ("lab.yaml", "operator@uni.example\n", "operator@uni.example\n  - institution: uni\n    claim: email\n    value: operator@uni.example\n", 7, "found an operator again, expected each once: line 4 has the same"),
    ("lab.yaml", "operator@uni.example\n", "operator@uni.example\ncourse_creators:\n  - institution: un\n    claim: email\n    value: a@uni.example\n", 8, "found “un”, expected one of uni, firm (did you mean uni?)"),
    ("lab.yaml", "operator@uni.example\n", "operator@uni.example\ncourse_creators:\n  - institution: uni\n    claim: eduperson_scoped_affiliation\n    value: faculty@uni.example\n", 9, "found “eduperson_scoped_affiliation”, expected one of email, matriculation_number, eduperson_principal_name, the claims of uni"),
    ("lab.yaml", "operator@uni.example\n", "operator@uni.example\ncourse_creators:\n  - institution: firm\n    claim: email\n    value: a@uni.example\n", 10, "found “a@uni.example”, expected a value in the domains of firm: firm.example"),
    ("lab.yaml", "operator@uni.example\n", "operator@uni.example\ncourse_creators:\n  - institution: uni\n    claim: matriculation_number\n    value: m1\n  - institution: uni\n    claim: matriculation_number\n    value: m1\n", 11, "found course creators again, expected each once: line 8 has the same"),
    ("roster.csv", "uni,email", "unu,email", 2, "found “unu” as institution, expected one of uni, firm (did you mean uni?)"),
    ("roster.csv", "matriculation_number", "email", 3, "found “1000001” as value, expected an e-mail address"),
    ("roster.csv", "founder@firm.example", "founder@uni.example", 4, "found “founder@uni.example” as value, expected a value in the domains of firm: firm.example"),
    ("roster.csv", "firm,email", "firm,matriculation_number", 4, "found “matriculation_number” as claim, expected email, the claims of firm"),
    ("roster.csv", "lecturer@uni.example", "lecturer@sub.uni.example", 2, "found “lecturer@sub.uni.example” as value, expected a value in the domains of uni: uni.example, stud.uni.example"),
    ("roster.csv", "matriculation_number,1000001", "eduperson_principal_name,student@other.example", 3, "found “student@other.example” as value, expected a value in the domains of uni: uni.example, stud.uni.example"),
    ("roster.csv", "matriculation_number,1000001", "eduperson_principal_name,uni.example", 3, "found “uni.example” as value, expected a value in the domains of uni: uni.example, stud.uni.example"),
    ("roster.csv", "matriculation_number,1000001", "eduperson_scoped_affiliation,student@uni.example", 3, "found “eduperson_scoped_affiliation” as claim, expected a claim that one person has alone, for example email"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "line", "message"), FIT)
def test_what_does_not_fit_together_is_told_where_it_is(
    site: Site, *, name: str, old: str, new: str, line: int, message: str
) -> None:
    site.change(name, old, new)

    where = site.path(name).relative_to(site.root)
    assert site.told() == [f"{where}:{line}: {message}"]


def test_a_mistake_in_one_file_hides_none_in_another(site: Site) -> None:
    site.change("sizes.yaml", "cpus: 1", "cpus: 0")
    site.change("institutions.yaml", "client_id: kirzl-lab\n    domains: [uni.ex", "client_id: 5\n    domains: [uni.ex")
    site.change("course.yaml", "[small, large]", "[small, huge]")
    site.change("roster.csv", "lecturer@uni.example", "lecturer@other.example")

    assert [(mistake.file.name, mistake.line) for mistake in site.mistakes()] == [
        ("course.yaml", 8),
        ("roster.csv", 2),
        ("institutions.yaml", 5),
        ("sizes.yaml", 10),
    ]


def test_what_was_written_under_a_wrong_key_is_not_told_as_missing_everywhere(site: Site) -> None:
    site.change("sizes.yaml", "flavours:", "flavors:")
    site.change("institutions.yaml", "institutions:", "institution:")

    assert [message.partition(": ")[0] for message in site.told()] == [
        "hub_config/institutions.yaml:1",
        "hub_config/sizes.yaml:1",
    ]


@pytest.mark.parametrize("name", ["lab.yaml", "sizes.yaml", "institutions.yaml", "course.yaml", "roster.csv"])
def test_a_file_that_is_not_there(site: Site, name: str) -> None:
    site.path(name).unlink()

    (message,) = site.told()
    assert message.startswith(f"{site.path(name).relative_to(site.root)}: found no such file, expected {name}")


@pytest.mark.parametrize(
    ("name", "other"), [("course.yaml", "course.yml"), ("roster.csv", "Roster.csv"), ("sizes.yaml", "size.yaml")]
)
def test_a_file_with_nearly_the_right_name_is_pointed_out(site: Site, name: str, other: str) -> None:
    site.path(name).rename(site.path(name).with_name(other))

    (message,) = site.told()
    assert f"found no such file, but {other}, expected {name}" in message


@pytest.mark.parametrize("name", ["sizes.yaml", "course.yaml", "roster.csv"])
def test_what_is_no_file_is_not_waited_for(site: Site, name: str) -> None:
    path = site.path(name)
    path.unlink()
    path.mkdir()
    assert "found a folder, expected" in site.told()[0]

    path.rmdir()
    os.mkfifo(path)
    assert "found something that is not a file, expected" in site.told()[0]


def test_a_file_that_may_not_be_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refuse(path: Path, *rest: int) -> int:
        if Path(path).name == "sizes.yaml":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest)

    monkeypatch.setattr(os, "open", refuse)

    (message,) = site.told()
    assert message == (
        "hub_config/sizes.yaml: found a file that cannot be read (permission denied), expected sizes.yaml"
    )


def test_links_that_lead_out_are_not_followed(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    secret = outside / "course.yaml"
    secret.write_text("token: s3cret", encoding="utf-8")
    site.path("course.yaml").unlink()
    site.path("course.yaml").symlink_to(secret)
    shutil.copytree(site.course, outside / "other", symlinks=True)
    (site.courses / "other").symlink_to(outside / "other")
    (site.course / "materials").symlink_to(outside)

    told = site.told()
    assert told == [
        "courses/ml-101/course.yaml: found a link that leads out of its folder, expected course.yaml",
        "courses/ml-101/materials: found a link that leads out of the course, expected a folder inside it",
        "courses/other: found a link that leads out of the courses folder, expected a folder inside it",
    ]
    assert "s3cret" not in "".join(told)


def test_links_within_the_folder_are_followed_as_kubernetes_mounts_need(site: Site) -> None:
    inner = site.hub_config / "..2026_10_01"
    inner.mkdir()
    (site.hub_config / "..data").symlink_to(inner.name)
    for name in ("lab.yaml", "sizes.yaml", "institutions.yaml"):
        site.path(name).rename(inner / name)
        site.path(name).symlink_to(f"..data/{name}")

    assert site.told() == []


def test_a_link_in_a_circle_and_a_link_to_nothing(site: Site) -> None:
    site.path("lab.yaml").unlink()
    site.path("lab.yaml").symlink_to("lab.yaml")
    site.path("sizes.yaml").unlink()
    site.path("sizes.yaml").symlink_to("nowhere")

    told = site.told()
    assert len(told) == 2
    assert "a file that cannot be read (too many levels of symbolic links)" in told[0]
    assert "found a link to nothing, expected sizes.yaml" in told[1]


@pytest.mark.parametrize(
    "name",
    [
        "ML-101",
        "ml--101",
        "ml-101-",
        "-ml",
        "1ml",
        "ml_101",
        "ml 101",
        "ml.101",
        "größe",
        "x" * 25,
        "a\nb",
        "a\x1b[31m",
    ],
)
def test_folder_names_that_would_break_servers_are_refused(site: Site, name: str) -> None:
    site.course.rename(site.courses / name)

    (mistake,) = site.mistakes()
    assert mistake.found.startswith("a course folder called “")
    assert mistake.expected.startswith("a name of at most 24 characters")
    assert str(mistake).isprintable()


def test_a_folder_name_that_is_no_text(site: Site) -> None:
    site.course.rename(os.fsdecode(os.fsencode(site.courses) + b"/ml-\xff"))

    (mistake,) = site.mistakes()
    assert str(mistake).encode("utf-8")


@pytest.mark.parametrize("name", ["m", "ml-101", "a" * 24, "a1-b2-c3"])
def test_folder_names_that_are_good(site: Site, name: str) -> None:
    site.course.rename(site.courses / name)

    assert list(site.load().courses) == [name]


def test_hidden_folders_and_loose_files_are_no_courses(site: Site) -> None:
    (site.courses / ".git").mkdir()
    (site.courses / "README.md").write_text("x", encoding="utf-8")

    assert list(site.load().courses) == ["ml-101"]


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CatalogueMistakes) as refused:
        load(tmp_path / "none", tmp_path / "nothing")

    told = [str(mistake).replace(f"{tmp_path}/", "") for mistake in refused.value.mistakes]
    assert told == [
        "none/institutions.yaml: found no such file, expected institutions.yaml",
        "none/lab.yaml: found no such file, expected lab.yaml",
        "none/sizes.yaml: found no such file, expected sizes.yaml",
        "nothing: found no such folder, expected a folder with one folder a course",
    ]
    assert str(refused.value).count("\n") == 3


def test_materials_is_a_folder(site: Site) -> None:
    (site.course / "materials").write_text("x", encoding="utf-8")

    assert site.told() == ["courses/ml-101/materials: found a file, expected a folder"]


def test_assignments_are_the_folders_in_source(site: Site) -> None:
    for name in ("2-regression", "1_first.try", ".ipynb_checkpoints"):
        (site.course / "source" / name).mkdir(parents=True)
    (site.course / "source" / "header.ipynb").write_text("{}", encoding="utf-8")

    assert site.load().courses["ml-101"].assignments == ("1_first.try", "2-regression")


@pytest.mark.parametrize("name", ["a+b", "end.", "-first", "two words", "größe", "x" * 65])
def test_assignment_names_that_nbgrader_or_a_file_system_would_not_keep_are_refused(site: Site, name: str) -> None:
    (site.course / "source" / name).mkdir(parents=True)

    (mistake,) = site.mistakes()
    assert mistake.found.startswith("an assignment folder called “")
    assert mistake.expected.startswith("a name of at most 64 characters")


def test_source_is_a_folder_of_the_course(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    source = site.course / "source"
    source.write_text("x", encoding="utf-8")
    assert site.told() == ["courses/ml-101/source: found a file, expected a folder"]

    source.unlink()
    source.symlink_to(tmp_path_factory.mktemp("outside"))
    assert site.told() == [
        "courses/ml-101/source: found a link that leads out of the course, expected a folder inside it"
    ]


def test_course_creators_may_be_known_by_what_many_people_share(site: Site) -> None:
    site.change("institutions.yaml", "[email, matriculation", "[email, eduperson_scoped_affiliation, matriculation")
    creators = (
        "course_creators:\n  - {institution: uni, claim: eduperson_scoped_affiliation, value: faculty@uni.example}\n"
    )
    site.change("lab.yaml", "operator@uni.example\n", f"operator@uni.example\n{creators}")
    (one,) = site.load().lab.course_creators
    assert (one.institution, one.value) == ("uni", "faculty@uni.example")
