"""What a cluster could leave on the machine, so that it can be compared before and after."""

import os
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path

import psutil

from tools.onenode import cgroups, host, paths

_PROGRAMS = {"runc", "pause", "containerd-shim", "containerd-shim-runc-v2"}


@dataclass(frozen=True)
class Traces:
    """Each a set of words, so that what is new can be named."""

    processes: frozenset[str]
    mounts: frozenset[str]
    interfaces: frozenset[str]
    namespaces: frozenset[str]
    cgroups: frozenset[str]
    rules: frozenset[str]
    folders: frozenset[str]

    def new_since(self, before: "Traces") -> dict[str, list[str]]:
        """What there is now and was not before, by kind."""
        kinds = {field.name: getattr(self, field.name) - getattr(before, field.name) for field in fields(self)}
        return {kind: sorted(new) for kind, new in kinds.items() if new}


def now() -> Traces:
    """Looks at the whole machine; of processes at those that only a cluster has, since others come and go."""
    return Traces(
        processes=frozenset(_processes()),
        mounts=frozenset(
            " ".join(line.split(" ")[3:5])
            for line in Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
            if "/var/lib/containers/" not in line  # image builds, which may run beside the tests
        ),
        interfaces=frozenset(path.name for path in Path("/sys/class/net").iterdir()),
        namespaces=frozenset(_namespaces()),
        cgroups=frozenset(
            folder
            for hierarchy in cgroups.hierarchies()
            for folder, _, _ in os.walk(hierarchy)
            if paths.NAME in folder or "kubepods" in folder
        ),
        rules=frozenset(_rules()),
        folders=frozenset(
            str(path) for path in (paths.STATE, paths.LOCK, *(Path(folder) for folder in host.FOLDERS)) if path.exists()
        ),
    )


def _processes() -> set[str]:
    found = set()
    for process in psutil.process_iter(["pid", "name", "exe", "cmdline"]):
        words = process.info["cmdline"] or []
        program = str(process.info["exe"] or "")
        # The S3 server of other tests is from the same cache, and no part of a cluster.
        ours = program.startswith(str(paths.cache())) and not program.endswith("/versitygw")
        if ours or process.info["name"] in _PROGRAMS or "tools.onenode.forwarder" in words:
            found.add(f"{process.pid} {' '.join(words)[:80]}")
    return found


def _namespaces() -> set[str]:
    """Network namespaces that a mount keeps alive; one without is gone with its processes, which are counted."""
    lines = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
    return {line.split(" ")[3] for line in lines if " - nsfs " in line}


def _rules() -> set[str]:
    """Packet filter rules of the machine's own network; handles and counters are left out."""
    listed = subprocess.run(["nft", "--stateless", "list", "ruleset"], check=True, capture_output=True, text=True)
    sets = subprocess.run(["ipset", "list", "-name"], check=True, capture_output=True, text=True)
    return {*listed.stdout.splitlines(), *sets.stdout.splitlines()}
