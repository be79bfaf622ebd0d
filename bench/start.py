"""From the click on Start to a JupyterLab that answers, ours beside a stock JupyterHub, in one run.

Ours: a demo lab on a fresh folder; a student logs in through a demo institution and starts `ml-101` from My spaces. The
peer: JupyterHub with SimpleLocalProcessSpawner and DummyAuthenticator, as its documentation starts one, in the same
environment. A start is over when the server's `/api` and `/lab` answer. The last line is one JSON object, in seconds.
"""

import argparse
import json
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from kirzl_lab.cli.ports import free_port
from tests.support.people import Person
from tests.support.running_lab import ROOT, lab

LIMIT_S = 120.0
PAUSE_S = 0.02


def until(condition: Callable[[], bool], what: str, limit: float = LIMIT_S) -> None:
    """Ask again and again until it is so, or raise `TimeoutError`."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {limit:g} s")
        time.sleep(PAUSE_S)  # a bench may look at the clock; a test may not


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
            until(lambda: answers(person.http, address), "our server")
            times.append(time.perf_counter() - begun)
            person.stop("ml-101")
            until(lambda: person.server("ml-101") is None or not person.server("ml-101")["ready"], "our stop")  # type: ignore[index]
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
                until(lambda: answers(http, f"{url}/user/somebody"), "the peer's server")
                times.append(time.perf_counter() - begun)
                http.delete(f"{url}/hub/api/users/somebody/server").raise_for_status()
                until(lambda: not http.get(f"{url}/hub/api/users/somebody").json()["servers"], "the peer's stop")
            return times


def answers(http: httpx.Client, address: str) -> bool:
    """Whether a server's API and its JupyterLab page answer."""
    try:
        api = http.get(f"{address}/api", follow_redirects=False)
        return api.status_code == 200 and http.get(f"{address}/lab").status_code == 200
    except httpx.TransportError:
        return False


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
        stdout=(folder / "log").open("w"),
        stderr=subprocess.STDOUT,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: reachable(f"{url}/hub/health"), "the peer")
        yield url, token
    finally:
        hub.terminate()
        hub.wait(timeout=30)


def reachable(address: str) -> bool:
    """Whether something answers there without an error."""
    try:
        return httpx.get(address, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def figures(times: list[float]) -> dict[str, float]:
    """Median and 95th percentile (the nearest rank), in seconds."""
    ranked = sorted(times)
    return {
        "p50_s": round(statistics.median(ranked), 2),
        "p95_s": round(ranked[min(len(ranked) - 1, round(0.95 * len(ranked)))], 2),
    }


def main() -> None:
    """Run both and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=10)
    starts = parser.parse_args().starts
    if shutil.which("node") is None:
        sys.exit("Node.js is not on PATH: run `make env` first.")
    mine, theirs = ours(starts), peer(starts)
    for name, times in (("kirzl-lab", mine), ("stock JupyterHub", theirs)):
        print(f"{name:18}", " ".join(f"{seconds:.2f}" for seconds in times))
    print(json.dumps({"starts": starts, **figures(mine), "peer": figures(theirs)}))


if __name__ == "__main__":
    main()
