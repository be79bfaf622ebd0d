"""A real hub with the cluster spawner (`cluster_hub.py`): a process of this machine in the cluster's network."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.space import Space
from tests.support.waiting import wait_until
from tools.onenode import network, paths

ROOT = Path(__file__).parents[2]
API_INSIDE = f"https://{network.API_SERVICE}:443"


class SpawnerHub:
    """The hub, its REST API, and the namespace in which it makes pods."""

    user = "bcd234"

    def __init__(self, folder: Path, space: Space, images: dict[str, str], ports: tuple[int, int]) -> None:
        self.space = space
        self.log = folder / "hub.log"
        self._folder = folder
        self._port, forwarded = ports
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(paths.KUBECONFIG.read_text().replace(f"https://127.0.0.1:{network.API_PORT}", API_INSIDE))
        site = folder / "cluster.json"
        hub = f"http://{network.NODE_ADDRESS}:{self._port}"
        site.write_text(
            json.dumps(
                {
                    "namespace": space.name,
                    "release": "test",
                    "images": images,
                    "image_pull_policy": "Never",
                    "shared_storage_class": "shared",
                    "hub_url": hub,
                    "service_url": hub,
                    "proxy_api_url": hub,
                }
            )
        )
        token = secrets.token_hex(16)
        self._environment = os.environ | {
            "KUBECONFIG": str(kubeconfig),
            "KIRZL_LAB_CLUSTER": str(site),
            "TEST_DATA": str(folder),
            "TEST_HUB_PORT": str(self._port),
            "TEST_NODE": network.NODE_ADDRESS,
            "TEST_TOKEN": token,
            "PYTHONPATH": str(ROOT),
        }
        self._forwarder = subprocess.Popen(
            [sys.executable, "-m", "tools.onenode.forwarder", str(forwarded), f"{network.NODE_ADDRESS}:{self._port}"],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        self.api = httpx.Client(
            base_url=f"http://127.0.0.1:{forwarded}/hub/api", headers={"Authorization": f"token {token}"}, timeout=120
        )
        self.process = self._run()

    def _run(self) -> "subprocess.Popen[bytes]":
        config = Path(__file__).with_name("cluster_hub.py")
        command = [*network.ENTER, sys.executable, "-m", "jupyterhub", "-f", str(config)]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, env=self._environment, cwd=self._folder, stdout=log, stderr=log)

    def wait_until_up(self) -> None:
        def up() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return self.api.get("/").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(up, "the hub", 60)
        assert self.api.post(f"/users/{self.user}").status_code in (201, 409)

    def kill(self) -> None:
        """SIGKILL, and a new one on the same database."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.process = self._run()
        self.wait_until_up()

    def request(self, name: str, **options: Any) -> httpx.Response:
        return self.api.post(f"/users/{self.user}/servers/{name}", json={"user_options": {"x": 1} | options})

    def start(self, name: str, **options: Any) -> dict[str, Any]:
        """Start a server and wait for it; its pod."""
        response = self.request(name, **options)
        assert response.status_code in (201, 202), response.text + self.log.read_text()
        wait_until(lambda: self.model(name).get("ready"), f"{name} ready", 90)
        return self.pod(options.get("space", "ml-101"), options.get("purpose", "work"))

    def failed(self, name: str, **options: Any) -> tuple[list[str], int, str]:
        """Start a server that cannot start: the steps, the status and the words that its person sees."""
        response = self.request(name, **options)
        assert response.status_code in (201, 202), response.text
        told = self.api.get(f"/users/{self.user}/servers/{name}/progress").text
        events = [json.loads(line.removeprefix("data: ")) for line in told.splitlines() if line.startswith("data: ")]
        assert events[-1].get("failed"), events
        wait_until(lambda: self.model(name).get("stopped"), f"{name} given up")
        words = events[-1]["message"].removeprefix("Spawn failed: ")
        status = re.findall(r"Not starting .*'s server .*?: (\d+) ", self.log.read_text())[-1]
        return [event["message"] for event in events[:-1]], int(status), words

    def model(self, name: str) -> dict[str, Any]:
        servers = self.api.get(f"/users/{self.user}", params={"include_stopped_servers": "1"}).json()["servers"]
        found: dict[str, Any] = servers.get(name, {})
        return found

    def stop(self, name: str) -> None:
        response = self.api.delete(f"/users/{self.user}/servers/{name}")
        assert response.status_code in (202, 204), response.text
        wait_until(lambda: self.model(name).get("stopped"), f"{name} stopped", 60)

    def pods(self) -> list[dict[str, Any]]:
        found = json.loads(self.space.kubectl("get", "pods", "--output=json"))
        items: list[dict[str, Any]] = found["items"]
        return items

    def pod(self, space: str = "ml-101", purpose: str = "work") -> dict[str, Any]:
        name = f"server-{self.user}--{space}" + ("--preview" if purpose == "preview" else "")
        return dict(self.space.get("pod", name))

    def in_pod(self, *command: str, space: str = "ml-101") -> str:
        return self.space.kubectl("exec", f"server-{self.user}--{space}", "--", *command)

    def close(self) -> None:
        for process in (self.process, self._forwarder):
            process.terminate()
            process.wait(30)
        self.api.close()
