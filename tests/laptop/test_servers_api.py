"""Starting and stopping through JupyterHub's REST API, against a real hub: what is refused, and that it harms nothing."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.people import Person
from tests.support.running_lab import ROOT, RunningLab, run_command
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.laptop, pytest.mark.slow]

GOOD = {"space": "ml-101", "purpose": "work", "size": "cpu-small"}
LogIn = Callable[[str, str], Person]

REFUSED_CHANGES: list[tuple[str, Any, int]] = [
    ("rename", {"name": "other"}, 400),
    ("rename and change", {"name": "other", "user_options": GOOD}, 400),
    ("an unknown field", {"color": "red"}, 400),
    ("a name that is no text", {"display_name": 1, "user_options": {**GOOD, "size": "cpu-medium"}}, 400),
    ("change to somebody else's space", {"user_options": {**GOOD, "space": "dl-201"}}, 403),
    ("change to a preview", {"user_options": {**GOOD, "purpose": "preview"}}, 403),
    ("change to a size of another space", {"user_options": {**GOOD, "size": "gpu-full"}}, 403),
    ("change to nonsense", {"user_options": "x"}, 400),
    ("change to nothing", {"user_options": {}}, 400),
]
REFUSED: list[tuple[str, str, str, Any, int]] = [
    ("no options", "POST", "s1", None, 400),
    ("empty options", "POST", "s1", {"user_options": {}}, 400),
    ("options as a list", "POST", "s1", {"user_options": []}, 400),
    ("a body that is a list", "POST", "s1", [1], 400),
    ("a field beside the options", "POST", "s1", {"user_options": GOOD, "profile": "gpu"}, 400),
    ("a field beside the options of a new server", "PUT", "s1", {"user_options": GOOD, "name": "x"}, 400),
    ("a field beside the name of the server", "POST", "s1", {"display_name": "x", **GOOD}, 400),
    ("size is missing", "POST", "s1", {"user_options": {"space": "ml-101", "purpose": "work"}}, 400),
    ("an unknown option", "POST", "s1", {"user_options": {**GOOD, "image": "evil"}}, 400),
    ("a KubeSpawner profile", "POST", "s1", {"user_options": {"profile": "gpu"}}, 400),
    ("options as the body", "POST", "s1", {**GOOD, "cpu": 64}, 400),
    ("a path as space", "POST", "s1", {"user_options": {**GOOD, "space": "../etc"}}, 400),
    ("an unknown purpose", "POST", "s1", {"user_options": {**GOOD, "purpose": "grade"}}, 400),
    ("an unknown space", "POST", "s1", {"user_options": {**GOOD, "space": "nowhere"}}, 404),
    ("somebody else's space", "POST", "s1", {"user_options": {**GOOD, "space": "dl-201"}}, 403),
    ("a student's preview", "POST", "s1", {"user_options": {**GOOD, "purpose": "preview"}}, 403),
    ("a size of another space", "POST", "s1", {"user_options": {**GOOD, "size": "gpu-full"}}, 403),
    ("the default server", "POST", "", {"user_options": GOOD}, 400),
    ("a name that is too long", "POST", "a" * 31, {"user_options": GOOD}, 400),
    ("a name with capitals", "POST", "ML", {"user_options": GOOD}, 400),
    ("create without options", "PUT", "s1", None, 400),
    ("create in somebody else's space", "PUT", "s1", {"user_options": {**GOOD, "space": "dl-201"}}, 403),
    ("create with an unknown option", "PUT", "s1", {"user_options": {**GOOD, "x": 1}}, 400),
    *((case, "PATCH", "s1", body, expected) for case, body, expected in REFUSED_CHANGES),
    ("change of a server that is not there", "PATCH", "s1", {"display_name": "x"}, 404),
    ("a name for the default server", "PATCH", "", {"display_name": "x"}, 400),
    ("the end of a server that is not there", "DELETE", "s1", None, 404),
]


def address(person: Person, server: str) -> str:
    return f"/users/{person.hub_name}/servers/{server}" if server else f"/users/{person.hub_name}/server"


def send(person: Person, method: str, server: str, body: Any) -> tuple[int, str]:
    answer = person.api(method, address(person, server), **({} if body is None else {"json": body}))
    return answer.status_code, answer.json().get("message", "") if answer.text else ""


def test_bad_requests_in_a_row_leave_the_hub_running_and_store_nothing(person: LogIn) -> None:
    student = person("uni", "student2")
    assert len(REFUSED) >= 20
    for case, method, server, body, expected in REFUSED:
        status, message = send(student, method, server, body)
        assert status == expected, f"{case}: {status} {message}"
        assert message, case
        assert message.endswith("."), f"{case}: {message}"
        assert "Traceback" not in message
    assert student.api("GET", f"/users/{student.hub_name}").json()["servers"] == {}
    assert student.api("POST", address(student, "ml-101"), json={"user_options": GOOD}).status_code in (201, 202)
    wait_until(lambda: (student.server("ml-101") or {}).get("ready"), "a good start after the bad ones")


def test_one_name_for_each_space_and_purpose(person: LogIn) -> None:
    student = person("uni", "student3")
    assert student.api("POST", address(student, "first"), json={"user_options": GOOD}).status_code in (201, 202)
    status, message = send(student, "POST", "second", {"user_options": GOOD})
    assert status == 409
    assert "first" in message
    wait_until(lambda: (student.server("first") or {}).get("ready"), "the first start")


def stored(person: Person, server: str) -> dict[str, Any]:
    """A server, whether it runs or not, as the hub keeps it."""
    model: dict[str, Any] = person.api("GET", address(person, server)).raise_for_status().json()
    return model


def apply(lab: RunningLab, courses: Path) -> None:
    done = run_command("catalog", "apply", "--data", str(lab.data), "--courses", str(courses))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def without_student4(demo_lab: RunningLab, tmp_path: Path) -> Iterator[Path]:
    """The courses as a site would change them: student4 is no longer in ml-101. Afterwards they are as they were."""
    courses = tmp_path / "courses"
    shutil.copytree(ROOT / "courses", courses)
    roster = courses / "ml-101" / "roster.csv"
    roster.write_text("".join(line for line in roster.open() if "1000004" not in line))
    yield courses
    apply(demo_lab, ROOT / "courses")


def test_stored_options_are_kept_from_refused_changes_and_judged_again(
    person: LogIn, demo_lab: RunningLab, without_student4: Path
) -> None:
    student = person("uni", "student4")
    assert student.api("PUT", address(student, "ml-101"), json={"user_options": GOOD}).status_code == 201
    for case, body, expected in REFUSED_CHANGES:
        status, message = send(student, "PATCH", "ml-101", body)
        assert status == expected, f"{case}: {status} {message}"
        kept = stored(student, "ml-101")
        assert (kept["name"], kept["display_name"], kept["user_options"]) == ("ml-101", "ml-101", GOOD), case
    changed = {**GOOD, "size": "cpu-medium"}
    assert student.api("PATCH", address(student, "ml-101"), json={"user_options": changed}).status_code == 200
    apply(demo_lab, without_student4)
    status, message = send(student, "POST", "ml-101", None)
    assert (status, "not a member" in message) == (403, True), message
    assert student.api("GET", f"/users/{student.hub_name}").json()["servers"] == {}, "nothing runs or is on its way"
    # The handler refuses: it is not the spawner's last look that ends a start on its way.
    page = student.http.get(f"{student.lab_url}/user/{student.hub_name}/later/lab", headers={"Accept": "text/html"})
    assert ("This server is not running" in page.text, "did not start" in page.text) == (True, False)
    apply(demo_lab, ROOT / "courses")
    assert student.api("POST", address(student, "ml-101")).status_code in (201, 202)
    model = wait_until(
        lambda: (server := student.server("ml-101")) and server["ready"] and server, "a start with what was stored"
    )
    assert model["user_options"] == changed
    for case, method, body, expected, words in (
        ("started twice", "POST", {"user_options": changed}, 400, "“ml-101” is running already"),
        ("changed while it runs", "PATCH", {"user_options": GOOD}, 400, "“ml-101” is running already"),
        ("made twice", "PUT", {"user_options": changed}, 409, "“ml-101” already"),
    ):
        status, message = send(student, method, "ml-101", body)
        assert (status, words in message) == (expected, True), f"{case}: {status} {message}"
    assert stored(student, "ml-101")["ready"]


def test_nobody_starts_a_server_for_somebody_else(person: LogIn) -> None:
    student, founder = person("uni", "student1"), person("startups", "founder")
    answer = founder.api("POST", f"/users/{student.hub_name}/servers/ml-101", json={"user_options": GOOD})
    assert answer.status_code == 404
    assert student.api("GET", f"/users/{student.hub_name}").json()["servers"] == {}


@pytest.mark.parametrize(
    "path",
    [
        "/hub/spawn",
        "/hub/spawn/{name}",
        "/hub/spawn/{name}/x?opt-space=dl-201&opt-size=cpu-medium",
        "/hub/start?opt-space=ml-101&opt-size=cpu-small",
    ],
)
def test_spawn_leads_to_my_spaces(person: LogIn, path: str) -> None:
    student = person("uni", "student1")
    page = student.http.get(student.lab_url + path.format(name=student.hub_name))
    assert page.url.path == "/hub/home"
    assert student.api("GET", f"/users/{student.hub_name}").json()["servers"] == {}


def test_text_that_no_database_can_hold_troubles_nobody_else(person: LogIn) -> None:
    troublemaker, other = person("uni", "student5"), person("uni", "student1")
    name, note = b'{"display_name": "\\ud800"}', b'{"note": "\\ud800"}'
    for method, path, body in (
        ("PUT", address(troublemaker, "s1"), name),
        ("POST", address(troublemaker, "s1"), name),
        ("PATCH", address(troublemaker, "s1"), name),
        ("POST", f"/users/{troublemaker.hub_name}/tokens", note),  # JupyterHub's own, which stumbles in its session
    ):
        assert troublemaker.api(method, path, content=body).status_code == 400, f"{method} {path}"
        assert other.api("GET", "/user").status_code == 200
        assert other.http.get(f"{other.lab_url}/hub/home").url.path == "/hub/home"


def test_a_name_is_taken_by_the_first_server_that_is_made(person: LogIn) -> None:
    student = person("uas", "student1")
    assert student.api("PUT", address(student, "one"), json={"user_options": GOOD}).status_code == 201
    status, message = send(student, "PUT", "two", {"user_options": GOOD})
    assert (status, "one" in message) == (409, True)


def test_the_audit_tells_starts_and_ends_once_and_by_whom(person: LogIn) -> None:
    student, operator = person("uas", "lecturer"), person("uni", "operator")
    options = {"space": "dl-201", "purpose": "work", "size": "cpu-medium"}
    started = student.api("POST", address(student, "dl-201"), json={"user_options": options})
    assert started.status_code in (201, 202)
    wait_until(lambda: (student.server("dl-201") or {}).get("ready"), "the start")
    student.stop("dl-201")
    wait_until(lambda: not (student.server("dl-201") or {}).get("ready"), "the end")

    def entries() -> list[tuple[str, str]]:
        operator.http.get(f"{operator.lab_url}/services/lab/people", headers={"Accept": "text/html"})  # logs in there
        answer = operator.http.get(f"{operator.lab_url}/services/lab/api/audit", params={"person": student.hub_name})
        rows = answer.raise_for_status().json()["items"]
        return [(row["action"], row["actor"]) for row in rows if row["action"].startswith("server-")]

    wait_until(lambda: len(entries()) >= 2, "the end in the audit")
    assert sorted(entries()) == [("server-started", student.hub_name), ("server-stopped", student.hub_name)]


def test_the_hubs_admin_page_is_closed(person: LogIn) -> None:
    assert person("uni", "student1").http.get(person("uni", "student1").lab_url + "/hub/admin").status_code == 404
    operator = person("uni", "operator")
    assert operator.http.get(operator.lab_url + "/hub/admin").url.path == "/services/lab/people"
    assert operator.api("GET", "/users").status_code == 403
