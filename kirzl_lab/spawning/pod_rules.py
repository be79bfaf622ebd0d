"""The last look at a finished pod, as the API server would get it: what must hold whatever a site configured. Pure.

Between `pod.traits` and the API server stand KubeSpawner, a site's own settings of it and its hooks. This says what
none of them may have changed. It does not ask `pod` what the volumes are: it has its own word on who may have which.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from kirzl_lab.catalog.models import NetworkReach
from kirzl_lab.spawning import pod
from kirzl_lab.spawning.choice import Choice
from kirzl_lab.spawning.site import ClusterSite

Manifest = Mapping[str, Any]

SPEC_MAY = frozenset(
    {
        "automountServiceAccountToken",
        "containers",
        "enableServiceLinks",
        "imagePullSecrets",
        "nodeSelector",
        "restartPolicy",
        "runtimeClassName",
        "securityContext",
        "serviceAccountName",
        "terminationGracePeriodSeconds",
        "tolerations",
        "volumes",
        # Where among the nodes that may have it, and before whom, is a site's own matter.
        "affinity",
        "priorityClassName",
        "schedulerName",
        "topologySpreadConstraints",
    }
)
"""What a pod may have at all, as far as it is not empty; nothing that Kubernetes may yet invent."""

CONTAINER_MAY = frozenset(
    {
        "env",
        "image",
        "imagePullPolicy",
        "name",
        "ports",
        "resources",
        "securityContext",
        "terminationMessagePolicy",
        "volumeMounts",
        "workingDir",
    }
)
"""The same of its container: no command but the image's, no hooks, no probes that have the kubelet ask around."""

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy")


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
        *_environment(containers[0], choice, site),
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
    yield from _nothing_but(SPEC_MAY, spec)
    for name in ("automountServiceAccountToken", "enableServiceLinks"):
        yield from _same(name, spec.get(name), False)
    yield from _same("serviceAccountName", spec.get("serviceAccountName") or "default", "default")
    yield from _same("restartPolicy", spec.get("restartPolicy"), "Never")
    yield from _same("terminationGracePeriodSeconds", spec.get("terminationGracePeriodSeconds"), pod.END_GRACE_S)
    if str(spec.get("priorityClassName") or "").startswith("system-"):
        yield "priorityClassName must not be one of the cluster's own parts"
    yield from _same("securityContext of the pod", spec.get("securityContext"), pod.POD_SECURITY)


def _inside(container: Manifest) -> Iterator[str]:
    yield from _nothing_but(CONTAINER_MAY, container)
    yield from _same("securityContext", container.get("securityContext"), pod.CONTAINER_SECURITY)
    if any(entry.get("valueFrom") for entry in container.get("env") or []):
        yield "no variable may come from elsewhere in the cluster"
    if any(port.get("hostPort") for port in container.get("ports") or []):
        yield "there must be no hostPort"


def _environment(container: Manifest, choice: Choice, site: ClusterSite) -> Iterator[str]:
    found = {entry.get("name"): entry.get("value") for entry in container.get("env") or []}
    wanted = pod.environment(choice, site, "", "")
    for name in ("KIRZL_LAB_SPACE", "KIRZL_LAB_PURPOSE", "KIRZL_LAB_IDLE_HOURS"):
        yield from _same(name, found.get(name), wanted.get(name))
    # Whoever may go anywhere may go through a proxy of the site's.
    if choice.network_reach is not NetworkReach.INTERNET:
        for name in PROXIES:
            yield from _same(name, found.get(name), wanted.get(name))


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
    if resources.get("claims"):
        yield "there must be no resource claims"
    yield from _same("runtimeClassName", spec.get("runtimeClassName"), pod.runtime_class_of(flavour))
    selector = spec.get("nodeSelector") or {}
    for name, value in pod.node_selector_of(flavour).items():
        yield from _same(f"nodeSelector {name}", selector.get(name), value)
    tolerations = spec.get("tolerations") or []
    if any(not toleration.get("key") for toleration in tolerations):
        yield "there must be no toleration of every taint"
    for toleration in pod.tolerations_of(flavour):
        if toleration not in tolerations:
            yield f"the toleration {toleration!r} must be there"


def _volumes(volumes: list[Manifest], choice: Choice) -> Iterator[str]:
    wanted = {
        "home": _claim(pod.home_name(choice)),
        "tmp": {"emptyDir": {"sizeLimit": f"{pod.SCRATCH_GIB}Gi"}},
        "shm": {"emptyDir": {"medium": "Memory", "sizeLimit": str(pod.limits_of(choice.size)[1])}},
    }
    if choice.kind == "course":
        wanted["materials"] = _claim(pod.materials_name(choice.space), **_read_only(choice))
        if choice.staff:
            wanted["course"] = _claim(pod.course_name(choice.space))
    yield from _the_same_parts("volume", volumes, wanted)


def _mounts(mounts: list[Manifest], choice: Choice) -> Iterator[str]:
    wanted: dict[str, dict[str, Any]] = {
        "home": {"mountPath": str(pod.HOME)},
        "tmp": {"mountPath": "/tmp"},  # noqa: S108 - the pod's own
        "shm": {"mountPath": "/dev/shm"},  # noqa: S108 - the pod's own
    }
    if choice.kind == "course":
        wanted["materials"] = {"mountPath": str(pod.MATERIALS), **_read_only(choice)}
        if choice.staff:
            wanted["course"] = {"mountPath": str(pod.COURSE)}
    yield from _the_same_parts("mount of", mounts, wanted)


def _read_only(choice: Choice) -> dict[str, bool]:
    return {} if choice.staff else {"readOnly": True}


def _claim(name: str, **more: bool) -> dict[str, Any]:
    return {"persistentVolumeClaim": {"claimName": name, **more}}


def _the_same_parts(what: str, found: list[Manifest], wanted: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Neither more nor fewer, and each as it must be: a home that is missing is work that is lost."""
    names = [str(each.get("name")) for each in found]
    for each in found:
        said = {key: value for key, value in each.items() if key != "name" and value not in (None, False)}
        yield from _same(f"{what} {each.get('name')}", said, wanted.get(str(each.get("name"))))
    for name in wanted:
        if names.count(name) != 1:
            yield f"there must be one {what} {name}"


def _nothing_but(may: frozenset[str], found: Manifest) -> Iterator[str]:
    for name in sorted(found):
        if found[name] and name not in may:
            yield f"there must be no {name}"


def _sees_gpus(container: Manifest) -> bool:
    values = {entry.get("name"): entry.get("value") for entry in container.get("env") or []}
    return values.get("NVIDIA_VISIBLE_DEVICES") != "void"


def _same(what: str, found: object, wanted: object) -> Iterator[str]:
    if found != wanted:
        yield f"{what} is {found!r} and must be {wanted!r}"
