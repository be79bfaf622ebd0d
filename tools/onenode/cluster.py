"""The cluster as a whole: `up`, `down`, `forward`. Each may be called at any moment, and again."""

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from tools.onenode import (
    api,
    build,
    certificates,
    cgroups,
    components,
    configuration,
    host,
    images,
    manifests,
    mounts,
    network,
)
from tools.onenode.certificates import NODE
from tools.onenode.paths import CONFIG, LOCK, LOGS, RUN, STATE, VOLUMES
from tools.onenode.processes import Component
from tools.onenode.programs import PROGRAMS
from tools.onenode.waiting import until

_PORTS = RUN / "ports.json"
_USUAL_API_PORT = 6443
_NOT_STARTED = {"kwok"}  # built by `make tools` for scale tests; the cluster does without


class DiedError(Exception):
    """A component ended while we waited for it; the message has the end of its log."""


def up(say: Callable[[str], None]) -> None:
    """Brings the cluster to the state in which everything is ready, from whatever state it is in."""
    host.check()
    host.prepare()
    build.build([program for program in PROGRAMS if program.name not in _NOT_STARTED])
    with _locked():
        begin = time.monotonic()
        _make_ready()
        say(f"network namespace, certificates, configuration: {time.monotonic() - begin:.1f} s")
        _start_control_plane()
        say(f"API server ready: {time.monotonic() - begin:.1f} s")
        with ThreadPoolExecutor(2) as pool:
            loading = pool.submit(_start_containers)
            installing = pool.submit(_install)
            loading.result()
            installing.result()
        _wait_for_node()
        say(f"node Ready: {time.monotonic() - begin:.1f} s")
        _wait_for_deployments()
        _start_forwards()
        say(f"DNS, storage, policies and Kueue ready: {time.monotonic() - begin:.1f} s")


def down() -> None:
    """Ends it and leaves nothing behind, also when parts of it were killed before."""
    host.check()
    with _locked():
        cgroups.kill_all()
        mounts.unmount_all()
        cgroups.remove()
        _remove_files()
        LOCK.unlink(missing_ok=True)


def is_there() -> bool:
    """Whether there is a cluster, or a part of one."""
    return STATE.exists()


def loads_images() -> bool:
    """Whether containerd answers: what a machine that stopped has left behind is there, and does not run."""
    try:
        images.present()
    except subprocess.CalledProcessError:
        return False
    return True


def processes() -> list[Component]:
    """Every process that `up` starts, the running ones and the others."""
    return [
        components.etcd(),
        components.containerd(),
        _api_forwarder(),
        components.api_server(),
        components.controller_manager(),
        components.scheduler(),
        components.kubelet(),
        components.kube_proxy(),
        components.kube_router(),
        *_forwards(),
    ]


def forward(service: str, port: int) -> None:
    """Leads the loopback port `port` to NAMESPACE/NAME:PORT, the front door of the lab, until `down`.

    From now on `lab.localhost` and all names below it mean that service inside the cluster.
    Raises `ValueError` when `service` does not look like that.
    """
    place, _, inner = service.rpartition(":")
    namespace, _, name = place.partition("/")
    if not (namespace and name and inner.isdigit()):
        raise ValueError(f"Say which service as NAMESPACE/NAME:PORT, not {service}.")
    host_name = f"{name}.{namespace}.svc.cluster.local"
    with _locked():
        ports = _ports()
        ports["forwards"] = {**ports["forwards"], str(port): f"{host_name}:{inner}"}
        _PORTS.write_text(json.dumps(ports), encoding="utf-8")
        manifests.set_front_door(host_name)
        _start_forwards()


def api_port() -> int:
    """The loopback port of the API server."""
    return int(_ports()["api"])


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """One at a time: an `up` and a `down` at once would end in neither."""
    while True:
        with LOCK.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(LOCK, file):
                yield
                return
        # The `down` that had it has removed it: whoever comes now has another one.


def _is_at(path: Path, file: IO[str]) -> bool:
    """Whether the open file is the one that is at the path now."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _make_ready() -> None:
    for folder in (STATE, LOGS, RUN, CONFIG):
        folder.mkdir(parents=True, exist_ok=True)
    STATE.chmod(0o711)
    for folder in (LOGS, CONFIG):
        folder.chmod(0o700)
    for name in ("local", "shared"):
        (VOLUMES / name).mkdir(parents=True, exist_ok=True)
    host.remember()
    cgroups.create()
    if not network.exists():
        cgroups.kill_all()  # what still runs, runs in a network that is gone
    network.create()
    certificates.create()
    if not _PORTS.exists():
        _PORTS.write_text(json.dumps({"api": _free_port(_USUAL_API_PORT), "forwards": {}}), encoding="utf-8")
    configuration.write(api_port())


def _start_control_plane() -> None:
    _api_forwarder().start()
    components.etcd().start()
    components.containerd().start()
    server = components.api_server()
    server.start()
    _until_alive(lambda: api.is_ready(api_port()), "the API server to be ready", 90, server, components.etcd())


def _start_containers() -> None:
    containerd = components.containerd()
    _until_alive(loads_images, "containerd to answer", 60, containerd)
    images.load_programs((images.PAUSE,))
    for component in (components.kubelet(), components.kube_proxy()):
        component.start()
    images.load_programs(images.SYSTEM_IMAGES)


def _install() -> None:
    for component in (components.controller_manager(), components.scheduler()):
        component.start()
    manifests.apply_system()
    manifests.apply_kueue()


def _wait_for_node() -> None:
    def ready() -> bool:
        found = api.get("nodes")["items"]
        return any(api.condition(node, "Ready") for node in found if node["metadata"]["name"] == NODE)

    _until_alive(ready, "the node to be Ready", 90, components.kubelet(), components.containerd())
    components.kube_router().start()  # not before: it ends where the kubelet has not registered the node yet
    manifests.advertise_gpus()


def _wait_for_deployments() -> None:
    def ready() -> bool:
        found = {
            (each["metadata"]["namespace"], each["metadata"]["name"]): each
            for each in api.get("deployments", "--all-namespaces")["items"]
        }
        return all(name in found and _is_rolled_out(found[name]) for name in manifests.DEPLOYMENTS)

    def visible() -> bool:
        service = api.get("apiservice", "v1beta2.visibility.kueue.x-k8s.io")
        return api.condition(service, "Available")

    agent = components.kube_router()
    _until_alive(ready, "DNS, the provisioner and Kueue to be ready", 120, agent, components.kube_proxy())
    _until_alive(visible, "Kueue's visibility API", 60, agent)


def _is_rolled_out(deployment: Mapping[str, Any]) -> bool:
    status, wanted = deployment["status"], deployment["spec"]["replicas"]
    current = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return bool(current and status.get("readyReplicas", 0) >= wanted and status.get("updatedReplicas", 0) >= wanted)


def _until_alive(condition: Callable[[], bool], what: str, within: float, *needed: Component) -> None:
    """Waits, and says at once when one of those it waits for has ended."""

    def holds() -> bool:
        for component in needed:
            if component.process() is None:
                end = "\n".join(component.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
                raise DiedError(f"{component.name} ended. The end of {component.log}:\n{end}")
        return condition()

    until(holds, f"{what}; see {LOGS}", within)


def _api_forwarder() -> Component:
    return components.forwarder("api", api_port(), f"{network.NODE_ADDRESS}:{network.API_PORT}")


def _forwards() -> list[Component]:
    return [components.forwarder(port, int(port), target) for port, target in _ports()["forwards"].items()]


def _start_forwards() -> None:
    for component in _forwards():
        component.start()
        port = int(component.name.removeprefix("forward-"))
        _until_alive(lambda port=port: _listens(port), f"port {port} to be forwarded", 20, component)  # type: ignore[misc]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _ports() -> dict[str, Any]:
    ports: dict[str, Any] = json.loads(_PORTS.read_text(encoding="utf-8"))
    return ports


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as server:
            return int(server.getsockname()[1])
    raise host.UnsuitableError("No free port on loopback.")


def _remove_files() -> None:
    if left := mounts.of_cluster():
        raise host.UnsuitableError(f"Still mounted, so nothing is removed: {', '.join(left)}.")
    host.restore()
    if STATE.exists():
        shutil.rmtree(STATE)
