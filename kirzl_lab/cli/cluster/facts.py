"""What there is in a cluster, as far as an install asks: gathered in one go, judged in `checks`."""

import socket
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from kirzl_lab.cli.cluster.connection import Cluster, RefusedError, Thing
from kirzl_lab.cli.cluster.rights import Resource, Right, Served, kinds, needed

AT_ONCE = 8
RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/audit": "restricted",
    "pod-security.kubernetes.io/warn": "restricted",
}
"""Labels of the lab's namespace."""
A_SERVER = "somebody"
"""Stands for a person's host name where a wildcard is looked up."""


@dataclass(frozen=True)
class Facts:
    """Answers of the API server. None: nobody may look, or the cluster does not know such things."""

    version: str
    helm: str
    namespace: Thing | None = None
    served: Served = field(default_factory=dict)
    refused: tuple[Right, ...] = ()
    storage_classes: list[Thing] | None = None
    volumes: list[Thing] | None = None
    daemon_sets: list[Thing] | None = None
    groups: frozenset[str] = frozenset()
    nodes: list[Thing] | None = None
    runtime_classes: list[Thing] | None = None
    ingress_classes: list[Thing] | None = None
    gateway_classes: list[Thing] | None = None
    secrets: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    """Name of a Secret of the site -> its keys; None: it is not there."""
    addresses: Mapping[str, bool] = field(default_factory=dict)
    """Host name -> whether DNS knows it here."""


def namespace_is_fine(namespace: Mapping[str, Any] | None) -> bool:
    """Whether the namespace is there with the labels that the lab wants."""
    labels = (namespace or {}).get("metadata", {}).get("labels", {})
    return namespace is not None and RESTRICTED.items() <= labels.items()


def gather(cluster: Cluster, helm_version: str, objects: list[Thing], secrets: Iterable[str], url: str) -> Facts:
    """Ask for all of it. Raises `Stop` where the cluster does not answer."""
    version = str(cluster.get("/version")["gitVersion"])
    namespace = cluster.find(f"/api/v1/namespaces/{cluster.namespace}")
    served = _served(cluster, {version for version, _ in kinds(objects)})
    rights = needed(objects, served, namespace_is_fine=namespace_is_fine(namespace))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        allowed = pool.map(lambda right: (right, _may(cluster, right)), sorted(rights))
        lists = dict(zip(LISTS, pool.map(cluster.items_if_allowed, LISTS.values()), strict=True))
        keys = dict(pool.map(lambda name: (name, _keys(cluster, name)), secrets))
        groups = frozenset(group["name"] for group in cluster.get("/apis")["groups"])
        refused = tuple(right for right, may in allowed if not may)
    return Facts(
        version, helm_version, namespace, served, refused, groups=groups, secrets=keys, addresses=_known(url), **lists
    )


LISTS = {
    "storage_classes": "/apis/storage.k8s.io/v1/storageclasses",
    "volumes": "/api/v1/persistentvolumes",
    "daemon_sets": "/apis/apps/v1/daemonsets",
    "nodes": "/api/v1/nodes",
    "runtime_classes": "/apis/node.k8s.io/v1/runtimeclasses",
    "ingress_classes": "/apis/networking.k8s.io/v1/ingressclasses",
    "gateway_classes": "/apis/gateway.networking.k8s.io/v1/gatewayclasses",
}


def _served(cluster: Cluster, versions: Iterable[str]) -> dict[tuple[str, str], Resource]:
    found: dict[tuple[str, str], Resource] = {}
    for version in versions:
        answer = cluster.find(f"/{'apis' if '/' in version else 'api'}/{version}") or {"resources": []}
        for each in answer["resources"]:
            if "/" not in each["name"]:
                found[version, each["kind"]] = Resource(each["name"], each["namespaced"])
    return found


def _may(cluster: Cluster, right: Right) -> bool:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    return bool(cluster.create(path, right.review(cluster.namespace))["status"]["allowed"])


def _keys(cluster: Cluster, name: str) -> frozenset[str] | None:
    try:
        return frozenset(cluster.get(cluster.at(f"secrets/{name}")).get("data") or {})
    except RefusedError as error:
        if error.status == 404:
            return None
        raise


def _known(url: str) -> dict[str, bool]:
    host = urlsplit(url).hostname
    if not host or host == "localhost" or host.endswith(".localhost"):
        return {}
    return {name: _resolves(name) for name in (host, f"{A_SERVER}.{host}")}


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, None))
    except OSError:
        return False
