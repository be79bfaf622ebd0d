"""Limits by systemd: each server in a transient scope of the person's own service manager.

Options: systemd-run(1), systemd.resource-control(5). A scope whose memory limit ended a process has the result
`oom-kill` (systemd.scope(5)); failed scopes are remembered until they are reset, which is how we learn it afterwards.
"""

import shutil
import subprocess
from pathlib import Path

FIRST_PID_NAMESPACE = "pid:[4026531836]"
"""The number is fixed in the kernel (PROC_PID_INIT_INO in include/linux/proc_ns.h)."""

TIMEOUT_S = 5.0


class SystemdLimiter:
    """A scope for each server, by `systemd-run --user --scope`."""

    def describe(self) -> str:
        """`systemd`."""
        return "systemd"

    def enter(self, name: str, cpus: float, memory_bytes: int) -> list[str]:
        """The words that start a command in a scope; the pid stays that of the command (systemd-run becomes it)."""
        _systemctl("reset-failed", f"{name}.scope")
        return [
            *("systemd-run", "--user", "--scope", "--quiet", f"--unit={name}"),
            *("-p", f"MemoryMax={memory_bytes}", "-p", "MemorySwapMax=0", "-p", f"CPUQuota={cpus:.2%}", "--"),
        ]

    def leave(self, name: str) -> None:
        """Stop the scope with all that runs in it, and forget it."""
        _systemctl("stop", f"{name}.scope")
        _systemctl("reset-failed", f"{name}.scope")

    def out_of_memory(self, name: str) -> bool:
        """Whether the scope's result is `oom-kill`."""
        return _systemctl("show", "--property=Result", "--value", f"{name}.scope").strip() == "oom-kill"


def detect(name: str) -> SystemdLimiter | None:
    """The limiter, when a command started by it is seen to run in a scope called `name`.

    Not within a PID namespace: the service manager would take our pids for those of other processes.
    """
    if not shutil.which("systemd-run") or str(Path("/proc/self/ns/pid").readlink()) != FIRST_PID_NAMESPACE:
        return None
    limiter = SystemdLimiter()
    seen = _output([*limiter.enter(name, 1.0, 2**28), "cat", "/proc/self/cgroup"])
    return limiter if f"{name}.scope" in seen else None


def forget(prefix: str) -> int:
    """Stop the scopes whose names begin so, and return how many there were."""
    if not shutil.which("systemctl") or not Path("/run/systemd/system").is_dir():
        return 0
    listed = _systemctl("list-units", "--type=scope", "--all", "--plain", "--no-legend", f"{prefix}*")
    names = [line.split()[0].removesuffix(".scope") for line in listed.splitlines() if line.strip()]
    for name in names:
        SystemdLimiter().leave(name)
    return len(names)


def _systemctl(*words: str) -> str:
    return _output(["systemctl", "--user", *words])


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)  # noqa: S603 - our own words
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
