"""A real JupyterHub with nothing of the lab but its laptop spawner (`laptop_hub.py`)."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from kirzl_lab.spawning import processes
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
SECRETS = {
    "JUPYTERHUB_CRYPT_KEY": "ab" * 32,
    "KIRZL_LAB_SERVICE_TOKEN": "secret-service-token",
    "CONFIGPROXY_AUTH_TOKEN": "secret-proxy-token",
    "KIRZL_LAB_UAS_SECRET": "secret-of-a-client",
    "KIRZL_LAB_DATABASE_URL": "postgresql://secret-database",
}


@dataclass(frozen=True)
class Server:
    """A server that runs: its process, and its API."""

    process: psutil.Process
    api: httpx.Client

    def environment(self) -> dict[str, str]:
        return self.process.environ()

    def family(self) -> list[psutil.Process]:
        return processes.family(0, 0.0, self.environment()[processes.MARK])


class LaptopHub:
    """The hub as a process, and its REST API."""

    user = "bcd234"

    def __init__(self, data: Path) -> None:
        self.data = data
        self.log = data / "hub.log"
        ports = [_free_port() for _ in range(3)]
        self.url = f"http://127.0.0.1:{ports[0]}"
        token = os.urandom(16).hex()
        environment = (
            os.environ
            | SECRETS
            | {
                "KIRZL_LAB_DATA": str(data),
                "PYTHONPATH": str(ROOT),
                "TEST_PORT": str(ports[0]),
                "TEST_HUB_PORT": str(ports[1]),
                "TEST_PROXY_PORT": str(ports[2]),
                "TEST_TOKEN": token,
                "TEST_PROXY_COMMAND": str(ROOT / "node_modules/.bin/configurable-http-proxy"),
            }
        )
        command = [sys.executable, "-m", "jupyterhub", "-f", str(Path(__file__).with_name("laptop_hub.py"))]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, cwd=data, stdout=log, stderr=log)
        self.api = httpx.Client(base_url=f"{self.url}/hub/api", headers={"Authorization": f"token {token}"}, timeout=90)

    def wait_until_up(self) -> None:
        def up() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return self.api.get("/").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(up, "the hub")
        self.api.post(f"/users/{self.user}").raise_for_status()

    def request(self, name: str, **options: Any) -> httpx.Response:
        return self.api.post(f"/users/{self.user}/servers/{name}", json={"user_options": {"x": 1} | options})

    def start(self, name: str, **options: Any) -> Server:
        response = self.request(name, **options)
        assert response.status_code in (201, 202), response.text + self.log.read_text()
        wait_until(lambda: self.model(name).get("ready"), f"{name} ready")
        pid = self.model(name)["state"]["pid"]
        return Server(psutil.Process(pid), self.server_api(name))

    def server_api(self, name: str) -> httpx.Client:
        base_url = f"{self.url}/user/{self.user}/{name}/api"
        return httpx.Client(base_url=base_url, headers=self.api.headers, timeout=60)

    def model(self, name: str) -> dict[str, Any]:
        servers = self.api.get(f"/users/{self.user}", params={"include_stopped_servers": "1"}).json()["servers"]
        return servers.get(name, {})

    def stop(self, name: str) -> None:
        response = self.api.delete(f"/users/{self.user}/servers/{name}")
        assert response.status_code in (202, 204), response.text
        wait_until(lambda: self.model(name).get("stopped"), f"{name} stopped")

    def home(self, purpose: str = "work") -> Path:
        return self.data / "homes" / self.user / "ml-101" / purpose

    def close(self) -> None:
        # The supervisor of a lab ends everything with the hub; here the servers are stopped one by one.
        if self.process.poll() is None:
            for name in self.api.get(f"/users/{self.user}").json().get("servers", {}):
                self.stop(name)
        self.process.terminate()
        self.process.wait(30)
        self.api.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def laptop_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopHub]:
    """A hub with a data folder whose name needs care: JupyterHub formats the root folder of a server."""
    hub = LaptopHub(tmp_path_factory.mktemp("data {x} ä"))
    try:
        hub.wait_until_up()
        yield hub
    finally:
        hub.close()
