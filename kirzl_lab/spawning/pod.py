"""From a `Choice` to what Kubernetes is asked for: the pod in KubeSpawner's words, and its volumes. Pure.

Guarantees: everything is computed from the `Choice` and the site at every start, nothing from what a request said or
what was remembered. Two servers never share a name: a hub name holds no hyphen, and a space's name no `--`. The volume
`course` is only in pods of people who run the space; `materials` can be written by the same people alone.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kirzl_lab.catalog.models import Flavour, NetworkReach, Size, is_space_name
from kirzl_lab.spawning import last_words, server_environment
from kirzl_lab.spawning.choice import Choice, Purpose
from kirzl_lab.spawning.site import ClusterSite

HOME = Path("/home/jovyan")
MATERIALS = HOME / "materials"
COURSE = HOME / "course"
PORT = 8888
CONTAINER = "notebook"
PERSON = 1000
"""User and group of every server, as the images have it."""

ORDINARY = frozenset({"cpu", "memory"})
"""Resources that every node has; all others are devices."""

HUB_NAME = re.compile(r"[a-z][a-z0-9]{0,31}")
GIB = 2**30
SHARED_GIB = 10
"""Size of a space's `materials` and of its `course` volume."""
SCRATCH_GIB = 10
"""How much a server may put into /tmp before it is evicted: it lies on the node, which everybody there shares."""
END_GRACE_S = 10
"""For JupyterLab to end its kernels before it is killed."""

SPACE = "kirzl-lab/space"
VOLUME = "kirzl-lab/volume"
COMPONENT = "app.kubernetes.io/component"
SERVER_COMPONENT = "singleuser-server"

CONTAINER_SECURITY: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsGroup": PERSON,
    "runAsNonRoot": True,
    "runAsUser": PERSON,
    "seccompProfile": {"type": "RuntimeDefault"},
}
POD_SECURITY: Mapping[str, Any] = {
    "fsGroup": PERSON,
    # Not at every start over a whole home of many files.
    "fsGroupChangePolicy": "OnRootMismatch",
    "runAsGroup": PERSON,
    "runAsNonRoot": True,
    "runAsUser": PERSON,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod_name(hub_name: str, space: str, purpose: Purpose) -> str:
    """The name of the pod in which a person has a space open for a purpose; at most 53 characters."""
    return f"server-{_of_person(hub_name, space, purpose)}"


def home_name(choice: Choice) -> str:
    """The name of the volume that is this person's home in this space."""
    return f"home-{_of_person(choice.hub_name, choice.space, choice.purpose)}"


def materials_name(space: str) -> str:
    """The name of the volume with a space's materials."""
    return f"materials--{_space(space)}"


def course_name(space: str) -> str:
    """The name of the volume that only the people who run a course see."""
    return f"course--{_space(space)}"


def labels(choice: Choice, site: ClusterSite) -> dict[str, str]:
    """What network policies, metrics and operators tell servers apart by, besides KubeSpawner's own labels."""
    return {
        **_ours(site),
        SPACE: choice.space,
        "kirzl-lab/kind": choice.kind,
        "kirzl-lab/size": choice.size_name,
        "kirzl-lab/institution": choice.institution,
        "kirzl-lab/role": str(choice.role),
        "kirzl-lab/network": str(choice.network_reach),
        **({"kirzl-lab/staff": "true"} if choice.staff and choice.kind == "course" else {}),
    }


def traits(choice: Choice, site: ClusterSite) -> dict[str, Any]:
    """The settings of KubeSpawner that make this choice's pod. All are set at every start, also those that are empty."""
    limits, guarantees = limits_of(choice.size), guarantees_of(choice.size)
    runtime_class = runtime_class_of(choice.flavour)
    return {
        "namespace": site.namespace,
        "pod_name": pod_name(choice.hub_name, choice.space, choice.purpose),
        "image": image_of(choice, site),
        "image_pull_policy": site.image_pull_policy,
        "image_pull_secrets": list(site.image_pull_secrets),
        # What an image starts is the image's matter; everything that it needs to know is in the environment.
        "cmd": None,
        "args": [],
        "port": PORT,
        "working_dir": str(HOME),
        "notebook_dir": str(HOME),
        "default_url": "/lab",
        "uid": None,
        "gid": None,
        "fs_gid": None,
        "supplemental_gids": [],
        "privileged": False,
        "container_security_context": dict(CONTAINER_SECURITY),
        "pod_security_context": dict(POD_SECURITY),
        "service_account": None,
        "automount_service_account_token": False,
        "cpu_limit": limits[0],
        "mem_limit": limits[1],
        "cpu_guarantee": guarantees[0],
        "mem_guarantee": guarantees[1],
        "extra_resource_limits": gpu_of(choice.flavour),
        "extra_resource_guarantees": {},
        "volumes": volumes(choice),
        "volume_mounts": mounts(choice),
        "init_containers": [],
        "extra_containers": [],
        "lifecycle_hooks": {},
        # The end of what it printed, for operators, where a server left no words of its own.
        "extra_container_config": {"terminationMessagePolicy": "FallbackToLogsOnError"},
        "extra_pod_config": {
            "enableServiceLinks": False,
            # A server that was killed for memory is told so; started again in place, nobody would know.
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": END_GRACE_S,
            **({"runtimeClassName": runtime_class} if runtime_class else {}),
        },
        "common_labels": {},
        "extra_labels": labels(choice, site),
        "extra_annotations": {},
        "delete_grace_period": END_GRACE_S,
        "storage_pvc_ensure": False,
        "delete_pvc": False,
    }


def environment(choice: Choice, site: ClusterSite, hub_home: str, service: str) -> dict[str, str]:
    """What the server is told besides JupyterHub's own variables; the addresses are those of `server_environment`."""
    told = server_environment.everywhere(choice, HOME, hub_home, service) | {
        # Of this pod alone: connection files of kernels that died with the last one would pile up in the home.
        "JUPYTER_RUNTIME_DIR": "/tmp/jupyter-runtime",  # noqa: S108 - the pod's own
        last_words.VARIABLE: "/dev/termination-log",
        **({} if choice.flavour else {"NVIDIA_VISIBLE_DEVICES": "void"}),
        **_way_out(choice, site, hub_home),
    }
    # Kubernetes puts other variables in place of $(NAME), also where a space's title holds such a thing.
    return {name: value.replace("$(", "$$(") for name, value in told.items()}


def limits_of(size: Size) -> tuple[float, int]:
    """Cores and bytes that a server of the size may use."""
    return size.cpus, round(size.memory_gib * GIB)


def guarantees_of(size: Size) -> tuple[float, int]:
    """Cores and bytes that a server of the size is sure of."""
    cpus = size.guaranteed_cpus or max(0.001, round(size.cpus / 4, 3))
    return cpus, round((size.guaranteed_memory_gib or size.memory_gib) * GIB)


def gpu_of(flavour: Flavour | None) -> dict[str, str]:
    """The one unit of its flavour that a server holds."""
    return {flavour.resource: "1"} if flavour else {}


def runtime_class_of(flavour: Flavour | None) -> str | None:
    """The RuntimeClass of a server, where its flavour names one."""
    return flavour.runtime_class if flavour else None


def node_selector_of(flavour: Flavour | None) -> dict[str, str]:
    """Labels of the nodes on which a server may run."""
    return dict(flavour.node_selector) if flavour else {}


def tolerations_of(flavour: Flavour | None) -> list[dict[str, str]]:
    """Taints of nodes that a server ignores."""
    return [toleration.model_dump(exclude_none=True) for toleration in flavour.tolerations] if flavour else []


def image_of(choice: Choice, site: ClusterSite) -> str:
    """What the cluster pulls: one of the lab's images under the site's name for it, or the name as the space gives it."""
    return site.images.get(choice.image, choice.image)


def volumes(choice: Choice) -> list[dict[str, Any]]:
    """The volumes of the server's pod."""
    found: list[dict[str, Any]] = [
        {"name": "home", "persistentVolumeClaim": {"claimName": home_name(choice)}},
        {"name": "tmp", "emptyDir": {"sizeLimit": f"{SCRATCH_GIB}Gi"}},
        # Kubernetes' own is 64 MiB, of which data loaders of several processes die.
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(limits_of(choice.size)[1])}},
    ]
    if choice.kind == "course":
        claim: dict[str, Any] = {"claimName": materials_name(choice.space)}
        found.append(
            {"name": "materials", "persistentVolumeClaim": claim if choice.staff else claim | {"readOnly": True}}
        )
        if choice.staff:
            found.append({"name": "course", "persistentVolumeClaim": {"claimName": course_name(choice.space)}})
    return found


def mounts(choice: Choice) -> list[dict[str, Any]]:
    """Where the server finds its volumes."""
    found: list[dict[str, Any]] = [
        {"name": "home", "mountPath": str(HOME)},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - the pod's own
    ]
    if choice.kind == "course":
        found.append({"name": "materials", "mountPath": str(MATERIALS), **({} if choice.staff else {"readOnly": True})})
        if choice.staff:
            found.append({"name": "course", "mountPath": str(COURSE)})
    return found


def claims(choice: Choice, site: ClusterSite) -> list[dict[str, Any]]:
    """The volume claims that must be there before the pod; those that are there stay as they are."""
    found = [home_claim(choice, site)]
    if choice.kind == "course":
        found.append(materials_claim(choice.space, site))
        if choice.staff:
            found.append(course_claim(choice.space, site))
    return found


def home_claim(choice: Choice, site: ClusterSite) -> dict[str, Any]:
    """The claim of this person's home in this space."""
    labels = _volume_labels("home", choice.space, site) | {"hub.jupyter.org/username": choice.hub_name}
    spec = _claim_spec("ReadWriteOnce", choice.storage_gib, site.home_storage_class)
    return _claim(home_name(choice), labels, spec)


def materials_claim(space: str, site: ClusterSite) -> dict[str, Any]:
    """The claim of a space's materials."""
    spec = _claim_spec("ReadWriteMany", SHARED_GIB, site.shared_storage_class)
    return _claim(materials_name(space), _volume_labels("materials", space, site), spec)


def course_claim(space: str, site: ClusterSite) -> dict[str, Any]:
    """The claim of what only the people who run a course see."""
    spec = _claim_spec("ReadWriteMany", SHARED_GIB, site.shared_storage_class)
    return _claim(course_name(space), _volume_labels("course", space, site), spec)


def _claim(name: str, labels: Mapping[str, str], spec: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": dict(spec)}


def _claim_spec(access: str, gib: int, storage_class: str | None) -> dict[str, Any]:
    spec = {"accessModes": [access], "resources": {"requests": {"storage": f"{gib}Gi"}}}
    return spec | ({"storageClassName": storage_class} if storage_class else {})


def _volume_labels(volume: str, space: str, site: ClusterSite) -> dict[str, str]:
    return {**_ours(site), COMPONENT: "volume", VOLUME: volume, SPACE: space}


def _way_out(choice: Choice, site: ClusterSite, hub_home: str) -> dict[str, str]:
    """The egress proxy for the programs that fetch packages; pip, conda and npm all read these variables."""
    if choice.network_reach is not NetworkReach.PACKAGE_MIRRORS or not site.egress_proxy:
        return {}
    hosts = [urlsplit(address).hostname for address in (site.hub_url, site.service_url, hub_home)]
    inside = ",".join(
        dict.fromkeys(["localhost", "127.0.0.1", "::1", ".svc", ".cluster.local", *(host for host in hosts if host)])
    )
    proxy = {"HTTP_PROXY": site.egress_proxy, "HTTPS_PROXY": site.egress_proxy, "NO_PROXY": inside}
    return proxy | {name.lower(): value for name, value in proxy.items()}


def _ours(site: ClusterSite) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "kirzl-lab",
        "app.kubernetes.io/instance": site.release,
        "app.kubernetes.io/managed-by": "kirzl-lab-hub",
    }


def _of_person(hub_name: str, space: str, purpose: Purpose) -> str:
    if not HUB_NAME.fullmatch(hub_name):
        raise ValueError(f"{hub_name!r} cannot be in the name of a pod")
    return f"{hub_name}--{_space(space)}" + ("--preview" if purpose == "preview" else "")


def _space(name: str) -> str:
    if not is_space_name(name):
        raise ValueError(f"{name!r} cannot be in the name of a volume")
    return name
