"""A course on the cluster: nbgrader in people's servers, the exchange over the lab service, grading as Jobs behind walls."""

import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.lab.conftest import LogIn
from tests.cluster.lab.lab import ClusterLab
from tests.support.jupyter import JupyterServer
from tests.support.waiting import wait_until
from tools.onenode import api

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

GRADERS = "kirzl-lab-graders"

SOURCE = """
import nbformat
from pathlib import Path
from nbformat.v4 import new_code_cell, new_notebook

def cell(source, name, points=None, **marks):
    made = new_code_cell(source)
    made.metadata["nbgrader"] = {"grade": False, "solution": False, "locked": False, "task": False, "grade_id": name,
        "schema_version": 3, **marks, **({} if points is None else {"points": points})}
    return made

spec = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
notebook = new_notebook(cells=[
    cell("def square(x):\\n    ### BEGIN SOLUTION\\n    return x * x\\n    ### END SOLUTION", "square", solution=True),
    cell("assert square(2) == 4\\n### BEGIN HIDDEN TESTS\\nassert square(-3) == 9\\n### END HIDDEN TESTS",
        "test_square", 3, grade=True, locked=True),
], metadata={"kernelspec": spec})
folder = Path("course/source/ASSIGNMENT")
folder.mkdir(parents=True, exist_ok=True)
nbformat.write(notebook, folder / "squares.ipynb")
"""

SOLVE = """
import nbformat
from pathlib import Path
file = Path("ASSIGNMENT/squares.ipynb")
notebook = nbformat.read(file, as_version=4)
for cell in notebook.cells:
    if cell.metadata.get("nbgrader", {}).get("grade_id") == "square":
        cell.source = CODE
nbformat.write(notebook, file)
"""

ASK = """
import json, os, urllib.request
asked = urllib.request.Request(os.environ["KIRZL_LAB_SERVICE_URL"] + "api/courses/ml-101/" + PATH, method=METHOD,
    data=BODY, headers={"Authorization": "Bearer " + os.environ["JUPYTERHUB_API_TOKEN"], "Content-Type": "application/json"})
try:
    with urllib.request.urlopen(asked, timeout=30) as answer:
        print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
"""

LOOK_AROUND = """
import os, socket
found = []
for host, port in HOSTS:
    try:
        socket.create_connection((host, port), 3).close()
        found.append(f"{host}:{port}")
    except OSError:
        pass
names = [name for name in os.environ if "TOKEN" in name or "LAB" in name or "SECRET" in name]
others = [entry for entry in os.listdir("/proc") if entry.isdigit() and b"carrier" in open(f"/proc/{entry}/cmdline", "rb").read()]
raise RuntimeError(f"reached {found}, told {names}, beside {others}, account {os.path.exists('/var/run/secrets')}")
"""


def run_nbgrader(server: JupyterServer, *words: str) -> str:
    """What the command prints; raises `CellError` when it fails."""
    code = (
        "import subprocess\n"
        f"done = subprocess.run(['nbgrader', *{list(words)!r}], capture_output=True, text=True)\n"
        "print(done.stdout + done.stderr)\n"
        "assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]"
    )
    return server.run(code)


def ask(server: JupyterServer, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """What the lab service answers to the server's own token."""
    data = None if body is None else json.dumps(body).encode()
    said = server.run(ASK.replace("PATH", repr(path)).replace("METHOD", repr(method)).replace("BODY", repr(data)))
    status, _, text = said.partition(" ")
    return int(status), json.loads(text) if text.strip() else None


def graded(lecturer: JupyterServer, assignment: str) -> dict[str, Any]:
    """The run that Grade begins, once it is over."""
    status, begun = ask(lecturer, "POST", f"assignments/{assignment}/runs", {})
    assert status == 201, begun

    def over() -> dict[str, Any] | None:
        _, run = ask(lecturer, "GET", f"runs/{begun['id']}")
        return run if run["finished_at"] else None

    finished: Callable[[], dict[str, Any] | None] = over
    return wait_until(finished, "the run to be over", 180)


def test_from_release_to_scores(cluster_lab: ClusterLab, person: LogIn) -> None:
    assignment = f"squares-{secrets.token_hex(4)}"
    lecturer, right, hostile = person("uni", "lecturer"), person("uni", "student1"), person("uni", "student2")
    for somebody in (lecturer, right, hostile):
        somebody.start("ml-101", "cpu-small")
    teaching = cluster_lab.opened(lecturer, "ml-101")
    teaching.run(SOURCE.replace("ASSIGNMENT", assignment))
    run_nbgrader(teaching, "generate_assignment", assignment)
    run_nbgrader(teaching, "release_assignment", assignment)
    forbidden = [["postgres", 5432], ["hub", 8081], ["service", 8080], ["10.250.128.1", 443], ["192.0.2.80", 80]]
    answers = {
        right: "def square(x):\n    return x * x",
        hostile: LOOK_AROUND.replace("HOSTS", repr([tuple(pair) for pair in forbidden])),
    }
    for student, answer in answers.items():
        server = cluster_lab.opened(student, "ml-101")
        assert assignment in run_nbgrader(server, "list")
        run_nbgrader(server, "fetch_assignment", assignment)
        server.run(SOLVE.replace("ASSIGNMENT", assignment).replace("CODE", repr(answer)))
        run_nbgrader(server, "submit", assignment)
        # A student has none of what staff has.
        assert ask(server, "GET", f"assignments/{assignment}/source")[0] == 403
        assert ask(server, "POST", f"assignments/{assignment}/runs", {})[0] == 403
        assert "KIRZL_LAB_GRADEBOOK" not in server.run("import os; print(sorted(os.environ))")
    run = graded(teaching, assignment)
    tasks = {task["student"]: task for task in run["tasks"]}
    assert {task["state"] for task in tasks.values()} == {"done"}, tasks
    assert (tasks[right.hub_name]["score"], tasks[hostile.hub_name]["score"]) == (3, 0)
    # From their own pod, with their own token, nobody gets at what is somebody else's.
    theirs, other = cluster_lab.opened(right, "ml-101"), tasks[hostile.hub_name]["submission"]
    for path in (
        *(f"submissions/{other}/{what}" for what in ("files", "graded", "feedback", "receipt")),
        *("submissions", "graded", "gradebook", "gradebook.csv", "roster", f"runs/{run['id']}"),
    ):
        assert ask(theirs, "GET", path)[0] in (403, 404), path
    # What the hostile one found out is in the graded notebook: nothing was reached, nothing was told.
    run_nbgrader(teaching, "collect", assignment)
    seen = teaching.run(
        "import io, os, tarfile, urllib.request\n"
        f"path = 'api/courses/ml-101/submissions/{tasks[hostile.hub_name]['submission']}/graded'\n"
        "asked = urllib.request.Request(os.environ['KIRZL_LAB_SERVICE_URL'] + path, "
        "headers={'Authorization': 'Bearer ' + os.environ['JUPYTERHUB_API_TOKEN']})\n"
        "with urllib.request.urlopen(asked) as answer, tarfile.open(fileobj=io.BytesIO(answer.read())) as archive:\n"
        "    print(archive.extractfile('squares.ipynb').read().decode())"
    )
    assert "reached [], told [], beside [], account False" in seen, seen[-3000:]
    wait_until(lambda: not api.get("jobs", "--namespace", GRADERS)["items"], "no Job to be left", 60)


def test_a_grader_that_is_killed_and_one_that_takes_too_much(cluster_lab: ClusterLab, person: LogIn) -> None:
    assignment = f"squares-{secrets.token_hex(4)}"
    lecturer, greedy, slow = person("uni", "lecturer"), person("uni", "student3"), person("uni", "student4")
    for somebody in (lecturer, greedy, slow):
        somebody.start("ml-101", "cpu-small")
    teaching = cluster_lab.opened(lecturer, "ml-101")
    teaching.run(SOURCE.replace("ASSIGNMENT", assignment))
    run_nbgrader(teaching, "generate_assignment", assignment)
    run_nbgrader(teaching, "release_assignment", assignment)
    answers = {
        greedy: "hoard = []\nwhile True:\n    hoard.append(bytearray(64 << 20))",
        slow: "import time\ntime.sleep(12)\n\ndef square(x):\n    return x * x",
    }
    for student, answer in answers.items():
        server = cluster_lab.opened(student, "ml-101")
        run_nbgrader(server, "fetch_assignment", assignment)
        server.run(SOLVE.replace("ASSIGNMENT", assignment).replace("CODE", repr(answer)))
        run_nbgrader(server, "submit", assignment)
    _, begun = ask(teaching, "POST", f"assignments/{assignment}/runs", {})

    def look() -> dict[str, dict[str, Any]]:
        _, run = ask(teaching, "GET", f"runs/{begun['id']}")
        return {task["student"]: task for task in run["tasks"]}

    def pod() -> str | None:
        task = look()[slow.hub_name]
        found = api.get("pods", "--namespace", GRADERS, "--selector", f"kirzl-lab/grading-task={task['id']}")["items"]
        running = [
            each["metadata"]["name"]
            for each in found
            for status in each["status"].get("initContainerStatuses", [])
            if status["name"] == "execute" and "running" in status["state"]
        ]
        return running[0] if running else None

    running = wait_until(pod, "the slow one to run", 120)
    others_token_is_of_no_use(cluster_lab.opened(greedy, "ml-101"), running)
    api.kubectl(
        "delete",
        "pod",
        running,
        "--namespace",
        GRADERS,
        "--grace-period=0",
        "--force",
    )
    # The controller goes, too: another takes over where it was.
    cluster_lab.space.kubectl(
        "delete", "pod", "--selector", "app.kubernetes.io/component=controller", "--grace-period=0", "--force"
    )
    wait_until(lambda: all(task["state"] in ("done", "failed") for task in look().values()), "both to end", 240)
    ended = look()
    assert (ended[greedy.hub_name]["state"], ended[greedy.hub_name]["reason"]) == ("failed", "memory"), ended
    assert (ended[slow.hub_name]["state"], ended[slow.hub_name]["score"]) == ("done", 3), ended
    assert ended[slow.hub_name]["attempt"] >= 2


def others_token_is_of_no_use(server: JupyterServer, grader: str) -> None:
    """The token with which a colleague's grader reports, in a student's hands: by the lab's address, and by its own."""
    (report,) = api.get("pods", grader, "--namespace", GRADERS)["spec"]["containers"]
    (token,) = (each["value"] for each in report["env"] if each["name"] == "KIRZL_LAB_TASK_TOKEN")
    endpoint = next(word for word in report["command"] if word.startswith("http://"))
    said = server.run(
        "import os, urllib.error, urllib.request\n"
        f"for address in (os.environ['KIRZL_LAB_SERVICE_URL'] + 'api/tasks', {endpoint!r}):\n"
        "    for method, what in (('GET', 'prepared'), ('PUT', 'result')):\n"
        "        asked = urllib.request.Request(f'{address}/{what}', data=b'x' if method == 'PUT' else None, method=method,\n"
        f"            headers={{'Authorization': 'Bearer {token}', 'Content-Type': 'application/gzip'}})\n"
        "        try:\n"
        "            print(urllib.request.urlopen(asked, timeout=3).status)\n"
        "        except urllib.error.HTTPError as error:\n"
        "            print(error.code)\n"
        "        except OSError:\n"
        "            print('unreachable')\n"
    )
    first, second, *by_its_own = said.split()
    assert (first, second) == ("404", "404"), said
    assert by_its_own == ["unreachable", "unreachable"], said


def test_a_colleagues_gradebook_is_not_to_be_had(cluster_lab: ClusterLab, person: LogIn) -> None:
    lecturer = person("uni", "lecturer")
    lecturer.start("ml-101", "cpu-small")
    teaching = cluster_lab.opened(lecturer, "ml-101")
    page = f"{cluster_lab.url}/services/lab/courses/dl-201/gradebook"  # with it there is one
    other = person("uas", "lecturer").http.get(page, headers={"Accept": "text/html"})
    assert other.status_code == 200, other.text[-2000:]
    schemas = cluster_lab.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'kirzl\\_%\\_dl-201'")
    elsewhere = f'"{schemas.splitlines()[0]}".grade'
    said = teaching.run(
        "import os, psycopg\n"
        "url = os.environ['KIRZL_LAB_GRADEBOOK'].replace('postgresql+psycopg', 'postgresql')\n"
        "with psycopg.connect(url) as connection:\n"
        "    print(connection.execute('SELECT current_user').fetchone()[0])\n"
        f"    for table in ('public.persons', 'public.submissions', {elsewhere!r}):\n"
        "        try:\n"
        "            with connection.transaction():\n"
        "                connection.execute(f'SELECT 1 FROM {table}')\n"
        "            print('read', table)\n"
        "        except psycopg.Error as error:\n"
        "            print('refused', table, type(error).__name__)\n"
    )
    assert "read" not in said.replace("already", ""), said
    assert said.count("refused") == 3
