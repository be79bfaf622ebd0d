"""The cluster's control groups: the kubelet puts pods below them, and `down` finds by them every process to end.

A process cannot leave its group without root, and what it starts is born in it: unlike process ids in files, a group
holds also what a killed supervisor left behind.
"""

import contextlib
import os
import signal
from pathlib import Path

from tools.onenode.paths import NAME
from tools.onenode.waiting import until

SYSTEM = "system"  # the group for our own processes, beside the kubelet's `kubepods`


def hierarchies() -> list[Path]:
    """Where control groups are mounted: one folder for each controller in version 1, one for all in version 2."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.split(" ", 1)[0] in {"cgroup", "cgroup2"}:
            found.append(Path(fields.split(" ")[4]))
    return found


def create() -> None:
    """Makes the groups, where they are not there yet."""
    for hierarchy in hierarchies():
        group = hierarchy / NAME
        group.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):  # version 1 accepts no process before these are set
            own, above = group / name, hierarchy / name
            if above.exists() and own.exists() and not own.read_text(encoding="utf-8").strip():
                own.write_text(above.read_text(encoding="utf-8"), encoding="utf-8")
    (_tracking() / SYSTEM).mkdir(exist_ok=True)


def entrance() -> Path:
    """The file that a process writes its id to in order to belong to the cluster."""
    return _tracking() / SYSTEM / "cgroup.procs"


def _tracking() -> Path:
    """Our group in the one hierarchy that tracks processes; the machine's limits in the others stay as they are."""
    mounted = hierarchies()
    pids = [hierarchy for hierarchy in mounted if hierarchy.name == "pids"]
    return (pids or mounted)[0] / NAME


def processes() -> set[int]:
    """The ids of all processes of the cluster: ours, the container shims, and what runs in pods."""
    found: set[int] = set()
    for group in _groups():
        with contextlib.suppress(OSError):
            found.update(int(pid) for pid in (group / "cgroup.procs").read_text(encoding="utf-8").split())
    return found - {os.getpid()}


def kill_all(within: float = 30) -> None:
    """Ends every process of the cluster; raises `TimeoutError` when one is still there after `within` seconds."""

    def none_left() -> bool:
        left = processes()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    until(none_left, "every process of the cluster to end", within)


def remove(within: float = 10) -> None:
    """Removes the groups, which must be empty; raises `TimeoutError` when they cannot be."""

    def gone() -> bool:
        for group in _groups():
            with contextlib.suppress(OSError):
                group.rmdir()
        return not _groups()

    until(gone, "the control groups to go", within)


def _groups() -> list[Path]:
    """All groups of the cluster, the innermost first."""
    found = []
    for hierarchy in hierarchies():
        for folder, _, _ in os.walk(hierarchy / NAME, topdown=False):
            found.append(Path(folder))
    return found
