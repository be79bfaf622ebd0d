"""What an install finds before it changes anything: what is there, what is missing, what to do about it. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from kirzl_lab.cli.cluster.facts import Facts, namespace_is_fine
from kirzl_lab.cli.cluster.helm import OLDEST
from kirzl_lab.cli.cluster.rights import kinds
from kirzl_lab.cli.cluster.values import Values, given
from kirzl_lab.cli.doctor import Finding

OLDEST_KUBERNETES = (1, 30)
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
DEFAULT_INGRESS = "ingressclass.kubernetes.io/is-default-class"
SHARING = (
    *("cephfs.csi.ceph.com", "nfs.csi.k8s.io", "smb.csi.k8s.io", "efs.csi.aws.com", "fsx.csi.aws.com"),
    *("file.csi.azure.com", "filestore.csi.storage.gke.io", "manila.csi.openstack.org", "driver.longhorn.io"),
    *("csi-nfsplugin", "nfs-subdir-external-provisioner", "beegfs.csi.netapp.com", "weka.io", "spectrumscale.csi.ibm.com"),
)  # fmt: skip
"""Ends of the names of provisioners whose volumes many nodes can write."""
NOT_SHARING = (
    *("rbd.csi.ceph.com", "ebs.csi.aws.com", "disk.csi.azure.com", "pd.csi.storage.gke.io"),
    *("cinder.csi.openstack.org", "rancher.io/local-path", "topolvm.io", "openebs.io/local"),
)
"""Ends of the names of those whose file systems one node can write."""
AGENTS = {
    "calico-node": "Calico",
    "cilium": "Cilium",
    "anetd": "Cilium (Dataplane V2)",
    "kube-router": "kube-router",
    "antrea-agent": "Antrea",
    "ovnkube-node": "OVN-Kubernetes",
    "kube-ovn-cni": "Kube-OVN",
    "azure-npm": "Azure Network Policy Manager",
    "kube-network-policies": "kube-network-policies",
}
"""DaemonSets of agents that enforce network policies."""
AGENT_GROUPS = {"cilium.io": "Cilium", "crd.projectcalico.org": "Calico", "crd.antrea.io": "Antrea"}
CATALOGUE_SECRETS = "institutionSecrets"
OWN_KEYS = (
    "JUPYTERHUB_CRYPT_KEY",
    "CONFIGPROXY_AUTH_TOKEN",
    "KIRZL_LAB_SERVICE_TOKEN",
    "KIRZL_LAB_COOKIE_SECRET",
    "KIRZL_LAB_RECEIPT_KEYS",
)


def findings(facts: Facts, values: Values, objects: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Everything that was looked at, one after the other."""
    return [
        *_programs(facts),
        _namespace(facts),
        *_kinds(facts, objects),
        _rights(facts),
        *_storage(facts, values),
        _policies(facts),
        *_gpus(facts, values),
        *_front_door(facts, values),
        *_secrets(facts, values),
        *_names(facts),
    ]


def secrets_of(values: Values) -> dict[str, tuple[str, ...]]:
    """Secrets of the site that the values name, and the keys that each must have."""
    found: dict[str, tuple[str, ...]] = {}
    if name := values.get("existingSecret"):
        own = () if _external_database(values) else ("KIRZL_LAB_DATABASE_PASSWORD",)
        found[name] = (*OWN_KEYS, *own)
    if name := given(values, "database", "existingSecret"):
        found[name] = ("KIRZL_LAB_DATABASE_URL",)
    if name := values.get(CATALOGUE_SECRETS):
        institutions = (given(values, "institutions", "institutions") or {}).values()
        keys = [each.get("client_secret_env") for each in institutions if not each.get("demo")]
        found[name] = tuple(sorted({key for key in keys if key}))
    for part in ("ingress", "gateway"):
        if given(values, part, "enabled") and (name := given(values, part, "tlsSecret")):
            found.setdefault(name, ())
    for name in given(values, "images", "pullSecrets") or []:
        found.setdefault(name, ())
    return found


def _programs(facts: Facts) -> Iterator[Finding]:
    found = _numbers(facts.version)
    wanted = ".".join(map(str, OLDEST_KUBERNETES))
    yield Finding("Kubernetes", found >= OLDEST_KUBERNETES, facts.version,
                  "" if found >= OLDEST_KUBERNETES else f"the lab needs {wanted} or newer")  # fmt: skip
    helm = _numbers(facts.helm) >= OLDEST
    wanted = ".".join(map(str, OLDEST))
    yield Finding("Helm", helm, facts.helm, "" if helm else f"the chart needs {wanted} or newer")


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else (0, 0)


def _namespace(facts: Facts) -> Finding:
    if facts.namespace is None:
        return Finding("namespace", ok=True, found="is made, with Pod Security “restricted” enforced")
    if namespace_is_fine(facts.namespace):
        return Finding("namespace", ok=True, found="is there, Pod Security “restricted” is enforced")
    now = (facts.namespace["metadata"].get("labels") or {}).get("pod-security.kubernetes.io/enforce", "nothing")
    said = f"is there and enforces {now}; install labels it, and from then on pods in it that are not the lab's must keep to “restricted”, too"
    return Finding("namespace", ok=True, found=said)


def _kinds(facts: Facts, objects: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for version, kind in sorted(kinds(dict(each) for each in objects)):
        if (version, kind) not in facts.served:
            advice = "install what brings it, or leave out the value that asks for it"
            yield Finding(kind, ok=False, found=f"the cluster knows no {kind} of {version}", advice=advice)


def _rights(facts: Facts) -> Finding:
    if not facts.refused:
        return Finding("permissions", ok=True, found="you may make everything that the chart makes")
    missing = "; ".join(map(str, facts.refused))
    return Finding(
        "permissions", ok=False, found=f"you may not: {missing}", advice="ask the cluster's administrators for these"
    )


def _storage(facts: Facts, values: Values) -> Iterator[Finding]:
    wanted = {"homeClass": "homes", "sharedClass": "shared volumes", "labClass": "the lab's own volumes"}
    for key, what in wanted.items():
        name = given(values, "storage", key)
        title = f"storage for {what}"
        if facts.storage_classes is None:
            yield Finding(title, ok=False, found="could not tell: you may not see StorageClasses", needed=False)
            continue
        classes = {each["metadata"]["name"]: each for each in facts.storage_classes}
        chosen = classes.get(name) if name else next((each for each in classes.values() if _is_default(each)), None)
        if chosen is None:
            found = f"there is no class {name}" if name else "the cluster has no default class"
            there = ", ".join(sorted(classes)) or "none"
            yield Finding(title, ok=False, found=found, advice=f"name one in storage.{key}; there are: {there}")
        elif key == "sharedClass":
            yield _sharing(title, chosen, facts.volumes)
        else:
            yield Finding(title, ok=True, found=f"class {chosen['metadata']['name']}")


def _is_default(thing: Mapping[str, Any], annotation: str = DEFAULT_CLASS) -> bool:
    return bool((thing["metadata"].get("annotations") or {}).get(annotation) == "true")


def _sharing(title: str, chosen: Mapping[str, Any], volumes: Sequence[Mapping[str, Any]] | None) -> Finding:
    name, provisioner = chosen["metadata"]["name"], chosen["provisioner"]
    for volume in volumes or ():
        spec = volume["spec"]
        bound = volume.get("status", {}).get("phase") == "Bound"
        if bound and spec.get("storageClassName") == name and "ReadWriteMany" in spec.get("accessModes", []):
            return Finding(title, ok=True, found=f"class {name}; it has volumes that many nodes write")
    if provisioner.endswith(SHARING):
        return Finding(title, ok=True, found=f"class {name} ({provisioner}), which gives volumes that many nodes write")
    if provisioner.endswith(NOT_SHARING):
        advice = "name a class that can ReadWriteMany (CephFS, NFS, a cloud's file storage) in storage.sharedClass; courses need it"
        return Finding(title, ok=False, found=f"class {name} ({provisioner}) cannot ReadWriteMany", advice=advice)
    found = f"class {name} ({provisioner}); could not tell whether it can ReadWriteMany, which courses need"
    return Finding(title, ok=False, found=found, needed=False)


def _policies(facts: Facts) -> Finding:
    for each in facts.daemon_sets or ():
        if agent := AGENTS.get(each["metadata"]["name"]):
            return Finding("network policies", ok=True, found=f"{agent} enforces them")
    for group, agent in AGENT_GROUPS.items():
        if group in facts.groups:
            return Finding("network policies", ok=True, found=f"{agent} is here and enforces them")
    found = "could not tell who enforces them; when the lab runs, install tries it from inside"
    return Finding("network policies", ok=False, found=found, needed=False)


def _gpus(facts: Facts, values: Values) -> Iterator[Finding]:
    flavours = given(values, "sizes", "flavours") or {}
    sizes = given(values, "sizes", "sizes") or {}
    for name, flavour in flavours.items():
        served = [size for size, about in sizes.items() if about.get("gpu") == name]
        if not served:
            continue
        title = f"GPU flavour {name}"
        if facts.nodes is None:
            yield Finding(title, ok=False, found="could not tell: you may not see nodes", needed=False)
            continue
        units = sum(_units(node, flavour) for node in facts.nodes)
        resource = flavour.get("resource")
        advice = "" if units else (
            f"the sizes {', '.join(served)} do not start until nodes offer it: see docs/how-to/cluster/gpus.md"
        )  # fmt: skip
        yield Finding(title, units > 0, f"{units} x {resource}", advice, needed=False)
        runtime, known = flavour.get("runtime_class"), facts.runtime_classes
        if runtime and known is not None and runtime not in [each["metadata"]["name"] for each in known]:
            yield Finding(title, ok=False, found=f"there is no RuntimeClass {runtime}",
                          advice=f"the sizes {', '.join(served)} do not start until it is there", needed=False)  # fmt: skip


def _units(node: Mapping[str, Any], flavour: Mapping[str, Any]) -> int:
    labels = node["metadata"].get("labels") or {}
    if not (flavour.get("node_selector") or {}).items() <= labels.items():
        return 0
    return int(parse_quantity(node["status"].get("allocatable", {}).get(flavour.get("resource"), 0)))


def _front_door(facts: Facts, values: Values) -> Iterator[Finding]:
    doors = [
        ("ingress", "IngressClass", facts.ingress_classes, DEFAULT_INGRESS),
        ("gateway", "GatewayClass", facts.gateway_classes, ""),
    ]
    for key, kind, known, default in doors:
        name = given(values, key, "className")
        if not given(values, key, "enabled") or (key == "gateway" and not name):
            continue
        if known is None:
            yield Finding(key, ok=False, found=f"could not tell: no {kind} can be seen", needed=False)
            continue
        names = sorted(each["metadata"]["name"] for each in known)
        if name and name not in names:
            advice = f"name another one in {key}.className; there are: {', '.join(names) or 'none'}"
            yield Finding(key, ok=False, found=f"there is no {kind} {name}", advice=advice)
        elif not name and not any(_is_default(each, default) for each in known):
            advice = f"name one in {key}.className; there are: {', '.join(names) or 'none'}"
            yield Finding(key, ok=False, found=f"the cluster has no default {kind}", advice=advice)
        else:
            yield Finding(key, ok=True, found=f"{kind} {name or 'by default'}")


def _secrets(facts: Facts, values: Values) -> Iterator[Finding]:
    for name, keys in secrets_of(values).items():
        there = facts.secrets.get(name)
        missing = [key for key in keys if key not in (there or ())]
        if there is None:
            with_keys = f" with {', '.join(keys)}" if keys else ""
            yield Finding(
                f"Secret {name}", ok=False, found="is not there", advice=f"create it{with_keys} in the namespace"
            )
        elif missing:
            yield Finding(f"Secret {name}", ok=False, found=f"lacks {', '.join(missing)}", advice="add these keys")
        else:
            yield Finding(f"Secret {name}", ok=True, found="is there")


def _names(facts: Facts) -> Iterator[Finding]:
    for host, known in facts.addresses.items():
        what = host if not host.startswith("somebody.") else f"*.{host.removeprefix('somebody.')}"
        advice = "" if known else "browsers find the lab and people's servers only when DNS leads there"
        yield Finding(f"DNS {what}", known, "is known" if known else "is not known here", advice, needed=False)


def _external_database(values: Values) -> bool:
    return bool(given(values, "database", "url") or given(values, "database", "existingSecret"))
