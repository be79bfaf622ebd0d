"""`kirzl-lab doctor`: what this machine has for a lab and for its tests, and what to do about the rest."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from kirzl_lab.cli import node
from kirzl_lab.cli.exits import Stop
from kirzl_lab.cli.ports import PUBLIC_PORT, is_free
from kirzl_lab.cli.processes import best_launcher
from kirzl_lab.cli.state import Folder, is_held
from kirzl_lab.spawning import gpu

OLDEST_PYTHON = (3, 11)
LIMITS_WAIT_S = 60.0
MODES = {
    "pid-namespace": "the lab runs in a PID namespace; nothing of it outlives it, even when it is killed",
    "plain-processes": "the lab runs as plain processes; what a SIGKILL leaves is ended at the next start",
}
LIMITS = {
    "systemd": "systemd scopes keep servers to the cores and memory of their size",
    "cgroup2": "a cgroup keeps each server to the cores and memory of its size",
    "cgroup1": "a cgroup keeps each server to the cores and memory of its size",
    "none": "servers are not limited: a size is a promise here",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    found: str
    advice: str = ""
    needed: bool = True
    """Whether a lab cannot start without it."""

    def as_json(self) -> dict[str, Any]:
        """The finding as JSON."""
        return asdict(self)

    def line(self) -> str:
        """The finding for a terminal, with the markup of rich; a second line says what to do."""
        sign = "[green]✓[/]" if self.ok else "[red]✗[/]" if self.needed else "[yellow]–[/]"
        advice = f"\n    {escape(self.advice)}" if self.advice else ""
        return f"{sign} [bold]{escape(self.what)}[/]: {escape(self.found)}{advice}"


def findings(folder: Folder) -> Iterator[Finding]:
    """Look at everything, one after the other."""
    yield _python()
    yield _node()
    yield _modules()
    yield _kept_together()
    yield _limited()
    yield Finding("GPU", ok=True, found=gpu.describe() or gpu.NO_GPU, needed=False)
    yield _port()
    yield _folder(folder)
    yield _for_tests("PostgreSQL", _postgres(), "postgresql")
    yield _for_tests("Chromium", _chromium(), "chromium")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, OLDEST_PYTHON))
    ok = sys.version_info >= OLDEST_PYTHON
    return Finding("Python", ok, version, "" if ok else f"the lab needs {wanted} or newer")


def _node() -> Finding:
    try:
        found = node.find_node()
    except Stop as stop:
        return Finding("Node.js", ok=False, found="not here", advice=stop.sentence)
    return Finding("Node.js", ok=True, found=f"{found}, version {node.version_of(found)}")


def _modules() -> Finding:
    try:
        node.need_modules(demo=True)
    except Stop as stop:
        return Finding("proxy", ok=False, found="not here", advice=stop.sentence)
    return Finding("proxy", ok=True, found="configurable-http-proxy and the demo institutions' packages are installed")


def _kept_together() -> Finding:
    mode = best_launcher().mode
    return Finding("end of the lab", ok=mode == "pid-namespace", found=MODES[mode], needed=False)


def _limited() -> Finding:
    mode = _limits_of_a_lab()
    return Finding("limits", ok=mode != "none", found=f"{LIMITS.get(mode, mode)} ({mode})", needed=False)


def _limits_of_a_lab() -> str:
    """What `limits.describe` says where servers are started: in a namespace it may be less than out here."""
    command = [*best_launcher().prefix, sys.executable, "-P", "-m", "kirzl_lab.spawning.limits"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMITS_WAIT_S).stdout  # noqa: S603 - our own module
    return said.strip() or "none"


def _port() -> Finding:
    if is_free(PUBLIC_PORT):
        return Finding("port", ok=True, found=f"{PUBLIC_PORT} is free")
    return Finding(
        "port", ok=False, found=f"{PUBLIC_PORT} is in use", advice="the lab takes the next free one", needed=False
    )


def _folder(folder: Folder) -> Finding:
    if is_held(folder):
        return Finding("data folder", ok=True, found=f"a lab runs on {folder.path}")
    nearest = next(place for place in (folder.path, *folder.path.parents) if place.exists())
    ok = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    return Finding(
        "data folder", ok, str(folder.path), "" if ok else "it cannot be written: choose another one with --data"
    )


def _for_tests(what: str, found: str | None, package: str) -> Finding:
    advice = "" if found else f"only some tests need it; on Debian: apt-get install {package}"
    return Finding(f"{what} (for tests)", found is not None, found or "not here", advice, needed=False)


def _postgres() -> str | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=lambda folder: float(folder.parent.name))
    return shutil.which("initdb", path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, reversed(folders))]))


def _chromium() -> str | None:
    return shutil.which("chromium")
