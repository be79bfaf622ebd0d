"""Whether network policies hold, tried from inside the running lab: nothing but a try can tell.

From the lab service one way is open (to the hub) and one is closed (to the proxy's API, where routes are written). If
the closed one opens, nobody in this cluster enforces policies.
"""

from kirzl_lab.cli.cluster.connection import Cluster
from kirzl_lab.cli.cluster.execute import CommandFailedError, execute
from kirzl_lab.cli.cluster.pods import ready_pod
from kirzl_lab.cli.doctor import Finding

OPEN, CLOSED = ("hub", 8081), ("proxy-api", 8001)
_TRY = """
import socket, sys
def reaches(host, port):
    try:
        socket.create_connection((host, int(port)), 3).close()
    except OSError:
        return "no"
    return "yes"
print(reaches(*sys.argv[1:3]), reaches(*sys.argv[3:5]))
"""
ADVICE = (
    "Servers can reach each other, the databases and the cluster. Install a network plugin that enforces NetworkPolicies "
    "(Calico, Cilium, ...) before people use the lab."
)


def tried(cluster: Cluster) -> Finding:
    """What came of it. Raises `Stop` where no lab service runs."""
    words = [str(word) for word in (*OPEN, *CLOSED)]
    try:
        said = execute(cluster, ready_pod(cluster, "service"), "service", ["python", "-c", _TRY, *words])
    except CommandFailedError as error:
        return judged("", str(error))
    return judged(said.decode(errors="replace").strip())


def judged(said: str, error: str = "") -> Finding:
    """The finding for what the try printed: whether the open way and the closed one let it through."""
    match said.split():
        case ["yes", "no"]:
            return Finding("network policies", ok=True, found="tried from inside: they hold")
        case ["yes", "yes"]:
            return Finding("network policies", ok=False, found="tried from inside: nobody enforces them", advice=ADVICE)
        case ["no", _]:
            found = "tried from inside: the lab service does not reach the hub, which it must"
            return Finding("network policies", ok=False, found=found, advice="see docs/how-to/cluster/network.md")
    return Finding("network policies", ok=True, found=f"could not be tried from inside: {error or said}", needed=False)
