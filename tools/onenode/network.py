"""The network namespace in which everything runs: the machine's own network is left alone.

Addresses inside may be anything, since nothing outside sees them. There is no way out for pods, which is what a lab
for sensitive data wants by default.
"""

import subprocess
from collections.abc import Sequence

from tools.onenode import mounts
from tools.onenode.paths import NAMESPACE_FILE

NODE_ADDRESS = "10.250.0.1"
POD_RANGE = "10.244.0.0/24"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
API_PORT = 6443

ENTER = ("nsenter", f"--net={NAMESPACE_FILE}", "--")

# A bridge holds the node's address, since not every kernel has dummy devices. The default route makes the kubelet and
# kube-proxy take it for the machine's address. Bridged packets pass iptables, or policies could not see them.
_INSIDE = f"""set -e
ip link set lo up
ip link show node0 >/dev/null 2>&1 || ip link add node0 type bridge
ip address replace {NODE_ADDRESS}/24 dev node0
ip link set node0 up
ip route replace default dev node0
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables
"""


def create() -> None:
    """Makes the namespace and what is in it, where it is not there yet."""
    if not exists():
        # Not `ip netns add`: that would leave a mount of /run/netns on itself behind.
        NAMESPACE_FILE.touch()
        _run(["unshare", f"--net={NAMESPACE_FILE}", "true"])
    _run([*ENTER, "sh", "-c", _INSIDE])


def exists() -> bool:
    """Whether the namespace is there. It goes with its last process and its mount, and everything in it with it."""
    return str(NAMESPACE_FILE) in mounts.of_cluster()


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - fixed words only
    return done.stdout
