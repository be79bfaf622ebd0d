"""The last look at a finished pod, as the API server would get it: what must hold whatever a site configured. Pure.

Between `pod.traits` and the API server stand KubeSpawner, a site's own settings of it and its hooks. This says what
none of them may have changed. It does not ask `pod` what the volumes are: it has its own word on who may have which.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from kirzl_lab.spawning import pod
from kirzl_lab.spawning.choice import Choice
from kirzl_lab.spawning.site import ClusterSite

Manifest = Mapping[str, Any]

SCRATCH = ("tmp", "shm")


def must_hold(manifest: Manifest, choice: Choice, site: ClusterSite) -> list[str]:
    """What the manifest breaks, in words for an operator; nothing when the pod may be made."""
    spec = manifest["spec"]
    containers = spec.get("containers") or []
    if len(containers) != 1 or containers[0].get("name") != pod.CONTAINER:
        return [f"the pod must have one container, {pod.CONTAINER}"]
    return [
        *_identity(manifest, choice, site),
        *_walls(spec),
        *_inside(containers[0]),
        *_size(spec, containers[0], choice),
        *_volumes(spec.get("volumes") or [], choice),
        *_mounts(containers[0].get("volumeMounts") or [], choice),
        *_same("image", containers[0].get("image"), pod.image_of(choice, site)),
        *_same("the GPUs that it sees", _sees_gpus(containers[0]), choice.flavour is not None),
    ]


def _identity(manifest: Manifest, choice: Choice, site: ClusterSite) -> Iterator[str]:
    metadata = manifest["metadata"]
    yield from _same("name", metadata.get("name"), pod.pod_name(choice.hub_name, choice.space, choice.purpose))
    yield from _same("namespace", metadata.get("namespace", site.namespace), site.namespace)
    found = metadata.get("labels") or {}
    wanted = pod.labels(choice, site) | {pod.COMPONENT: pod.SERVER_COMPONENT}
    for name in sorted({*wanted, *(label for label in found if label.startswith("kirzl-lab/"))}):
        yield from _same(f"label {name}", found.get(name), wanted.get(name))


def _walls(spec: Manifest) -> Iterator[str]:
    """Between the pod, its node and the API server."""
    for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        if spec.get(name):
            yield f"{name} must not be set"
    for name in ("initContainers", "ephemeralContainers", "nodeName"):
        if spec.get(name):
            yield f"there must be no {name}"
    for name in ("automountServiceAccountToken", "enableServiceLinks"):
        yield from _same(name, spec.get(name), False)
    yield from _same("serviceAccountName", spec.get("serviceAccountName") or "default", "default")
    yield from _same("restartPolicy", spec.get("restartPolicy"), "Never")
    yield from _same("securityContext of the pod", spec.get("securityContext"), pod.POD_SECURITY)


def _inside(container: Manifest) -> Iterator[str]:
    yield from _same("securityContext", container.get("securityContext"), pod.CONTAINER_SECURITY)
    if container.get("envFrom") or any(entry.get("valueFrom") for entry in container.get("env") or []):
        yield "no variable may come from elsewhere in the cluster"
    if any(port.get("hostPort") for port in container.get("ports") or []):
        yield "there must be no hostPort"
    if container.get("volumeDevices"):
        yield "there must be no volumeDevices"


def _size(spec: Manifest, container: Manifest, choice: Choice) -> Iterator[str]:
    flavour = choice.flavour
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    cpus, memory = pod.limits_of(choice.size)
    guaranteed_cpus, guaranteed_memory = pod.guarantees_of(choice.size)
    yield from _same("limits", limits, {"cpu": cpus, "memory": memory, **pod.gpu_of(flavour)})
    ordinary = {name: value for name, value in requests.items() if name in pod.ORDINARY}
    yield from _same("requests", ordinary, {"cpu": guaranteed_cpus, "memory": guaranteed_memory})
    for name in sorted(set(requests) - pod.ORDINARY):
        yield from _same(f"requests of {name}", requests[name], pod.gpu_of(flavour).get(name))
    if spec.get("resourceClaims") or resources.get("claims"):
        yield "there must be no resource claims"
    yield from _same("runtimeClassName", spec.get("runtimeClassName"), pod.runtime_class_of(flavour))
    selector = spec.get("nodeSelector") or {}
    for name, value in pod.node_selector_of(flavour).items():
        yield from _same(f"nodeSelector {name}", selector.get(name), value)


def _volumes(volumes: list[Manifest], choice: Choice) -> Iterator[str]:
    for volume in volumes:
        name = volume.get("name")
        sources = sorted(set(volume) - {"name"})
        if name in SCRATCH:
            yield from _same(f"volume {name}", sources, ["emptyDir"])
            continue
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        may = {"home": pod.home_name(choice)}
        if choice.kind == "course":
            may["materials"] = pod.materials_name(choice.space)
            if choice.staff:
                may["course"] = pod.course_name(choice.space)
        if sources != ["persistentVolumeClaim"] or name not in may or claim != may[name]:
            yield f"volume {name} ({', '.join(sources)} {claim or ''}) is none that this server may have"


def _mounts(mounts: list[Manifest], choice: Choice) -> Iterator[str]:
    places = {
        "home": str(pod.HOME),
        "materials": str(pod.MATERIALS),
        "course": str(pod.COURSE),
        "tmp": "/tmp",  # noqa: S108 - the pod's own
        "shm": "/dev/shm",  # noqa: S108 - the pod's own
    }
    for mount in mounts:
        name = mount.get("name")
        if mount.get("mountPath") != places.get(str(name)) or mount.get("subPath") or mount.get("mountPropagation"):
            yield f"{name} must not be mounted at {mount.get('mountPath')}"
        if name == "materials" and not choice.staff and not mount.get("readOnly"):
            yield "materials must be read-only"


def _sees_gpus(container: Manifest) -> bool:
    values = {entry.get("name"): entry.get("value") for entry in container.get("env") or []}
    return values.get("NVIDIA_VISIBLE_DEVICES") != "void"


def _same(what: str, found: object, wanted: object) -> Iterator[str]:
    if found != wanted:
        yield f"{what} is {found!r} and must be {wanted!r}"
