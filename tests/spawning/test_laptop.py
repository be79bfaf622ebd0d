"""Servers as real processes of a real hub: what they know, where they write, how they end."""

import os
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from kirzl_lab.spawning import contents, laptop, limits
from tests.spawning.conftest import SECRETS, LaptopHub, Server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.laptop

GREEDY = "b = []\nwhile True: b.append(bytearray(16 << 20))"


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("materials")
    (folder / "01.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    return folder


@pytest.fixture
def server(laptop_hub: LaptopHub, materials: Path) -> Server:
    """The one server that most tests look at; started once, kept running."""
    if laptop_hub.model("ml").get("ready"):
        pid = laptop_hub.model("ml")["state"]["pid"]
        return Server(psutil.Process(pid), laptop_hub.server_api("ml"))
    return laptop_hub.start("ml", materials=str(materials))


def test_nothing_secret_of_the_hub_is_in_a_servers_environment(server: Server) -> None:
    environment = server.environment()
    assert not set(SECRETS) & set(environment)
    assert not [value for value in environment.values() for secret in SECRETS.values() if secret in value]
    ours = {name for name in environment if name.startswith(("KIRZL_", "JUPYTERHUB_"))}
    assert "JUPYTERHUB_API_TOKEN" in ours
    assert not {name for name in ours if "SECRET" in name or "CRYPT" in name or "DATABASE" in name}


def test_the_folder_is_the_choices_and_closed(laptop_hub: LaptopHub, server: Server) -> None:
    home = laptop_hub.home()
    assert server.process.cwd() == str(home)
    assert server.environment()["HOME"] == str(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    server.api.put("/contents/work.txt", json={"type": "file", "format": "text", "content": "x"}).raise_for_status()
    assert (home / "work.txt").read_text() == "x"


def test_it_listens_on_loopback_only(server: Server) -> None:
    listening = [each for each in server.process.net_connections("inet") if each.status == psutil.CONN_LISTEN]
    assert {each.laddr.ip for each in listening} == {"127.0.0.1"}


def test_no_connection_leads_off_this_machine(server: Server) -> None:
    remote = {each.raddr.ip for each in server.process.net_connections("inet") if each.raddr}
    assert remote <= {"127.0.0.1"}


def test_students_read_the_materials_and_cannot_save_there(server: Server, materials: Path) -> None:
    listed = server.api.get("/contents/materials").json()
    assert [entry["name"] for entry in listed["content"]] == ["01.ipynb"]
    assert listed["writable"] is False
    body = {"type": "file", "format": "text", "content": "lost"}
    assert server.api.put("/contents/materials/lost.txt", json=body).status_code >= 400
    assert server.api.put("/contents/materials/01.ipynb", json=body).status_code >= 400
    assert [path.name for path in materials.iterdir()] == ["01.ipynb"]


def test_a_new_notebook_among_the_materials_is_refused_in_words(server: Server) -> None:
    for kind in ("notebook", "file", "directory"):
        response = server.api.post("/contents/materials", json={"type": kind})
        assert (response.status_code, response.json()["message"]) == (403, contents.READ_ONLY)


def test_staff_write_the_courses_own_folder(laptop_hub: LaptopHub, tmp_path: Path) -> None:
    server = laptop_hub.start("staff", role="instructor", materials=str(tmp_path))
    try:
        body = {"type": "file", "format": "text", "content": "new"}
        server.api.put("/contents/materials/new.txt", json=body).raise_for_status()
        assert (tmp_path / "new.txt").read_text() == "new"
    finally:
        laptop_hub.stop("staff")


def test_who_runs_a_course_has_its_folder_and_nobody_else(laptop_hub: LaptopHub) -> None:
    link, shared = laptop_hub.home() / "course", laptop_hub.data / "spaces/ml-101/course"
    for role, purpose, shown in (("assistant", "work", True), ("student", "work", False)):
        environment = laptop_hub.start("runs", role=role, purpose=purpose).environment()
        laptop_hub.stop("runs")
        assert link.is_symlink() is shown
        assert (environment.get("KIRZL_LAB_GRADEBOOK") is not None) is shown
        assert environment["KIRZL_LAB_STAFF"] == ("1" if shown else "")
        assert not shown or (link.readlink() == shared and shared.is_dir())


def test_no_file_of_the_person_becomes_a_module_of_the_server(laptop_hub: LaptopHub) -> None:
    home = laptop_hub.home("preview")
    home.mkdir(parents=True, exist_ok=True)
    (home / "json.py").write_text("raise SystemExit('not json')")
    laptop_hub.start("shadow", purpose="preview")
    laptop_hub.stop("shadow")


def test_a_server_keeps_to_its_size(laptop_hub: LaptopHub, server: Server) -> None:
    if limits.describe() == "none":
        (pytest.fail if os.environ.get("CI") else pytest.skip)("this machine offers neither systemd nor cgroups")
    name = limits.name_of(laptop_hub.data, laptop_hub.user, "ml")
    assert name in Path(f"/proc/{server.process.pid}/cgroup").read_text()
    assert server.environment()["MEM_LIMIT"] == str(2**30)


def test_kernels_and_what_they_started_end_with_the_server(laptop_hub: LaptopHub) -> None:
    server = laptop_hub.start("tree")
    server.api.post("/kernels", json={"name": "python3"}).raise_for_status()
    server.api.post("/terminals", json={}).raise_for_status()
    wait_until(lambda: len(server.family()) >= 3, "server, kernel and terminal")
    family = server.family()
    laptop_hub.stop("tree")
    assert not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_a_server_that_is_killed_takes_its_kernels_along_and_says_so(laptop_hub: LaptopHub) -> None:
    server = laptop_hub.start("killed")
    server.api.post("/kernels", json={"name": "python3"}).raise_for_status()
    wait_until(lambda: len(server.family()) >= 2, "server and kernel")
    family = server.family()
    server.process.send_signal(signal.SIGKILL)
    wait_until(lambda: laptop_hub.model("killed").get("stopped"), "the hub to notice")
    assert laptop_hub.model("killed")["state"] == {"last_end": laptop.ENDED_ITSELF}
    assert not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_a_server_that_took_too_much_memory_says_so(laptop_hub: LaptopHub) -> None:
    if limits.describe() == "none":
        (pytest.fail if os.environ.get("CI") else pytest.skip)("this machine offers neither systemd nor cgroups")
    config = laptop_hub.home() / ".jupyter"
    config.mkdir(exist_ok=True)
    # A person's own configuration that makes the server itself, and no kernel, take memory.
    (config / "jupyter_server_config.py").write_text(GREEDY)
    try:
        response = laptop_hub.request("greedy", memory_gib=0.3)
        assert response.status_code == 500
        assert response.json()["message"] == laptop.OUT_OF_MEMORY
    finally:
        (config / "jupyter_server_config.py").unlink()


def test_a_start_that_fails_says_so_in_words_and_tells_operators_why(laptop_hub: LaptopHub) -> None:
    response = laptop_hub.request("broken", broken=True)
    assert response.status_code == 500
    assert response.json()["message"] == laptop.NOT_STARTED
    log = (laptop_hub.data / "logs" / "servers" / f"{laptop_hub.user}.broken.log").read_text()
    assert "JUPYTERHUB_SERVICE_URL" in log
    assert "JUPYTERHUB_SERVICE_URL" in laptop_hub.log.read_text()
    assert laptop_hub.process.poll() is None


def test_progress_tells_the_steps_as_they_happen(laptop_hub: LaptopHub, materials: Path) -> None:
    path = f"/users/{laptop_hub.user}/servers/progress"
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(laptop_hub.request, "progress", materials=str(materials))
        wait_until(lambda: laptop_hub.model("progress").get("pending") == "spawn", "the start")
        told = laptop_hub.api.get(f"{path}/progress").text
        assert starting.result().status_code in (201, 202)
    messages = [step.value for step in laptop.Step]
    assert [message for message in messages if f'"message": "{message}"' in told] == messages
    assert '"ready": true' in told
    laptop_hub.stop("progress")
