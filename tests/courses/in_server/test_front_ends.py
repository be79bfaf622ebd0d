"""A real Jupyter server of a course, and what nbgrader's pages ask of it."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import nbformat
from nbformat.v4 import new_notebook

from kirzl_lab.cli.ports import free_port
from kirzl_lab.courses.in_server.front_ends import ELSEWHERE
from kirzl_lab.courses.in_server.service import AWAY
from kirzl_lab.courses.in_server.validating import MISSING, OUTSIDE
from tests.courses.in_server.conftest import Desk, Lab, notebook
from tests.grading.course import cell
from tests.service.sample import STUDENT
from tests.support.waiting import wait_until

TOKEN = "token-of-the-test"
FRAMELESS = {"headers": {"Content-Security-Policy": "frame-ancestors 'none'; base-uri 'self'"}}
"""What JupyterHub sets for the pages of its servers."""


@contextmanager
def opened(desk: Desk) -> Iterator[httpx.Client]:
    """The person's server, as their browser sees it."""
    port = free_port()
    options = [
        f"--ServerApp.port={port}",
        f"--ServerApp.root_dir={desk.home}",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.tornado_settings={FRAMELESS}",
    ]
    command = [sys.executable, "-P", "-m", "jupyter", "lab", "--no-browser", "--allow-root", *options]
    file = desk.home.with_name(f"{desk.who}.log")
    with file.open("w") as log:
        process = subprocess.Popen(command, cwd=desk.home, env=desk.environment, stdout=log, stderr=log)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"token {TOKEN}"}, timeout=60)

    def up() -> bool:
        assert process.poll() is None, file.read_text()
        try:
            return client.get("/api/status").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(up, "the server", limit_s=60)
        yield client
    except BaseException:
        print(file.read_text()[-6000:])
        raise
    finally:
        client.close()
        process.terminate()
        process.wait(30)


def told(answer: httpx.Response) -> Any:
    """The value of an answer, which must be one of success."""
    body = answer.raise_for_status().json()
    assert body["success"], body
    return body["value"]


def disabled(server: httpx.Client) -> list[str]:
    """Plugins that JupyterLab's page does without."""
    page = server.get("/lab").raise_for_status().text
    config = json.loads(
        page.partition('id="jupyter-config-data" type="application/json">')[2].partition("</script>")[0]
    )
    return [name for name in config["disabledExtensions"] if "nbgrader" in name]


def exercise() -> str:
    """A notebook with a test that fails."""
    cells = [
        cell("code", "answer = 41", "answer", solution=True),
        cell("code", "assert answer == 42", "test_answer", 1, grade=True, locked=True),
    ]
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return str(nbformat.writes(new_notebook(cells=cells, metadata={"kernelspec": spec})))


def test_a_student_works_through_an_assignment(teacher: Desk, student: Desk, lab: Lab) -> None:
    teacher.release("ps1", p1_ipynb=exercise())
    assignment = {"course_id": "ml-101", "assignment_id": "ps1"}
    with opened(student) as server:
        assert disabled(server) == ["@jupyter/nbgrader:formgrader", "@jupyter/nbgrader:create-assignment"]
        assert told(server.get("/courses")) == ["ml-101"]
        (line,) = told(server.get("/assignments", params={"course_id": "ml-101"}))
        assert (line["status"], line["assignment_id"]) == ("released", "ps1")

        (line,) = told(server.post("/assignments/fetch", json=assignment))
        assert (line["status"], line["path"], line["notebooks"][0]["path"]) == ("fetched", "ps1", "ps1/p1.ipynb")
        again = server.post("/assignments/fetch", json=assignment).json()
        assert again == {"success": False, "value": "You already have a copy of the assignment in this directory: ps1"}

        value = told(server.post("/assignments/validate", json={"path": "ps1/p1.ipynb"}))
        assert [each["source"] for each in value["failed"]] == ["assert answer == 42"]
        for path, words in (("../x.ipynb", OUTSIDE), ("ps1/no.ipynb", MISSING)):
            assert server.post("/assignments/validate", json={"path": path}).json()["value"] == words

        found = told(server.post("/assignments/submit", json=assignment))
        assert [line["status"] for line in found] == ["fetched", "submitted"]
        assert found[1]["submissions"][0]["student_id"] == STUDENT
        assert server.post("/assignments/submit", json={"course_id": "ml-101"}).status_code == 400

        teacher.run("collect", "ps1")
        stamp = teacher.timestamp(f"course/submitted/{STUDENT}/ps1")
        teacher.write(f"course/feedback/{STUDENT}/ps1/timestamp.txt", stamp)
        teacher.write(f"course/feedback/{STUDENT}/ps1/p1.html", "<p>well done")
        teacher.run("release_feedback", "ps1")
        found = told(server.post("/assignments/fetch_feedback", json=assignment))
        assert found[1]["submissions"][0]["local_feedback_path"] == f"ps1/feedback/{stamp}"
        assert (student.home / "ps1/feedback" / stamp / "p1.html").read_text() == "<p>well done"

        assert told(server.get("/formgraders")) == [
            {"course_id": "dl-201", "url": "/hub/home", "kind": ELSEWHERE},
            {"course_id": "ml-101", "url": "/lab", "kind": "this server"},
        ]
        assert server.get("/nbgrader_version", params={"version": "0.9.6"}).json() == {"success": True}
        assert "Reload the page" in server.get("/nbgrader_version", params={"version": "0.9.5"}).json()["message"]
        assert server.get("/formgrader").status_code == 404
        assert server.post("/kirzl-lab/course-folder").status_code == 404
        assert httpx.get(f"{server.base_url}/courses").status_code == 403

        lab.before = lambda _: 503
        for answer in (server.get("/assignments?course_id=ml-101"), server.post("/assignments/fetch", json=assignment)):
            assert answer.json() == {"success": False, "value": AWAY}
        assert server.get("/formgraders").json() == {"success": False, "value": {"message": AWAY}}


def test_a_server_answers_while_the_lab_takes_its_time(teacher: Desk, student: Desk, lab: Lab) -> None:
    """What waits for the service waits in a thread."""
    held, asked = threading.Event(), threading.Event()

    def wait(_: str) -> None:
        asked.set()
        held.wait(60)

    with opened(student) as server:
        told(server.get("/courses"))  # nbgrader is imported now
        lab.hold = wait
        waiting = threading.Thread(target=lambda: server.get("/assignments?course_id=ml-101"))
        waiting.start()
        try:
            assert asked.wait(30)
            assert server.get("/api/status").status_code == 200
        finally:
            held.set()
            waiting.join(60)


def test_people_who_run_the_course_have_formgrader(teacher: Desk, student: Desk, lab: Lab) -> None:
    teacher.write("course/release/ps1/p1.ipynb", notebook("1"))
    teacher.write("course/source/ps1/p1.ipynb", notebook("1"))
    shown = {"Cookie": "_xsrf=x", "X-XSRFToken": "x"}
    with opened(teacher) as server:
        assert disabled(server) == []
        page = server.get("/formgrader/manage_assignments", follow_redirects=True)
        assert page.status_code == 200, page.text
        assert page.headers["Content-Security-Policy"] == "frame-ancestors 'self'; base-uri 'self'"
        assert server.get("/api/status").headers["Content-Security-Policy"].startswith("frame-ancestors 'none'")
        assert server.get("/formgrader/api/status").json() == {"status": True}
        address = "/formgrader/api/assignment/ps1"
        released = server.post(f"{address}/release", headers=shown).json()
        assert released["success"], released
        student.fetch_and_submit("ps1")
        collected = server.post(f"{address}/collect", headers=shown).json()
        assert f"Collecting submission: {STUDENT} ps1" in collected["log"]
        assert (teacher.course / "submitted" / STUDENT / "ps1/p1.ipynb").is_file()
        (line,) = server.get("/formgrader/api/assignments").json()
        assert (line["name"], line["status"], line["num_submissions"]) == ("ps1", "released", 1)
        assert told(server.get("/formgraders"))[-1] == {"course_id": "ml-101", "url": "/formgrader", "kind": "local"}
        assert server.post(f"{address}/release_feedback", headers=shown).json()["success"]
        assert server.post(f"{address}/{STUDENT}/release_feedback", headers=shown).json()["success"]
        assert server.post(f"{address}/unrelease", headers=shown).json()["success"]
        assert student.listed() == []
        lab.before = lambda _: 503
        refused = server.post(f"{address}/release", headers=shown).json()
        assert not refused["success"]
        assert AWAY in refused["log"]


def test_other_spaces_have_no_nbgrader(student: Desk) -> None:
    student.environment["KIRZL_LAB_KIND"] = "research"
    with opened(student) as server:
        assert disabled(server) == ["@jupyter/nbgrader"]
        for address in ("/courses", "/assignments?course_id=ml-101", "/formgraders", "/formgrader"):
            assert server.get(address).status_code == 404


def test_loading_it_imports_nothing_heavy() -> None:
    code = """
import sys
from jupyter_server.base.handlers import APIHandler
before = set(sys.modules)
from kirzl_lab.courses.in_server import extension, formgrader, handlers, sync
print(*(set(sys.modules) - before))
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"nbgrader", "httpx", "sqlalchemy", "nbconvert", "pydantic"} & {name.split(".")[0] for name in loaded}
