"""Servers that end for lack of work, as real processes of a real hub: what keeps one alive, and what does not."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import websocket

from kirzl_lab.spawning import last_words
from tests.spawning.conftest import LaptopHub, Server
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.laptop, pytest.mark.slow]

LIMIT_S = 9.0
POLLS = ("/kernels", "/sessions", "/terminals", "/contents", "/contents/notes.txt", "/status", "/kernelspecs")
"""What JupyterLab asks for by itself, again and again (seen in a browser)."""


def start(hub: LaptopHub, name: str) -> Server:
    return hub.start(name, idle_hours=LIMIT_S / 3600)


def stopped(hub: LaptopHub, name: str) -> Callable[[], bool]:
    return lambda: bool(hub.model(name).get("stopped"))


@contextmanager
def channel(server: Server, kernel: str) -> Iterator[websocket.WebSocket]:
    """What a browser tab holds open for a kernel."""
    url = str(server.api.base_url).replace("http:", "ws:").rstrip("/")
    headers = [f"Authorization: {server.api.headers['Authorization']}"]
    opened = websocket.create_connection(f"{url}/kernels/{kernel}/channels", timeout=30, header=headers)
    try:
        yield opened
    finally:
        opened.close()


def ask_kernel(opened: websocket.WebSocket, kind: str, content: dict[str, Any]) -> None:
    header = {"msg_id": secrets.token_hex(8), "msg_type": kind, "session": "test", "username": "", "version": "5.3"}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    opened.send(json.dumps(message))


def execute(opened: websocket.WebSocket, code: str) -> None:
    ask_kernel(opened, "execute_request", {"code": code, "silent": False, "store_history": False, "allow_stdin": False})


def kernel_of(server: Server) -> str:
    kernel: str = server.api.post("/kernels", json={"name": "python3"}).raise_for_status().json()["id"]
    return kernel


def must_live_on(hub: LaptopHub, name: str, during: Callable[[], object] = lambda: None) -> None:
    """Fail when the server ends within twice its limit."""
    deadline = time.monotonic() + 2 * LIMIT_S

    def over() -> bool:
        during()
        assert hub.model(name).get("ready"), "it ended although there was work"
        return time.monotonic() > deadline

    wait_until(over, "twice the limit")


def test_a_forgotten_tab_is_no_work(laptop_hub: LaptopHub) -> None:
    """It polls, holds the kernel's channel open and asks the kernel who it is: the server ends all the same."""
    server = start(laptop_hub, "forgotten")
    server.api.put("/contents/notes.txt", json={"type": "file", "format": "text", "content": "x"}).raise_for_status()
    kernel = kernel_of(server)
    server.api.post("/terminals", json={}).raise_for_status()
    family = wait_until(lambda: server.family() if len(server.family()) >= 3 else None, "kernel and terminal")
    with channel(server, kernel) as tab:

        def answered(path: str) -> None:
            try:
                server.api.get(path)
            except httpx.TransportError:
                if laptop_hub.model("forgotten").get("ready"):
                    raise
                # It ended between the question to the hub and this one: an end is what is waited for.

        def poll() -> bool:
            if laptop_hub.model("forgotten").get("ready"):
                for path in POLLS:
                    answered(path)
                ask_kernel(tab, "kernel_info_request", {})
            return bool(laptop_hub.model("forgotten").get("stopped"))

        wait_until(poll, "the end of a server with a forgotten tab", limit_s=6 * LIMIT_S)
    assert laptop_hub.model("forgotten")["state"] == last_words.remember(last_words.why(f"idle {LIMIT_S / 3600:g}"))
    assert not [each for each in family if each.is_running() and each.status() != "zombie"]
    log = (laptop_hub.data / "logs" / "servers" / f"{laptop_hub.user}.forgotten.log").read_text()
    assert "Its files are kept" in log
    assert (laptop_hub.home() / "notes.txt").read_text() == "x"


def test_a_running_cell_is_work_and_the_time_counts_from_its_end(laptop_hub: LaptopHub, tmp_path: Path) -> None:
    server = start(laptop_hub, "cell")
    done = tmp_path / "done"
    code = f"import pathlib, time\nwhile not pathlib.Path({str(done)!r}).exists(): time.sleep(0.1)"
    with channel(server, kernel_of(server)) as tab:
        execute(tab, code)
        must_live_on(laptop_hub, "cell")
    done.touch()
    wait_until(stopped(laptop_hub, "cell"), "the end after the cell", limit_s=6 * LIMIT_S)


def test_saving_files_is_work_and_a_save_that_is_refused_is_not(laptop_hub: LaptopHub) -> None:
    server = start(laptop_hub, "saves")
    body = {"type": "file", "format": "text", "content": "x"}
    must_live_on(laptop_hub, "saves", lambda: server.api.put("/contents/saved.txt", json=body).raise_for_status())

    def refused() -> bool:
        if laptop_hub.model("saves").get("ready"):
            server.api.put("/contents/no-such-folder/saved.txt", json=body)
        return bool(laptop_hub.model("saves").get("stopped"))

    wait_until(refused, "the end of a server whose saves fail", limit_s=6 * LIMIT_S)


def test_somebody_who_says_so_is_still_here(laptop_hub: LaptopHub) -> None:
    server = start(laptop_hub, "here")
    address = str(server.api.base_url).removesuffix("/api/") + "/kirzl-lab/idle"
    wait_until(lambda: server.api.get(address).json()["warn"], "the warning")
    standing = server.api.post(address).raise_for_status().json()
    assert standing["left_s"] == pytest.approx(LIMIT_S, abs=1)
    assert not standing["warn"]
    must_live_on(laptop_hub, "here", lambda: server.api.post(address).raise_for_status())
    laptop_hub.stop("here")
    assert "last_end" not in laptop_hub.model("here")["state"], "it was stopped by somebody"
