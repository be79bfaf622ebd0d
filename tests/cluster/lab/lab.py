"""The demo lab on the cluster, as its tests use it: people's servers, the lab's own parts, and how to kill them."""

import json
import os
import signal
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from kirzl_lab.cli.ports import free_port
from tests.cluster.space import Space
from tests.support.jupyter import JupyterServer
from tests.support.people import Person
from tests.support.waiting import wait_until
from tools import one_machine
from tools.onenode import api, cgroups

PARTS = ("hub", "proxy", "service", "postgres")
START_LIMIT_S = 60.0
_PSQL = 'PGPASSWORD="$(cat /run/secrets/postgres/KIRZL_LAB_DATABASE_PASSWORD)" psql -h 127.0.0.1 -U postgres -d lab -At'
_SCRAPE = """
import os, sys, urllib.request
token = {"Authorization": f"Bearer {os.environ['KIRZL_LAB_METRICS_TOKEN']}"}
print(urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=token)).read().decode())
"""
Thing = Mapping[str, Any]


@dataclass(frozen=True)
class ClusterLab:
    """Where the lab is, and its namespace."""

    url: str
    space: Space

    def open(self, person: Person, space: str, size: str, purpose: str = "work") -> JupyterServer:
        """Press Start, wait for the server and open it."""
        answer = person.start(space, size, purpose)
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text[-2000:]}"
        return self.opened(person, space if purpose == "work" else f"{space}-view")

    def opened(self, person: Person, server: str) -> JupyterServer:
        """Wait for a server that is starting, and open it."""
        model = wait_until(lambda: _ready(person, server), f"{server} of {person.hub_name}", START_LIMIT_S)
        jupyter = JupyterServer(person.http, model["full_url"].rstrip("/"))
        page = jupyter.open()
        assert page.status_code == 200, f"{page.status_code} at {page.url}: {page.text[-2000:]}"
        return jupyter

    def close(self, person: Person, server: str) -> None:
        """Press Stop, and wait until nothing of the server is left."""
        person.stop(server)
        wait_until(lambda: not (person.server(server) or {}).get("ready"), f"the end of {server}", START_LIMIT_S)
        wait_until(lambda: not self.server_pods(person.hub_name, server), f"the end of {server}'s pod", START_LIMIT_S)

    def install(self, courses: Path = one_machine.COURSES, values: Mapping[str, Any] | None = None) -> None:
        """Bring the lab up to date, with other courses or values."""
        installed(courses, values, port=httpx.URL(self.url).port)

    def close_all(self, person: Person) -> None:
        """End every server of the person, and every start that is under way."""
        for server in person.api("GET", f"/users/{person.hub_name}").raise_for_status().json()["servers"]:
            self.close(person, server)

    def server_pods(self, hub_name: str = "", server: str = "") -> list[Thing]:
        """The pods of people's servers, or of this person's, or of this one."""
        pods = self._pods("app.kubernetes.io/component=singleuser-server")
        return [
            pod
            for pod in pods
            if pod["metadata"]["name"].startswith(f"server-{hub_name}")
            and server in ("", pod["metadata"]["annotations"]["hub.jupyter.org/servername"])
        ]

    def server_pod(self, hub_name: str) -> Thing:
        """The pod of this person's one server."""
        (pod,) = self.server_pods(hub_name)
        return pod

    def part(self, name: str) -> Thing:
        """The pod of a part of the lab, such as `hub`, that is there to stay; waits for one."""
        return wait_until(lambda: next(iter(self._staying(name)), None), f"a pod of {name}")

    def ready(self, name: str) -> None:
        """Returns when a pod of this part is Ready."""
        wait_until(lambda: any(api.condition(pod, "Ready") for pod in self._staying(name)), f"{name} to be Ready", 90)

    def kill_pod(self, name: str) -> float:
        """SIGKILL to a part by the API: the pod is gone at once and another is made. The moment, as `monotonic`."""
        pod = self.part(name)["metadata"]["name"]
        moment = time.monotonic()
        self.space.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")
        return moment

    def kill_processes(self, name: str) -> float:
        """SIGKILL to every process of a part, as when memory runs out: its container is started again."""
        identities = [
            status["containerID"].rpartition("/")[2] for status in self.part(name)["status"]["containerStatuses"]
        ]
        moment = time.monotonic()
        killed = 0
        for pid in cgroups.processes():
            with suppress(OSError, psutil.Error):
                if any(identity in Path(f"/proc/{pid}/cgroup").read_text() for identity in identities):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        assert killed, f"{name} has no process"
        return moment

    def run(self, part: str, *command: str) -> str:
        """What a command prints that runs beside a part, in its container."""
        return self.space.kubectl("exec", self.part(part)["metadata"]["name"], f"--container={part}", "--", *command)

    def sql(self, statement: str) -> str:
        """What the lab database answers: one line for each row, `|` between columns."""
        return self.run("postgres", "sh", "-c", f'{_PSQL} -c "$0"', statement).strip()

    def metrics(self, part: str) -> str:
        """What a part tells Prometheus, asked from its own container."""
        port, path = {"hub": (8081, "/hub/metrics"), "service": (8080, "/services/lab/metrics")}[part]
        return self.run(part, "python", "-c", _SCRAPE, f"http://127.0.0.1:{port}{path}")

    def _pods(self, selector: str) -> list[Thing]:
        found: list[Thing] = api.get(f"--namespace={self.space.name}", "pods", f"--selector={selector}")["items"]
        return found

    def _staying(self, name: str) -> list[Thing]:
        pods = self._pods(f"app.kubernetes.io/name=kirzl-lab,app.kubernetes.io/component={name}")
        return [
            pod
            for pod in pods
            if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] in {"Pending", "Running"}
        ]


def installed(
    courses: Path = one_machine.COURSES, values: Mapping[str, Any] | None = None, port: int | None = None
) -> ClusterLab:
    """The lab as `make cluster` installs it, or an upgrade of the one that is there; `values` win over its own.

    Without a port it is the one that leads to the lab already, or else a free one.
    """
    begun = time.monotonic()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values or {}, file)
        file.flush()
        url = one_machine.install(port=port or _port(), courses=courses, values=[Path(file.name)], say=_say)
    print(f"the lab is installed and its login page answers: {time.monotonic() - begun:.1f} s")
    return ClusterLab(url, Space(one_machine.NAMESPACE))


def _port() -> int:
    found = api.kubectl(
        "get",
        "service",
        "proxy",
        f"--namespace={one_machine.NAMESPACE}",
        "--ignore-not-found",
        "--output=jsonpath={.spec.ports[0].port}",
    )
    return int(found) if found else free_port()


def _say(line: str) -> None:
    print(line)


def restarts(pod: Thing) -> int:
    """How often containers of the pod were started again."""
    return sum(status["restartCount"] for status in pod["status"].get("containerStatuses", []))


def volumes(pod: Thing) -> set[str]:
    """The names of the claims that the pod mounts."""
    return {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }


def _ready(person: Person, server: str) -> dict[str, Any] | None:
    model = person.server(server)
    return model if model and model["ready"] else None
