"""What a lab needs from a cluster: GPUs, volumes, policies, Pod Security, DNS, secrets and an audit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.cluster.space import Space, eventually, onenode
from tools.onenode import api, paths
from tools.onenode.cluster import api_port

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_the_node_is_ready_and_says_what_gpus_it_has(cluster: str) -> None:
    (node,) = api.get("nodes")["items"]
    assert api.condition(node, "Ready")
    assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.37.2"
    for kind in ("capacity", "allocatable"):
        assert node["status"][kind]["nvidia.com/gpu"] == "4"
        assert node["status"][kind]["nvidia.com/mig-1g.10gb"] == "8"


@pytest.mark.parametrize(("gpu", "there_are"), [("nvidia.com/gpu", 4), ("nvidia.com/mig-1g.10gb", 8)])
def test_a_pod_gets_a_gpu_and_one_too_many_waits_until_one_is_free(space: Space, gpu: str, there_are: int) -> None:
    one = {"limits": {gpu: "1"}}
    names = [f"gpu-{number}" for number in range(there_are)]
    for name in names:
        space.pod(name, "sleep", resources=one)
    space.ready(*names)
    space.pod("late", "sleep", resources=one)

    def refusal() -> str:
        conditions = space.get("pod", "late")["status"].get("conditions", [])
        return next((each["message"] for each in conditions if each.get("reason") == "Unschedulable"), "")

    assert f"Insufficient {gpu}" in eventually(refusal, "a word from the scheduler")
    space.kubectl("delete", "pod", names[0])
    space.ready("late")


def _claim(name: str, mode: str, storage_class: str | None) -> dict[str, Any]:
    spec: dict[str, Any] = {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}}
    if storage_class:
        spec["storageClassName"] = storage_class
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def _mounted(claim: str) -> dict[str, Any]:
    return {
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
        "mounts": [{"name": "data", "mountPath": "/data"}],
    }


def test_a_volume_survives_its_pod_and_goes_with_its_claim(space: Space) -> None:
    space.apply(_claim("home", "ReadWriteOnce", None))
    space.pod("first", "write", "/data/note", "kept", **_mounted("home"))
    space.ended("first")
    space.kubectl("delete", "pod", "first")
    space.pod("second", "read", "/data/note", **_mounted("home"))
    assert space.ended("second") == "kept"
    volume = space.get("pvc", "home")["spec"]["volumeName"]

    def folders() -> list[Path]:
        return list((paths.VOLUMES / "local").glob(f"{volume}_*"))

    assert folders()
    space.kubectl("delete", "pod", "second")
    space.kubectl("delete", "pvc", "home")
    eventually(lambda: not folders(), "the volume's folder to go")


def test_a_shared_volume_is_written_by_one_pod_and_read_by_another_at_the_same_time(space: Space) -> None:
    space.apply(_claim("materials", "ReadWriteMany", "shared"))
    space.pod("writer", "sleep", **_mounted("materials"))
    space.pod("reader", "sleep", **_mounted("materials"))
    space.ready("writer", "reader")
    space.run("writer", "write", "/data/note", "for all")
    assert space.run("reader", "read", "/data/note") == "for all"


def test_a_pod_that_breaks_restricted_is_refused_and_one_that_keeps_it_is_not(
    make_space: Callable[..., Space],
) -> None:
    space = make_space(**{"pod-security.kubernetes.io/enforce": "restricted"})
    space.pod("good", "sleep")
    with pytest.raises(api.KubectlError, match='violates PodSecurity "restricted'):
        space.pod("bad", "sleep", hostNetwork=True)


def _policy(name: str, app: str, **rules: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {"matchLabels": {"app": app}}, **rules},
    }


def _to(app: str) -> list[dict[str, Any]]:
    return [{"podSelector": {"matchLabels": {"app": app}}}]


def test_policies_for_what_comes_in_are_enforced(make_space: Callable[..., Space]) -> None:
    here, elsewhere = make_space(), make_space()
    here.pod("server", "serve", ":8080")
    for each in (here, elsewhere):
        each.pod("client", "sleep")
        each.pod("stranger", "sleep")
        each.ready("client", "stranger")
    here.ready("server")
    server = f"{here.address('server')}:8080"
    assert here.reaches("client", server)
    assert elsewhere.reaches("client", server)

    here.apply(_policy("only-the-client", "server", policyTypes=["Ingress"], ingress=[{"from": _to("client")}]))
    eventually(lambda: not elsewhere.reaches("client", server), "the other namespace to be kept out")
    assert not here.reaches("stranger", server)
    assert here.reaches("client", server)

    here.kubectl("delete", "networkpolicy", "only-the-client")
    eventually(lambda: elsewhere.reaches("client", server), "the way to be open again")


def test_policies_for_what_goes_out_are_enforced_also_through_a_service(space: Space) -> None:
    for name in ("allowed", "denied"):
        space.pod(name, "serve", ":8080")
        space.kubectl("expose", "pod", name, "--port=80", "--target-port=8080")
    space.pod("walled", "sleep")
    space.ready("allowed", "denied", "walled")
    ways = {name: (f"{space.address(name)}:8080", _service(space, name)) for name in ("allowed", "denied")}
    for pair in ways.values():
        for way in pair:
            eventually(lambda way=way: space.reaches("walled", way), f"{way} without a policy")  # type: ignore[misc]

    space.apply(_policy("wall", "walled", policyTypes=["Egress"], egress=[{"to": _to("allowed")}]))
    eventually(lambda: not space.reaches("walled", ways["denied"][0]), "the wall")
    assert not space.reaches("walled", ways["denied"][1])
    for way in ways["allowed"]:
        assert space.reaches("walled", way)


def _service(space: Space, name: str) -> str:
    return f"{space.get('service', name)['spec']['clusterIP']}:80"


def test_names_of_services_are_known_and_others_are_not(space: Space) -> None:
    space.pod("asking", "sleep")
    space.ready("asking")
    assert space.run("asking", "resolve", "kubernetes.default").split() == ["10.96.0.1"]
    with pytest.raises(api.KubectlError, match="no such host"):
        space.run("asking", "resolve", "example.org")


def test_the_front_door_is_reached_from_the_machine_and_by_its_name_from_inside(space: Space) -> None:
    space.pod("door", "serve", ":8080")
    space.kubectl("expose", "pod", "door", "--port=18080", "--target-port=8080")
    space.pod("asking", "sleep")
    space.ready("door", "asking")
    onenode("forward", f"{space.name}/door:18080", "18080")
    assert httpx.get("http://127.0.0.1:18080", timeout=10, trust_env=False).text == "door\n"
    address = space.get("service", "door")["spec"]["clusterIP"]
    for name in ("lab.localhost", "student1.lab.localhost"):
        answer = eventually(lambda name=name: _resolved(space, name), name)  # type: ignore[misc]
        assert answer == address
    assert space.reaches("asking", "student1.lab.localhost:18080")


def _resolved(space: Space, name: str) -> str:
    try:
        return space.run("asking", "resolve", f"{name}.").strip()
    except api.KubectlError:
        return ""


def test_secrets_are_not_readable_at_rest_and_the_audit_says_who_read_them(space: Space) -> None:
    space.kubectl("create", "secret", "generic", "token", "--from-literal=word=unmistakable-words")
    space.get("secret", "token")
    stored = b"".join(file.read_bytes() for file in (paths.STATE / "etcd").rglob("*") if file.is_file())
    assert f"/registry/secrets/{space.name}/token".encode() in stored
    assert b"k8s:enc:secretbox:v1:first:" in stored
    assert b"unmistakable-words" not in stored

    def entry() -> bool:
        lines = (paths.LOGS / "audit.log").read_text("utf-8").splitlines()
        entries = [json.loads(line) for line in lines if space.name in line]
        return any(
            each["verb"] == "get"
            and each["objectRef"]["resource"] == "secrets"
            and each["user"]["username"] == "onenode-admin"
            for each in entries
            if "objectRef" in each
        )

    eventually(entry, "a line in the audit log")


def test_the_kubeconfig_is_for_its_owner_and_the_api_server_for_this_machine_only(cluster: str) -> None:
    assert paths.KUBECONFIG.stat().st_mode & 0o777 == 0o600
    listening = [each.laddr for each in psutil.net_connections("inet") if each.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening if address and address.port == api_port()} == {"127.0.0.1"}
    assert "https://127.0.0.1:" in paths.KUBECONFIG.read_text("utf-8")
