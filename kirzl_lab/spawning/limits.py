"""CPU and memory limits for servers on a laptop: a systemd scope, a writable cgroup, or none.

A `Limiter` gives the words to put before a server's command, so that the server and all that it starts is limited
from its first instruction on. What the machine offers is tried out once, not guessed. Names of scopes and cgroups
carry a hash of the data folder, so that one lab finds what it left behind and never touches another lab's.
"""

import hashlib
import os
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Protocol

from kirzl_lab.catalog.models import Size
from kirzl_lab.spawning import cgroups, systemd

GIB = 2**30


class Limiter(Protocol):
    """A way to keep servers to their size."""

    def describe(self) -> str:
        """`systemd`, `cgroup2`, `cgroup1` or `none`."""

    def enter(self, name: str, cpus: float, memory_bytes: int) -> list[str]:
        """Make the limits called `name`; the words to put before a command so that it runs inside. May block."""

    def leave(self, name: str) -> None:
        """End what still runs inside, and remove the limits. May block; nothing happens when there are none."""

    def out_of_memory(self, name: str) -> bool:
        """Whether the kernel ended a process inside because the memory limit was reached. May block."""


class NoLimiter:
    """For machines that offer nothing: sizes are a promise there."""

    def describe(self) -> str:
        """`none`."""
        return "none"

    def enter(self, _name: str, _cpus: float, _memory_bytes: int) -> list[str]:
        """No words."""
        return []

    def leave(self, _name: str) -> None:
        """Nothing to remove."""

    def out_of_memory(self, _name: str) -> bool:
        """Never known here."""
        return False


_trying = Lock()


def detect() -> Limiter:
    """The best way that works on this machine, tried out with a process. May block for a second the first time."""
    with _trying:  # `cache` alone lets two threads try at once
        return _detect()


@cache
def _detect() -> Limiter:
    # A name of this lab's, so that `forget_leftovers` finds what a lab killed in the midst of trying leaves.
    name = f"{prefix(Path(os.environ.get('KIRZL_LAB_DATA', '.lab')))}try.{os.getpid()}"
    return systemd.detect(name) or cgroups.detect(name) or NoLimiter()


def describe() -> str:
    """`systemd`, `cgroup2`, `cgroup1` or `none`: how this machine keeps servers to their size."""
    return detect().describe()


def limits_of(size: Size) -> tuple[float, int]:
    """Cores and bytes of a size."""
    return size.cpus, round(size.memory_gib * GIB)


def prefix(data: Path) -> str:
    """How the names of all scopes and cgroups of the lab in that data folder begin."""
    return f"kirzl-lab-{hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:12]}."


def name_of(data: Path, hub_name: str, server_name: str) -> str:
    """The name of a server's scope or cgroup. A dot is in neither name, so that no two servers share one."""
    return f"{prefix(data)}{hub_name}.{server_name}"


def forget_leftovers(data: Path) -> int:
    """End what a killed lab left running in its scopes and cgroups, remove them, and return how many there were.

    Call it only while no other lab can run on that data folder.
    """
    return systemd.forget(prefix(data)) + cgroups.forget(prefix(data))


if __name__ == "__main__":
    print(describe())
