"""How the processes of a lab are kept together, so that none outlives it.

Where the machine can make a PID namespace, the lab lives in one: when its process 1 ends, for whatever reason, the
kernel ends everything in it (pid_namespaces(7)). Elsewhere the lab consists of plain processes; what survives a
SIGKILL of the supervisor there is found at the next start by its environment and ended then.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from kirzl_lab.spawning.processes import MARK

MARKER = "KIRZL_LAB_PART_OF"
"""Every process of a lab has this variable, but for servers; its value is the lab's data folder.

No setting is read from it, so nobody has it in a shell whose programs would then count as leftovers.
"""

PROBE_LIMIT_S = 10
KILL_LIMIT_S = 10


@dataclass(frozen=True, slots=True)
class Launcher:
    """How the inner supervisor is started."""

    mode: str
    """`pid-namespace` or `plain-processes`."""
    prefix: tuple[str, ...] = ()
    """Comes before the inner supervisor's command."""
    tie: tuple[str, ...] = ()
    """Comes before each part's command."""


TIE = ("setpriv", "--pdeathsig", "KILL", "--")
"""The command after it is killed when its parent ends (prctl(2), PR_SET_PDEATHSIG)."""

NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
NAMESPACES = (NAMESPACE, (*NAMESPACE, "--user", "--map-current-user"))


def plain_launcher() -> Launcher:
    """Plain processes; on Linux each part is still tied to the inner supervisor."""
    return Launcher("plain-processes", tie=TIE if _works(TIE) else ())


def best_launcher() -> Launcher:
    """A PID namespace where this machine gives us one, plain processes otherwise."""
    for namespace in NAMESPACES if os.geteuid() == 0 else NAMESPACES[1:]:
        prefix = (*TIE, *namespace)
        if _works(prefix):
            return Launcher("pid-namespace", prefix=prefix)
    return plain_launcher()


def _works(prefix: Iterable[str]) -> bool:
    command = [*prefix, "true"]
    if shutil.which(command[0]) is None:
        return False
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=PROBE_LIMIT_S).returncode == 0  # noqa: S603 - constants above
    except (OSError, subprocess.TimeoutExpired):
        return False


def end_leftovers(data: Path) -> list[str]:
    """End what still runs of earlier labs on this data folder; the names of the processes that were ended.

    Call it only while holding the folder's lock: then every process with its marker is a leftover. Our own process
    and those that we come from are spared: a command may be given in a terminal of a server.
    """
    ours = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    found = [process for process in psutil.process_iter() if process.pid not in ours and _belongs_to(process, data)]
    names = [_name(process) for process in found]
    for process in found:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(found, timeout=KILL_LIMIT_S)
    return names


def _belongs_to(process: psutil.Process, data: Path) -> bool:
    try:
        environment = process.environ()
    except (psutil.Error, OSError):
        return False
    # A server is told little, but its mark, and that its home is in the data folder.
    is_server = MARK in environment and any(value.startswith(f"{data / 'homes'}/") for value in environment.values())
    return is_server or environment.get(MARKER) == str(data)


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return str(process.pid)


def outside_pids(init: int, inside: dict[str, int]) -> dict[str, int]:
    """The process numbers, as seen from here, of processes whose numbers in the namespace of `init` are known.

    On Linux the last number of `NSpid` in /proc/PID/status is the one inside (proc(5)). Elsewhere there are no
    namespaces and the numbers are the same.
    """
    if sys.platform != "linux":
        return inside
    try:
        candidates = psutil.Process(init).children(recursive=True)
    except psutil.Error:
        return {}
    outside = {_inner_number(process.pid): process.pid for process in candidates}
    return {name: outside[pid] for name, pid in inside.items() if pid in outside}


def _inner_number(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return pid
    return next((int(line.split()[-1]) for line in lines if line.startswith("NSpid:")), pid)
