"""Who does not belong: people of other institutions, other students, and people who were taken off the roster."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.lab.conftest import LogIn
from tests.cluster.lab.lab import ClusterLab
from tests.cluster.lab.words import notes
from tests.support.jupyter import JupyterServer
from tests.support.people import Person
from tests.support.running_lab import ROOT
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

GOOD = {"space": "ml-101", "purpose": "work", "size": "cpu-small"}
GRACE_MINUTES = 10


@pytest.mark.parametrize(
    ("institution", "account"), [("startups", "founder"), ("uni", "student1"), ("uni", "lecturer")]
)
def test_others_open_nothing_of_a_student(
    cluster_lab: ClusterLab, person: LogIn, institution: str, account: str
) -> None:
    student, other = person("uni", "student2"), person(institution, account)
    server = cluster_lab.open(student, "ml-101", "cpu-small")
    theirs = JupyterServer(other.http, str(server.url))
    assert theirs.open().status_code in (403, 404)
    for path in ("/api/contents", "/api/kernels", "/api/status", "/files/mine.txt", "/lab/tree/materials"):
        assert theirs.get(path).status_code in (403, 404), path
    assert theirs.http.put(f"{server.url}/api/contents/x.txt", json={"type": "file"}).status_code in (403, 404)
    for method, path in (
        ("GET", f"/users/{student.hub_name}"),
        ("POST", f"/users/{student.hub_name}/servers/ml-101"),
        ("DELETE", f"/users/{student.hub_name}/servers/ml-101"),
        ("GET", f"/users/{student.hub_name}/servers/ml-101/progress"),
    ):
        assert other.api(method, path).status_code in (403, 404), f"{method} {path}"
    assert other.api("GET", "/users").status_code == 403
    assert server.answers()


def test_a_person_of_another_institution_sees_and_starts_nothing(cluster_lab: ClusterLab, person: LogIn) -> None:
    founder = person("startups", "founder")
    home = founder.http.get(f"{cluster_lab.url}/hub/home").text
    assert "You are not a member of anything yet" in home
    assert "Machine Learning" not in home
    for space, size in (("ml-101", "cpu-small"), ("dl-201", "cpu-medium")):
        assert founder.start(space, size).status_code == 403
        options = {"user_options": {"space": space, "purpose": "work", "size": size}}
        assert founder.api("POST", f"/users/{founder.hub_name}/servers/{space}", json=options).status_code == 403
        address = f"{cluster_lab.url.replace('//', f'//{founder.hub_name}.')}/user/{founder.hub_name}/{space}/lab"
        assert founder.http.get(address).status_code in (403, 404, 424)
    for page in ("people", "spaces", "audit"):
        assert founder.visit(f"/services/lab/{page}").status_code == 403, page
    assert cluster_lab.server_pods(founder.hub_name) == []


@pytest.fixture
def taken_off(cluster_lab: ClusterLab, tmp_path: Path) -> Iterator[Path]:
    """The courses as a site would change them: matriculation number 1000004 is no longer in ml-101."""
    courses = tmp_path / "courses"
    shutil.copytree(ROOT / "courses", courses)
    roster = courses / "ml-101" / "roster.csv"
    changed = [line for line in roster.read_text().splitlines(keepends=True) if "1000004" not in line]
    roster.write_text("".join(changed))
    yield courses
    cluster_lab.install()


def test_who_is_taken_off_the_roster_is_told_and_their_server_ends(
    cluster_lab: ClusterLab, person: LogIn, taken_off: Path
) -> None:
    student = person("uni", "student4")
    server = cluster_lab.open(student, "ml-101", "cpu-small")
    assert server.run("open('kept.txt', 'w').write('kept')") == ""
    cluster_lab.install(courses=taken_off)
    # At once: nothing new can be started, what runs goes on, and the page says until when.
    told = told_of_loss(student)
    print("taken off the roster:", told)
    assert "Your server goes on until" in told
    assert server.answers()
    refused = student.api("POST", f"/users/{student.hub_name}/servers/ml-101", json={"user_options": GOOD})
    assert refused.status_code in (400, 403), refused.text
    # The grace is over: ten minutes pass in the lab database.
    cluster_lab.sql(
        f"UPDATE roster_rows SET removed_at = removed_at - interval '{GRACE_MINUTES} minutes' WHERE removed_at IS NOT NULL"
    )
    wait_until(lambda: not cluster_lab.server_pods(student.hub_name), "the end of the server", 30)
    assert not (student.server("ml-101") or {}).get("ready")
    ended = told_of_loss(student)
    print("ended:", ended)
    assert "Your server there was ended" in ended
    assert student.start("ml-101", "cpu-small").status_code == 403
    # And back: what they had is still there.
    cluster_lab.install()
    assert cluster_lab.open(student, "ml-101", "cpu-small").read("kept.txt") == "kept"


def told_of_loss(student: Person) -> str:
    page = student.http.get(f"{student.lab_url}/hub/home").text
    (note,) = [note for note in notes(page) if "You are no longer a member" in note]
    return note
