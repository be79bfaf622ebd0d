"""Limits by cgroups that we may write: version 2 where a subtree is ours, version 1 where its controllers are.

Files: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst, scheduler/sched-bwc.rst of the kernel.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PERIOD_US = 100_000
"""Over which CPU time is counted, in microseconds; the kernel's default."""

CONTROLLERS = ("memory", "cpu")


@dataclass(frozen=True)
class CgroupLimiter:
    """A cgroup for each server: one folder below `parents`, or with version 1 one below each controller's parent."""

    version: int
    parents: tuple[Path, ...]
    """Version 2: one folder. Version 1: the folder for memory, then the one for CPU."""

    def describe(self) -> str:
        """`cgroup2` or `cgroup1`."""
        return f"cgroup{self.version}"

    def enter(self, name: str, cpus: float, memory_bytes: int) -> list[str]:
        """Make the cgroups; a shell that moves itself into them and then becomes the command. Raises `OSError`."""
        self.leave(name)
        for folder in self._folders(name):
            folder.mkdir()
        memory, cpu = self._folders(name)[0], self._folders(name)[-1]
        quota = max(1000, round(cpus * PERIOD_US))
        if self.version == 2:
            (memory / "memory.max").write_text(str(memory_bytes))
            _write_if_there(memory / "memory.swap.max", "0")
            (cpu / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        else:
            (memory / "memory.limit_in_bytes").write_text(str(memory_bytes))
            _write_if_there(memory / "memory.memsw.limit_in_bytes", str(memory_bytes))
            (cpu / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (cpu / "cpu.cfs_quota_us").write_text(str(quota))
        lists = [str(folder / "cgroup.procs") for folder in self._folders(name)]
        count = len(lists)
        moves = " && ".join(f'echo 0 > "${number}"' for number in range(1, count + 1))
        return ["/bin/sh", "-c", f'{moves} && shift {count} && exec "$@"', "sh", *lists]

    def leave(self, name: str) -> None:
        """Kill what still runs inside, and remove the cgroups."""
        _remove(self._folders(name))

    def out_of_memory(self, name: str) -> bool:
        """Whether the kernel has counted an `oom_kill`."""
        file = self._folders(name)[0] / ("memory.events" if self.version == 2 else "memory.oom_control")
        try:
            counts = dict(line.split() for line in file.read_text().splitlines())
        except OSError:
            return False
        return int(counts.get("oom_kill", 0)) > 0

    def _folders(self, name: str) -> list[Path]:
        return [parent / name for parent in self.parents]


def detect(name: str) -> CgroupLimiter | None:
    """The limiter for the first place where a process can be moved into a limited cgroup, tried out as `name`."""
    for limiter in _candidates():
        try:
            command = [*limiter.enter(name, 1.0, 2**28), "cat", "/proc/self/cgroup"]
            seen = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout  # noqa: S603
        except (OSError, subprocess.TimeoutExpired):
            continue
        finally:
            limiter.leave(name)
        if seen.count(f"/{name}\n") == len(limiter.parents):
            return limiter
    return None


def forget(prefix: str) -> int:
    """Kill what runs in cgroups whose names begin so, remove them, and return how many names there were."""
    found: dict[str, list[Path]] = {}
    for mount in {mount for _, mount in _mounts()}:
        for folder, names, _ in os.walk(mount):
            for name in names:
                if name.startswith(prefix):
                    found.setdefault(name, []).append(Path(folder, name))
    for folders in found.values():
        _remove(folders)
    return len(found)


def _candidates() -> Iterator[CgroupLimiter]:
    own = _own_paths()
    mounts = dict(_mounts())
    if "" in mounts:
        for parent in _upwards(mounts[""], own.get("", "/")):
            if _offers_controllers(parent):
                yield CgroupLimiter(2, (parent,))
    if all(controller in mounts and controller in own for controller in CONTROLLERS):
        nearest = [next(_upwards(mounts[name], own[name]), None) for name in CONTROLLERS]
        parents = tuple(parent for parent in nearest if parent is not None)
        if len(parents) == len(CONTROLLERS):
            yield CgroupLimiter(1, parents)


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """Our own cgroup and those above it that we may write, nearest first: limits that we are under stay in force."""
    own = mount / path.lstrip("/")
    for folder in (own, *own.parents):
        if folder.is_relative_to(mount) and folder.is_dir() and os.access(folder / "cgroup.procs", os.W_OK):
            yield folder


def _offers_controllers(folder: Path) -> bool:
    """Version 2: whether cgroups below `folder` have both controllers, switched on where that is ours to do."""
    switches = folder / "cgroup.subtree_control"
    try:
        if not set(CONTROLLERS) <= set((folder / "cgroup.controllers").read_text().split()):
            return False
        if not set(CONTROLLERS) <= set(switches.read_text().split()):
            switches.write_text(" ".join(f"+{name}" for name in CONTROLLERS))
    except OSError:  # not ours, or processes live in it (cgroup-v2.rst, "No Internal Process Constraint")
        return False
    return True


def _mounts() -> Iterator[tuple[str, Path]]:
    """(controller, where it is mounted); the controller of version 2 is called ''. See proc(5)."""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, folder, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            yield "", Path(folder)
        elif kind == "cgroup":
            yield from ((name, Path(folder)) for name in options.split(",") if name in CONTROLLERS)


def _own_paths() -> dict[str, str]:
    """Controller -> our own cgroup; see cgroups(7) on /proc/[pid]/cgroup."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return {}
    return {name: path for line in lines for _, names, path in [line.split(":", 2)] for name in names.split(",")}


def _remove(folders: Iterable[Path]) -> None:
    folders = [folder for folder in folders if folder.is_dir()]
    for _ in range(100):
        for folder in list(folders):
            _kill(folder)
            with contextlib.suppress(OSError):  # busy until the last process is reaped
                folder.rmdir()
            if not folder.is_dir():
                folders.remove(folder)
        if not folders:
            return
        time.sleep(0.02)  # the kernel tells nobody when it has reaped the last process


def _kill(folder: Path) -> None:
    with contextlib.suppress(OSError, ValueError):
        for pid in (folder / "cgroup.procs").read_text().split():
            if int(pid) not in (0, os.getpid()):  # 0 stands for a process outside our PID namespace
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)


def _write_if_there(file: Path, text: str) -> None:
    with contextlib.suppress(OSError):  # kernels without swap accounting do not have it
        file.write_text(text)
