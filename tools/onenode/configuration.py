"""The configuration files of the cluster's programs, written anew at every `up`."""

import json
from pathlib import Path

from tools.onenode.certificates import AUTHORITY, CLIENTS, KUBELET_SERVER, kubeconfig
from tools.onenode.images import PAUSE
from tools.onenode.network import API_PORT, DNS_SERVICE, NODE_ADDRESS, POD_RANGE
from tools.onenode.paths import CONFIG, CONTAINERD_SOCKET, KUBECONFIG, NAME, RUN, STATE

CNI_PROGRAMS = Path("/usr/lib/cni")  # of Debian's containernetworking-plugins
API_INSIDE = f"https://{NODE_ADDRESS}:{API_PORT}"


def write(api_port: int) -> None:
    """Writes all of them; `api_port` is the loopback port of the machine that leads to the API server."""
    (CONFIG / "cni").mkdir(parents=True, exist_ok=True)
    for client in CLIENTS:
        _write(client_file(client), kubeconfig(client, API_INSIDE))
    _write(KUBECONFIG, kubeconfig("admin", f"https://127.0.0.1:{api_port}"))
    _write(CONFIG / "containerd.toml", _containerd())
    _write(CONFIG / "cni" / "10-onenode.conflist", json.dumps(_cni(), indent=2))
    _write(CONFIG / "kubelet.json", json.dumps(_kubelet(), indent=2))
    _write(CONFIG / "audit.json", json.dumps(_audit(), indent=2))
    # Pods ask the cluster's DNS and nobody else.
    _write(CONFIG / "resolv.conf", "")


def client_file(client: str) -> Path:
    """The kubeconfig of one of the cluster's own programs."""
    return CONFIG / f"{client}.kubeconfig"


def _write(file: Path, text: str) -> None:
    """Replaces the file in one step, never readable for others; one that says the same already is left alone."""
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return
    partial = file.with_name(f".{file.name}.new")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def _containerd() -> str:
    """No oom_score_adj below our own, since that needs CAP_SYS_RESOURCE; pod namespaces are kept in our folder."""
    return f"""version = 3
root = "{STATE / "containerd"}"
state = "{RUN / "containerd"}"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE.reference}"

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{CNI_PROGRAMS}"]
conf_dir = "{CONFIG / "cni"}"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def _cni() -> dict[str, object]:
    """A bridge for pods, another than the node's, so that their traffic to the node is routed and policies see it."""
    return {
        "cniVersion": "1.0.0",
        "name": NAME,
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods0",
                "isGateway": True,
                "hairpinMode": True,
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(RUN / "cni"),
                    "ranges": [[{"subnet": POD_RANGE}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _kubelet() -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(AUTHORITY.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(KUBELET_SERVER.certificate),
        "tlsPrivateKeyFile": str(KUBELET_SERVER.key),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": str(CONFIG / "resolv.conf"),
        "podLogsDir": str(STATE / "pod-logs"),
        "volumePluginDir": str(STATE / "volume-plugins"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{NAME}",
        "enforceNodeAllocatable": [],
        # A developer's machine may have version 1 control groups, swap, few rights and a rather full disk.
        "failCgroupV1": False,
        "failSwapOn": False,
        "featureGates": {"KubeletInUserNamespace": True},
        "makeIPTablesUtilChains": False,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "2%", "imagefs.available": "2%"},
        "imageGCHighThresholdPercent": 100,  # nothing could pull a collected image again
        "imageGCLowThresholdPercent": 99,
    }


def _audit() -> dict[str, object]:
    """Who asked for what, without bodies; not the steady reading of the cluster's own programs."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "users": ["system:apiserver"]},
            {"level": "None", "userGroups": ["system:nodes"], "verbs": ["get", "list", "watch"]},
            {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
            {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*"]},
            {"level": "Metadata"},
        ],
    }
