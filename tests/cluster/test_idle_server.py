"""The notebook image as a pod: what runs inside servers is there, and one without work ends and leaves the reason."""

import pytest

from images import build, plan
from kirzl_lab.spawning.last_words import why
from tests.cluster.space import Space, eventually
from tools.onenode import images

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

HOURS = "0.003"
SHUT = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def test_a_server_without_work_ends_and_says_why(space: Space) -> None:
    image = build.described(plan.BY_NAME["notebook"], plan.Choices())
    images.load(image.archive)
    variables = {"KIRZL_LAB_IDLE_HOURS": HOURS, "KIRZL_LAB_TERMINATION_LOG": "/dev/termination-log"}
    container = {
        "name": "notebook",
        "image": image.reference,
        "imagePullPolicy": "Never",
        "args": ["jupyter", "lab", "--no-browser", "--IdentityProvider.token=secret"],  # alone, without a hub
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "securityContext": SHUT,
        "volumeMounts": [{"name": "home", "mountPath": "/home/jovyan"}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    volumes = [{"name": name, "emptyDir": {}} for name in ("home", "tmp")]
    spec = {
        "containers": [container],
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"fsGroup": 1000},
        "volumes": volumes,
    }
    space.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "idle"}, "spec": spec})

    def ended() -> dict[str, object] | None:
        statuses = space.get("pod", "idle")["status"].get("containerStatuses", [{}])
        found: dict[str, object] | None = statuses[0].get("state", {}).get("terminated")
        return found

    end = eventually(ended, "the end of a server without work", within=120)
    assert end["exitCode"] == 0, space.kubectl("logs", "idle")
    assert end["message"] == f"idle {HOURS}"
    assert why(str(end["message"])) is not None
