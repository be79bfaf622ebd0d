"""The processes of the cluster and their options."""

import os
import sys
from pathlib import Path

from tools.onenode import certificates as certs
from tools.onenode.build import binary
from tools.onenode.certificates import NODE, Pair
from tools.onenode.configuration import client_file
from tools.onenode.network import API_PORT, NODE_ADDRESS, POD_RANGE, SERVICE_RANGE
from tools.onenode.paths import CERTIFICATES, CONFIG, LOGS, STATE
from tools.onenode.processes import Component

_ETCD = "https://127.0.0.1:2379"
_SOURCE = Path(__file__).parents[2]


def etcd() -> Component:
    """Without fsync: what a crash of the whole machine loses here, `up` makes anew."""
    return Component(
        "etcd",
        (
            binary("etcd"),
            f"--data-dir={STATE / 'etcd'}",
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            *_tls("cert-file", "key-file", certs.ETCD),
            f"--trusted-ca-file={certs.AUTHORITY.certificate}",
            "--client-cert-auth",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ),
    )


def api_server() -> Component:
    """With the audit log on and Secrets encrypted at rest."""
    return Component(
        "kube-apiserver",
        (
            binary("kube-apiserver"),
            f"--advertise-address={NODE_ADDRESS}",
            f"--bind-address={NODE_ADDRESS}",
            f"--secure-port={API_PORT}",
            *_tls("tls-cert-file", "tls-private-key-file", certs.API_SERVER),
            f"--client-ca-file={certs.AUTHORITY.certificate}",
            f"--etcd-servers={_ETCD}",
            f"--etcd-cafile={certs.AUTHORITY.certificate}",
            *_tls("etcd-certfile", "etcd-keyfile", certs.API_TO_KUBELET),
            *_tls("kubelet-client-certificate", "kubelet-client-key", certs.API_TO_KUBELET),
            f"--kubelet-certificate-authority={certs.AUTHORITY.certificate}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={certs.FRONT_AUTHORITY.certificate}",
            "--requestheader-allowed-names=front",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            *_tls("proxy-client-cert-file", "proxy-client-key-file", certs.FRONT),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={certs.SERVICE_ACCOUNTS.key}",
            f"--service-account-signing-key-file={certs.SERVICE_ACCOUNTS.key}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--profiling=false",
            f"--encryption-provider-config={CERTIFICATES / 'encryption.json'}",
            f"--audit-policy-file={CONFIG / 'audit.json'}",
            f"--audit-log-path={LOGS / 'audit.log'}",
            "--audit-log-maxsize=50",
            "--audit-log-maxbackup=1",
        ),
    )


def controller_manager() -> Component:
    """One of it: no leader to elect, which saves the wait for a dead one's lease."""
    return Component(
        "kube-controller-manager",
        (
            binary("kube-controller-manager"),
            *_client("kube-controller-manager"),
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={certs.SERVICE_ACCOUNTS.key}",
            f"--root-ca-file={certs.AUTHORITY.certificate}",
            "--allocate-node-cidrs=true",
            f"--cluster-cidr={POD_RANGE}",
            "--node-cidr-mask-size=24",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--profiling=false",
        ),
    )


def scheduler() -> Component:
    """One of it."""
    return Component(
        "kube-scheduler",
        (
            binary("kube-scheduler"),
            *_client("kube-scheduler"),
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--profiling=false",
        ),
    )


def containerd() -> Component:
    """Ends without its containers: they stay when it is restarted."""
    return Component("containerd", (binary("containerd"), "--config", CONFIG / "containerd.toml"))


def kubelet() -> Component:
    """The node itself."""
    return Component(
        "kubelet",
        (
            binary("kubelet"),
            f"--config={CONFIG / 'kubelet.json'}",
            f"--kubeconfig={client_file('kubelet')}",
            f"--root-dir={STATE / 'kubelet'}",
            f"--cert-dir={CERTIFICATES}",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_ADDRESS}",
        ),
    )


def kube_proxy() -> Component:
    """Services, with nftables; connection tracking limits are the machine's and stay as they are."""
    return Component(
        "kube-proxy",
        (
            binary("kube-proxy"),
            f"--kubeconfig={client_file('kube-proxy')}",
            f"--hostname-override={NODE}",
            "--proxy-mode=nftables",
            f"--cluster-cidr={POD_RANGE}",
            "--conntrack-max-per-core=0",
            "--healthz-bind-address=127.0.0.1:10256",
            "--metrics-bind-address=127.0.0.1:10249",
        ),
    )


def kube_router() -> Component:
    """Network policies, with iptables and ipsets; its other two trades are off."""
    return Component(
        "kube-router",
        (
            binary("kube-router"),
            *_client("kube-router"),
            f"--hostname-override={NODE}",
            "--run-firewall=true",
            "--run-router=false",
            "--run-service-proxy=false",
            "--enable-cni=false",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--iptables-sync-period=1m",
        ),
        # It reads the node's name from the environment alone in places.
        environment={"NODE_NAME": NODE},
    )


def forwarder(name: str, port: int, target: str) -> Component:
    """A loopback port of the machine that leads to HOST:PORT inside; see `forwarder.py`."""
    return Component(
        f"forward-{name}",
        (sys.executable, "-m", "tools.onenode.forwarder", str(port), target),
        environment={"PYTHONPATH": os.fspath(_SOURCE)},
        in_namespace=False,
    )


def _client(name: str) -> tuple[str, ...]:
    return (f"--kubeconfig={client_file(name)}",)


def _tls(certificate_option: str, key_option: str, pair: Pair) -> tuple[str, str]:
    return f"--{certificate_option}={pair.certificate}", f"--{key_option}={pair.key}"
