"""Pods that stand for the lab's parts in tests of the network: they have the labels and the ports, and nothing behind them.

They are made from the egress proxy's image, since that has Python and is needed anyway.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tests.cluster.space import Space

_SERVE = """
import socket, sys, threading
listeners = [socket.create_server(("", int(port)), backlog=64) for port in sys.argv[1:]]
def answer(listener):
    while True:
        listener.accept()[0].close()
for listener in listeners:
    threading.Thread(target=answer, args=(listener,)).start()
threading.Event().wait()
"""
# Refused or never answered is the same here: there is no connection.
_DIAL = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def opens(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 2).close()
    except OSError:
        return False
    return True
with ThreadPoolExecutor(64) as pool:
    print(json.dumps([address for address, opened in zip(sys.argv[1:], pool.map(opens, sys.argv[1:])) if opened]))
"""
_RIGHTS = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
_POD = {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"}}


@dataclass(frozen=True)
class StandIn:
    """A pod in a namespace."""

    space: Space
    name: str

    def run(self, script: str, *arguments: str) -> str:
        """What a Python script prints that runs in it."""
        return self.space.kubectl("exec", "--stdin", self.name, "--", "python3.11", "-", *arguments, given=script)

    def reached(self, destinations: Mapping[str, str]) -> set[str]:
        """Those of the destinations (name -> address:port) to which a TCP connection opens within 2 s."""
        opened = set(json.loads(self.run(_DIAL, *destinations.values())))
        return {name for name, address in destinations.items() if address in opened}


def stand_in(space: Space, image: str, name: str, labels: Mapping[str, str], ports: Collection[int] = ()) -> StandIn:
    """Makes a pod with these labels that listens on these ports."""
    arguments = ["python3.11", "-c", _SERVE, *map(str, ports)]
    space.apply(pod(name, image, arguments, labels))
    return StandIn(space, name)


def pod(name: str, image: str, arguments: list[str], labels: Mapping[str, str], **container: Any) -> dict[str, Any]:
    """A pod as people's servers are made: without rights, on a root file system that cannot be written."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": _POD,
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "imagePullPolicy": "Never",
                    "args": arguments,
                    "securityContext": _RIGHTS,
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                    **container,
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }
