"""What is installed into the cluster: DNS, storage, Kueue, demo GPUs."""

import json
import subprocess
from pathlib import Path

from tools.onenode import api
from tools.onenode.build import binary, folder_of
from tools.onenode.certificates import KUEUE_AUTHORITY, KUEUE_WEBHOOK, NODE
from tools.onenode.images import COREDNS, KUEUE, PROVISIONER, VOLUME
from tools.onenode.network import DNS_SERVICE
from tools.onenode.paths import VOLUMES
from tools.onenode.programs import BY_NAME

_FOLDER = Path(__file__).parent / "objects"
DEPLOYMENTS = (
    ("kube-system", "coredns"),
    ("local-path-storage", "local-path-provisioner"),
    ("kueue-system", "kueue-controller-manager"),
)
DEMO_GPUS = {"nvidia.com/gpu": "4", "nvidia.com/mig-1g.10gb": "8"}
FRONT_DOOR = ("kube-system", "front-door")
_DEFAULT_FRONT_DOOR = "proxy.kirzl-lab.svc.cluster.local"


def apply_system() -> None:
    """DNS and storage, and the rights of the policy agent."""
    text = (_FOLDER / "system.yaml").read_text(encoding="utf-8")
    for name, value in {
        "COREDNS": COREDNS.reference,
        "PROVISIONER": PROVISIONER.reference,
        "VOLUME": VOLUME.reference,
        "DNS_SERVICE": DNS_SERVICE,
        "VOLUMES": str(VOLUMES),
    }.items():
        text = text.replace(f"@{name}@", value)
    _apply(text)
    if not _front_door():
        set_front_door(_DEFAULT_FRONT_DOOR)


def apply_kueue() -> None:
    """Kueue from its own chart, which `build` keeps beside the program."""
    repository, _, tag = KUEUE.reference.rpartition(":")
    image = "controllerManager.manager.image"
    rendered = subprocess.run(  # noqa: S603 - our own program
        [
            binary("helm"),
            "template",
            "kueue",
            folder_of(BY_NAME["kueue"]) / "chart",
            "--namespace=kueue-system",
            f"--values={_FOLDER / 'kueue-values.yaml'}",
            f"--set={image}.repository={repository},{image}.tag={tag},{image}.pullPolicy=Never",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    _apply('{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kueue-system"}}')
    _give_kueue_its_certificate()
    _apply(rendered.stdout)


def _give_kueue_its_certificate() -> None:
    place = ("--namespace=kueue-system", "kueue-webhook-server-cert")
    if api.kubectl("get", "secret", *place, "--ignore-not-found", "--output=name"):
        return
    files = {
        "ca.crt": KUEUE_AUTHORITY.certificate,
        "ca.key": KUEUE_AUTHORITY.key,
        "tls.crt": KUEUE_WEBHOOK.certificate,
        "tls.key": KUEUE_WEBHOOK.key,
    }
    # Not applied as the rest is: the chart has this Secret too, empty, and would take the content away again.
    api.kubectl("create", "secret", "generic", *place, *(f"--from-file={name}={file}" for name, file in files.items()))


def advertise_gpus() -> None:
    """Demo GPUs: extended resources that the node says it has, and that stay (Kubernetes documentation)."""
    status = {"status": {"capacity": DEMO_GPUS, "allocatable": DEMO_GPUS}}
    api.kubectl("patch", "node", NODE, "--subresource=status", "--type=merge", f"--patch={json.dumps(status)}")


def set_front_door(host: str) -> None:
    """Makes `lab.localhost` and everything below it mean this host, inside the cluster."""
    namespace, name = FRONT_DOOR
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": "ExternalName", "externalName": host},
    }
    _apply(json.dumps(service))


def _front_door() -> str:
    namespace, name = FRONT_DOOR
    return api.kubectl(
        "get", "service", f"--namespace={namespace}", name, "--ignore-not-found", "--output=name"
    ).strip()


def _apply(text: str) -> None:
    api.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=onenode", "--filename=-", given=text)
