"""A stand-in for everything outside the cluster: a network of its own, a cable into the cluster's, and a server in it.

It holds documentation addresses (RFC 5737), which nobody has, as the internet; and some that must stay out of reach. The
network goes with its server's process, and the cable and its routes with the network: nothing is left behind.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.space import eventually
from tools.onenode.network import ENTER

PUBLIC = ("192.0.2.10", "198.51.100.10", "203.0.113.10")
"""Of the three documentation networks."""

INSIDE = {
    "a private network": "10.9.8.7",
    "another private network": "172.20.0.9",
    "a home network": "192.168.77.7",
    "the metadata address": "169.254.169.254",
    "carrier-grade NAT": "100.100.100.200",
    "Azure's host": "168.63.129.16",
    "protocol assignments": "192.0.0.192",
    "benchmarks": "198.18.0.7",
    "what the site forbids": "198.51.100.99",
}
"""What it is -> an address that no space reaches, whatever its network reach."""

MIRROR = "10.99.0.7"
"""A private address at which a site has a mirror."""

_HERE, _THERE = "203.0.113.1", "203.0.113.2"
_CABLE = "outside0"
_SERVER = Path(__file__).with_name("outside.py")


@contextmanager
def internet(*arguments: str) -> Iterator[None]:
    """Serves while it lasts: http on ports 80 and 8080, TLS on 443 when `arguments` are a certificate and its key."""
    addresses = (*PUBLIC, *INSIDE.values(), MIRROR)
    _in_cluster(f"ip link delete {_CABLE} 2>/dev/null || true")
    command = ["unshare", "--net", sys.executable, str(_SERVER), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "listens\n"
            _in_cluster(
                f"ip link add {_CABLE} type veth peer name eth0 netns {server.pid}",
                f"ip address add {_HERE}/32 peer {_THERE} dev {_CABLE}",
                f"ip link set {_CABLE} up",
            )
            _run(
                ["nsenter", f"--net=/proc/{server.pid}/ns/net", "--", "sh", "-ec"],
                f"ip address add {_THERE}/32 peer {_HERE} dev eth0",
                "ip link set eth0 up",
                f"ip route add default via {_HERE}",
                *(f"ip address add {address}/32 dev lo" for address in addresses),
            )
            _in_cluster(*(f"ip route replace {address}/32 via {_THERE} dev {_CABLE}" for address in addresses))
            yield
        finally:
            server.kill()
    # The kernel takes the cable away a moment after the last process.
    eventually(lambda: _CABLE not in _in_cluster("ip -brief link"), "the end of the outside")


def _in_cluster(*lines: str) -> str:
    return _run([*ENTER, "sh", "-ec"], *lines)


def _run(shell: list[str], *lines: str) -> str:
    done = subprocess.run([*shell, "\n".join(lines)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
