"""`kirzl-lab up` and its siblings on the real lab."""

import json
import os
import signal
import socket
from pathlib import Path

import httpx
import pytest

from kirzl_lab.cli.exits import Exit
from kirzl_lab.cli.processes import end_leftovers
from kirzl_lab.cli.state import Folder, read_note
from tests.laptop.conftest import Start, cgroups_of, left_of, running
from tests.support.people import Person
from tests.support.running_lab import lab, run_command
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.laptop, pytest.mark.node]


def test_in_the_background_from_up_to_down(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with lab(data, "--demo", "--port", str(port)) as there:
            assert there.url != f"http://localhost:{port}"
            assert "Demo University" in httpx.get(f"{there.url}/hub/login").text
            status = json.loads(run_command("status", "--json", "--data", str(data)).stdout)
            assert status["health"] == dict.fromkeys(("proxy", "hub", "service", "demo"), "ok")
            assert all(Path(f"/proc/{pid}").exists() for pid in status["pids"].values())
            second = run_command("up", "--no-browser", "--data", str(data))
            assert second.returncode == Exit.RUNS_ALREADY
            assert f"already at {there.url}" in second.stderr
            applied = run_command("catalog", "apply", "--data", str(data))
            assert applied.stdout == "✓ The lab knows this catalogue already.\n"
            down = run_command("down", "--data", str(data))
            assert down.stdout == "The lab has ended.\n"
            assert run_command("status", "--data", str(data)).returncode == Exit.NO
            assert left_of(data) == []


def test_in_the_foreground_until_ctrl_c(data: Path, start: Start) -> None:
    supervisor = start()
    url = running(data, supervisor)
    assert httpx.get(f"{url}/hub/login").status_code == 200
    supervisor.send_signal(signal.SIGINT)
    said, _ = supervisor.communicate(timeout=30)
    assert supervisor.returncode == 0
    assert f"The lab runs at {url}" in said
    assert "student1" in said
    assert said.endswith("The lab has ended.\n")
    assert left_of(data) == []


def test_a_mistake_in_the_catalogue_stops_the_start(data: Path, tmp_path: Path) -> None:
    course = tmp_path / "courses" / "ml-101"
    course.mkdir(parents=True)
    (course / "course.yaml").write_text("titel: x\n")
    (course / "roster.csv").write_text("institution\n")
    up = run_command("up", "--no-browser", "--data", str(data), "--courses", str(course.parent))
    assert up.returncode == Exit.NO
    assert "The catalogue has mistakes:" in up.stderr
    assert "course.yaml:1: found" in up.stderr and "roster.csv" in up.stderr
    assert left_of(data) == []


@pytest.mark.slow
@pytest.mark.parametrize("plain", [False, True], ids=["namespace", "plain"])
@pytest.mark.parametrize("victim", ["hub", "supervisor"])
def test_everything_ends_with_the_hub_and_with_the_supervisor(
    data: Path, start: Start, victim: str, plain: bool
) -> None:
    supervisor = start(plain=plain)
    person = Person(running(data, supervisor))
    person.login("uni", "student1")
    person.start("ml-101", "cpu-small")
    server = wait_until(
        lambda: (person.server("ml-101") or {}).get("ready") and person.server("ml-101"), "a server", 90
    )
    # Log in at the server, then open a terminal: a shell in a session of its own.
    person.http.get(f"{person.lab_url}{server['url']}lab")
    xsrf = next(c.value for c in person.http.cookies.jar if c.name == "_xsrf" and c.path == server["url"])
    terminal = person.http.post(f"{person.lab_url}{server['url']}api/terminals", headers={"X-XSRFToken": xsrf or ""})
    assert terminal.status_code == 200, terminal.text
    assert any("bash" in line for line in left_of(data))
    note = read_note(Folder.at(data))
    assert note is not None
    os.kill(note.pids[victim], signal.SIGKILL)
    said, _ = supervisor.communicate(timeout=30)
    person.close()
    if victim == "hub":
        assert supervisor.returncode not in (0, -9)
        assert "The hub was ended by SIGKILL, so the lab ends." in said
    wait_until(lambda: not left_of(data), "the end of everything", 20)
    # The next start has nothing in its way, and clears away what the kernel does not.
    assert end_leftovers(data) == []
    again = start(plain=plain)
    running(data, again)
    assert cgroups_of(data) == []
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=30)
    assert left_of(data) == []
