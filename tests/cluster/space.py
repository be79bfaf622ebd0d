"""What tests do in a cluster: run `onenode`, wait, and work in a namespace with pods of the probe's image."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tools.onenode import api, images

PROBE = images.PROBE.reference
T = TypeVar("T")
_ROOT = Path(__file__).parents[2]


def onenode(*arguments: str) -> str:
    """What `python -m tools.onenode` prints; raises when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.onenode", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"onenode {' '.join(arguments)}: {done.stdout}\n{done.stderr}"
    return done.stdout


def eventually(look: Callable[[], T], what: str, within: float = 60) -> T:
    """The first true answer of `look`."""
    end = time.monotonic() + within
    while True:
        if found := look():
            return found
        assert time.monotonic() < end, f"{what}: not within {within} s"
        time.sleep(0.2)


@dataclass(frozen=True)
class Space:
    """A namespace of the cluster, and what tests do in it."""

    name: str

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        return api.kubectl(f"--namespace={self.name}", *arguments, given=given)

    def get(self, kind: str, name: str) -> Mapping[str, Any]:
        return api.get(f"--namespace={self.name}", kind, name)

    def apply(self, *things: Mapping[str, Any]) -> None:
        self.kubectl("apply", "--filename=-", given="\n---\n".join(json.dumps(thing) for thing in things))

    def pod(self, name: str, *command: str, **spec: Any) -> None:
        """Makes a pod of the probe's image; `command` are the arguments of the probe."""
        resources = spec.pop("resources", {})
        mounts = spec.pop("mounts", [])
        container = {
            "name": "probe",
            "image": PROBE,
            "imagePullPolicy": "Never",
            "args": list(command),
            "resources": resources,
            "volumeMounts": mounts,
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "labels": {"app": name}},
                "spec": {
                    "containers": [container],
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 1,
                    "automountServiceAccountToken": False,
                    **spec,
                },
            }
        )

    def ready(self, *names: str) -> None:
        """Returns when these pods are Ready."""
        self.kubectl("wait", "--for=condition=Ready", "--timeout=60s", *(f"pod/{name}" for name in names))

    def ended(self, name: str) -> str:
        """Waits for the pod's end and returns what it printed; it must have ended well."""
        phase = eventually(lambda: self._end(name), f"the end of {name}")
        said = self.kubectl("logs", name)
        assert phase == "Succeeded", said
        return said

    def _end(self, name: str) -> str:
        phase = self.get("pod", name)["status"].get("phase", "")
        return phase if phase in {"Succeeded", "Failed"} else ""

    def address(self, name: str) -> str:
        return str(self.get("pod", name)["status"]["podIP"])

    def run(self, pod: str, *command: str) -> str:
        """What the probe prints in a running pod; raises `KubectlError` when it fails."""
        return self.kubectl("exec", pod, "--", "/probe", *command)

    def reaches(self, pod: str, address: str) -> bool:
        try:
            self.run(pod, "dial", address)
        except api.KubectlError as problem:
            assert "connection refused" in str(problem) or "timeout" in str(problem), problem
            return False
        return True
