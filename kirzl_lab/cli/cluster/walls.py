"""Whether network policies hold, tried from inside the running lab: nothing but a try can tell.

From the lab service one way is open (to the hub), and others are closed: to the proxy's API, where routes are written, to
the internet, and to the API server. Policy agents close a new pod a moment after it began, so this is asked for a while.
"""

import time
from collections.abc import Callable

from kirzl_lab.cli.cluster.connection import Cluster
from kirzl_lab.cli.cluster.execute import CommandFailedError, execute
from kirzl_lab.cli.cluster.pods import ready_pod
from kirzl_lab.cli.doctor import Finding

HUB, PROXY_API, OUTSIDE, API_SERVER = "hub:8081", "proxy-api:8001", "1.1.1.1:443", "kubernetes.default:443"
WAYS = (HUB, PROXY_API, OUTSIDE, API_SERVER)
WITHIN_S = 10
BETWEEN_S = 0.5
_TRY = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor
def reaches(way):
    host, _, port = way.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 3).close()
    except OSError:
        return "no"
    return "yes"
with ThreadPoolExecutor() as pool:
    print(*pool.map(reaches, sys.argv[1:]))
"""
ADVICE = (
    "Servers can reach each other, the databases and the cluster. Install a network plugin that enforces NetworkPolicies "
    "(Calico, Cilium, ...) before people use the lab."
)


OUTGOING = (
    "Servers can reach what their space does not allow. Install a network plugin that enforces outgoing NetworkPolicies, too "
    "(Calico, Cilium, ...) before people use the lab."
)
OWN_NODE = (
    "a plugin that lets every pod talk to its own node is no fault when the API server runs there; else outgoing policies do "
    "not hold: see docs/how-to/cluster/network.md"
)


def tried(
    cluster: Cluster, *, clock: Callable[[], float] = time.monotonic, pause: Callable[[float], None] = time.sleep
) -> Finding:
    """What came of it, once all is as it should be or after `WITHIN_S` seconds. Raises `Stop` where no lab service runs."""
    end = clock() + WITHIN_S
    while True:
        try:
            said = execute(cluster, ready_pod(cluster, "service"), "service", ["python", "-c", _TRY, *WAYS])
        except CommandFailedError as error:
            return judged("", str(error))
        finding = judged(said.decode(errors="replace").strip())
        if finding.ok or clock() > end:
            return finding
        pause(BETWEEN_S)


def judged(said: str, error: str = "") -> Finding:
    """The finding for what the try printed: a `yes` for each of `WAYS` that let it through."""
    what = "network policies"
    match said.split():
        case ["yes", "no", "no", "no"]:
            return Finding(what, ok=True, found="tried from inside: they hold")
        case ["yes", "yes", _, _]:
            return Finding(what, ok=False, found="tried from inside: nobody enforces them", advice=ADVICE)
        case ["yes", "no", "yes", _]:
            found = "tried from inside: incoming ones hold, outgoing ones do not"
            return Finding(what, ok=False, found=found, advice=OUTGOING)
        case ["yes", "no", "no", "yes"]:
            found = "tried from inside: they hold, but the lab service reaches the API server"
            return Finding(what, ok=False, found=found, advice=OWN_NODE, needed=False)
        case ["no", _, _, _]:
            found = "tried from inside: the lab service does not reach the hub, which it must"
            return Finding(what, ok=False, found=found, advice="see docs/how-to/cluster/network.md")
    return Finding(what, ok=True, found=f"could not be tried from inside: {error or said}", needed=False)
