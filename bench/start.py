"""From the click on Start to a JupyterLab that answers, ours beside a stock JupyterHub, in one run.

Ours: a demo lab on a fresh folder; a student logs in through a demo institution and starts `ml-101` from My spaces. The
peer: JupyterHub with SimpleLocalProcessSpawner and DummyAuthenticator, as its documentation starts one, in the same
environment. With `--cluster`: pods in place of processes; see `_cluster.py`. A start is over when the server's `/api`
and `/lab` answer. The last line is one JSON object, in seconds.
"""

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench._answers import LIMIT_S, answers, reachable
from bench._figures import spread
from kirzl_lab.cli.ports import free_port
from tests.support.people import Person
from tests.support.running_lab import ROOT, lab
from tests.support.waiting import wait_until


def ours(starts: int) -> list[float]:
    """Seconds of each start in our lab."""
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder), "--demo", "--port", str(free_port())) as running:
        person = Person(running.url)
        person.login("uni", "student1")
        address = f"{running.url}/user/{person.hub_name}/ml-101"
        times = []
        for _ in range(starts):
            person.http.get(f"{running.url}/hub/home")
            begun = time.perf_counter()
            person.start("ml-101", "cpu-small")
            wait_until(lambda: answers(person.http, address), "our server", LIMIT_S)
            times.append(time.perf_counter() - begun)
            person.stop("ml-101")
            wait_until(lambda: not (person.server("ml-101") or {}).get("ready"), "our stop", LIMIT_S)
        person.close()
        return times


def peer(starts: int) -> list[float]:
    """Seconds of each start in a stock JupyterHub."""
    with tempfile.TemporaryDirectory() as folder, stock_hub(Path(folder)) as (url, token):
        headers = {"Authorization": f"token {token}"}
        with httpx.Client(headers=headers, timeout=30, follow_redirects=True) as http:
            http.post(f"{url}/hub/api/users/somebody").raise_for_status()
            times = []
            for _ in range(starts):
                begun = time.perf_counter()
                http.post(f"{url}/hub/api/users/somebody/server").raise_for_status()
                wait_until(lambda: answers(http, f"{url}/user/somebody"), "the peer's server", LIMIT_S)
                times.append(time.perf_counter() - begun)
                http.delete(f"{url}/hub/api/users/somebody/server").raise_for_status()
                wait_until(
                    lambda: not http.get(f"{url}/hub/api/users/somebody").json()["servers"], "the peer's stop", LIMIT_S
                )
            return times


@contextmanager
def stock_hub(folder: Path) -> Iterator[tuple[str, str]]:
    """A JupyterHub as its documentation starts one; its address and an API token."""
    token, port, hub_port, api_port = secrets.token_hex(16), free_port(), free_port(), free_port()
    config = folder / "jupyterhub_config.py"
    config.write_text(
        f"""
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.command = {[str(ROOT / "node_modules/.bin/configurable-http-proxy")]!r}
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {str(folder / "home")!r}
c.Spawner.args = ["--allow-root"]
c.Spawner.default_url = "/lab"
c.JupyterHub.services = [{{"name": "bench", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [{{"name": "bench", "services": ["bench"],
    "scopes": ["admin:users", "admin:servers", "access:servers"]}}]
"""
    )
    (folder / "home").mkdir()
    hub = subprocess.Popen(
        [sys.executable, "-m", "jupyterhub", "-f", str(config)],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},  # for jupyterhub-singleuser
        stdout=(folder / "log").open("w"),
        stderr=subprocess.STDOUT,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: reachable(f"{url}/hub/health"), "the peer", LIMIT_S)
        yield url, token
    finally:
        hub.terminate()
        hub.wait(timeout=30)


def cluster(starts: int) -> dict[str, object]:
    """Figures of as many starts on the one-machine cluster, ours and the others' in turn."""
    from bench import _cluster  # noqa: PLC0415 - needs what only a machine with the cluster has

    with _cluster.installed() as (lab, image):
        resident = _cluster.resident_mib()
        times: dict[str, list[float]] = {"kirzl-lab": [], "stock KubeSpawner": [], "bare JupyterLab": []}
        with _cluster.ours(lab) as ours, _cluster.stock(image) as stock, _cluster.bare(image) as bare:
            for once in (ours, stock, bare):  # brings everything into memory, and makes homes
                once()
            for _ in range(starts):
                for taken, once in zip(times.values(), (ours, stock, bare), strict=True):
                    taken.append(once())
    show(times)
    mine, theirs, alone = (spread(taken) for taken in times.values())
    return {"starts": starts, **mine, "peer": theirs, "bare": alone, "resident_mib": resident}


def show(times: dict[str, list[float]]) -> None:
    """Every time that was taken."""
    for name, taken in times.items():
        print(f"{name:18}", " ".join(f"{seconds:.2f}" for seconds in taken))


def main() -> None:
    """Run ours and the peer, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, help="how many of each: 10, on the cluster 20")
    parser.add_argument("--cluster", action="store_true", help="pods on the one-machine cluster: root, minutes")
    chosen = parser.parse_args()
    if chosen.cluster:
        print(json.dumps(cluster(chosen.starts or 20)))
        return
    if shutil.which("node") is None:
        sys.exit("Node.js is not on PATH: run `make env` first.")
    starts = chosen.starts or 10
    times = {"kirzl-lab": ours(starts), "stock JupyterHub": peer(starts)}
    show(times)
    mine, theirs = (spread(taken) for taken in times.values())
    print(json.dumps({"starts": starts, **mine, "peer": theirs}))


if __name__ == "__main__":
    main()
