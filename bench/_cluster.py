"""Starts on the one-machine cluster, for `start.py --cluster`: ours, a stock KubeSpawner's and a bare JupyterLab's.

All three use the same image, loaded before, and the limits of the size `cpu-small`. The stock hub is a JupyterHub of
the same version with a KubeSpawner as it comes, a home volume as Zero to JupyterHub gives it, in a namespace of its own;
hub and proxy run beside the pods, in the cluster's network. The bare JupyterLab is started in a pod that is there
already, and timed from inside it.
"""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from bench._answers import LIMIT_S, answers, reachable
from kirzl_lab.cli.ports import free_port
from tests.cluster.lab.lab import ClusterLab
from tests.cluster.lab.lab import installed as installed_lab
from tests.support.people import Person
from tests.support.running_lab import ROOT
from tests.support.waiting import wait_until
from tools import one_machine
from tools.onenode import api, cgroups, cluster
from tools.onenode.network import API_PORT, ENTER, NODE_ADDRESS
from tools.onenode.paths import KUBECONFIG

STOCK = "bench-stock"
IMAGE = "notebook"
Once = Callable[[], float]
"""One start, from the request until its JupyterLab answers, in seconds; whatever was started has ended again."""


@contextmanager
def installed() -> Iterator[tuple[ClusterLab, str]]:
    """The demo lab on the one-machine cluster, and the image of its CPU servers. A cluster that ran before goes on."""
    ran_before = KUBECONFIG.exists()
    cluster.up(print)
    try:
        yield installed_lab(), one_machine.built_images(print)[IMAGE].reference
    finally:
        if not ran_before:
            one_machine.down()


@contextmanager
def ours(lab: ClusterLab) -> Iterator[Once]:
    """A student of `ml-101` presses Start on My spaces."""
    person = Person(lab.url)
    person.login("uni", "student1")

    def once() -> float:
        person.http.get(f"{lab.url}/hub/home")
        begun = time.perf_counter()
        person.start("ml-101", "cpu-small")
        address = wait_until(lambda: (person.server("ml-101") or {}).get("full_url"), "our server's address", LIMIT_S)
        wait_until(lambda: answers(person.http, address.rstrip("/")), "our server", LIMIT_S)
        taken = time.perf_counter() - begun
        lab.close(person, "ml-101")
        return taken

    yield once
    person.close()


@contextmanager
def stock(image: str) -> Iterator[Once]:
    """The same through a stock hub's REST API."""
    with _namespace(), tempfile.TemporaryDirectory() as folder, _stock_hub(Path(folder), image) as (url, token):
        user = f"{url}/hub/api/users/somebody"
        with httpx.Client(headers={"Authorization": f"token {token}"}, timeout=30, follow_redirects=True) as http:
            http.post(user).raise_for_status()

            def once() -> float:
                begun = time.perf_counter()
                http.post(f"{user}/server").raise_for_status()
                wait_until(lambda: answers(http, f"{url}/user/somebody"), "the stock server", LIMIT_S)
                taken = time.perf_counter() - begun
                http.delete(f"{user}/server").raise_for_status()
                wait_until(lambda: not http.get(user).json()["servers"], "the stock stop", LIMIT_S)
                return taken

            yield once


@contextmanager
def bare(image: str) -> Iterator[Once]:
    """JupyterLab alone, as a process in a pod that waits; its time is taken beside it."""
    with _namespace("bench-bare") as kubectl:
        container = {
            "name": "bare",
            "image": image,
            "imagePullPolicy": "Never",
            "command": ["sleep", "infinity"],
            "resources": {"limits": {"cpu": "1", "memory": "2Gi"}},
        }
        pod = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
        kubectl("apply", "--filename=-", given=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"}, "spec": pod}))  # fmt: skip
        kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pod/bare")
        yield lambda: float(kubectl("exec", "bare", "--", "python", "-c", _BARE))


_BARE = """
import subprocess, time, urllib.request
begun = time.perf_counter()
lab = subprocess.Popen(["jupyter", "lab", "--port=9999", "--no-browser", "--IdentityProvider.token="],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
for path in ("/api", "/lab"):
    while True:
        try:
            urllib.request.urlopen("http://127.0.0.1:9999" + path).read()
            break
        except OSError:
            time.sleep(0.05)  # nothing tells from outside when a server begins to listen
print(time.perf_counter() - begun)
lab.kill()
lab.wait()
"""


@contextmanager
def _namespace(name: str = STOCK) -> Iterator[Callable[..., str]]:
    """A namespace that goes at the end; kubectl in it."""
    api.kubectl("create", "namespace", name)

    def kubectl(*arguments: str, given: str | None = None) -> str:
        return api.kubectl(f"--namespace={name}", *arguments, given=given)

    try:
        yield kubectl
    finally:
        api.kubectl("delete", "namespace", name)


@contextmanager
def _stock_hub(folder: Path, image: str) -> Iterator[tuple[str, str]]:
    """JupyterHub and its proxy in the cluster's network; an address that leads there, and an API token."""
    token, port, hub_port, api_port = secrets.token_hex(16), free_port(), free_port(), free_port()
    config = folder / "jupyterhub_config.py"
    config.write_text(_CONFIG.format(
        port=port, hub_port=hub_port, api_port=api_port, token=token, image=image, node=NODE_ADDRESS, namespace=STOCK,
        proxy=ROOT / "node_modules/.bin/configurable-http-proxy",
    ))  # fmt: skip
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(_inside())
    kubeconfig.chmod(0o600)
    log = (folder / "log").open("w")
    hub = subprocess.Popen(
        [*ENTER, sys.executable, "-m", "jupyterhub", "-f", str(config)],
        cwd=folder, env={**os.environ, "KUBECONFIG": str(kubeconfig)}, stdout=log, stderr=log,
    )  # fmt: skip
    door = subprocess.Popen(
        [sys.executable, "-m", "tools.onenode.forwarder", str(port), f"{NODE_ADDRESS}:{port}"], cwd=ROOT, stderr=log
    )
    try:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: reachable(f"{url}/hub/health"), "the stock hub", LIMIT_S)
        except AssertionError as error:
            raise AssertionError((folder / "log").read_text()[-3000:]) from error
        yield url, token
    finally:
        for process in (hub, door):
            process.terminate()
            process.wait(timeout=30)


def _inside() -> str:
    """The administrator's way in, for a process in the cluster's network."""
    config = json.loads(KUBECONFIG.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://{NODE_ADDRESS}:{API_PORT}"
    return json.dumps(config)


_CONFIG = """
c.JupyterHub.bind_url = "http://{node}:{port}"
c.JupyterHub.hub_bind_url = "http://{node}:{hub_port}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.command = ["{proxy}"]
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.KubeSpawner.namespace = "{namespace}"
c.KubeSpawner.image = "{image}"
c.KubeSpawner.image_pull_policy = "Never"
c.KubeSpawner.cmd = ["jupyterhub-singleuser"]
c.KubeSpawner.default_url = "/lab"
c.KubeSpawner.start_timeout = 120
c.KubeSpawner.cpu_limit, c.KubeSpawner.cpu_guarantee = 1, 0.1
c.KubeSpawner.mem_limit, c.KubeSpawner.mem_guarantee = "2G", "512M"
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_capacity = "1Gi"
c.KubeSpawner.fs_gid = 1000
c.KubeSpawner.volumes = [{{"name": "home", "persistentVolumeClaim": {{"claimName": "{{pvc_name}}"}}}}]
c.KubeSpawner.volume_mounts = [{{"name": "home", "mountPath": "/home/jovyan"}}]
c.JupyterHub.services = [{{"name": "bench", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [{{"name": "bench", "services": ["bench"],
    "scopes": ["admin:users", "admin:servers", "access:servers"]}}]
"""


def resident_mib() -> dict[str, int]:
    """What is resident now, in MiB, shared pages counted once: the lab's pods, and all of the cluster with them."""
    pods = {pod["metadata"]["uid"] for pod in api.get("pods", f"--namespace={one_machine.NAMESPACE}")["items"]}
    lab = total = 0
    for pid in cgroups.processes():
        with suppress(OSError, psutil.Error):
            size = psutil.Process(pid).memory_full_info().pss
            total += size
            group = Path(f"/proc/{pid}/cgroup").read_text()
            lab += size if any(uid in group for uid in pods) else 0
    return {"lab": lab >> 20, "cluster_with_lab": total >> 20}
