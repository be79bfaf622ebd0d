"""The GPUs of a laptop: which there are, which sizes they serve, and what a server sees of them.

`nvidia-smi -L` lists GPUs and MIG slices with the UUIDs that CUDA_VISIBLE_DEVICES takes (NVIDIA Multi-Instance GPU
User Guide, "Device names"). A size without a GPU sees none, also where there are some.
"""

import re
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache

from kirzl_lab.catalog.models import Flavour, Size

NO_GPU = "this machine has no NVIDIA GPU"
NO_SLICE = "no GPU of this machine has a slice of that size"
NO_WHOLE = "every GPU of this machine is cut into slices"
ALL_TAKEN = "every GPU of this machine that would do is in use"

GPU_LINE = re.compile(r"GPU (?P<index>\d+): (?P<title>.+?) \(UUID: (?P<uuid>GPU-[0-9a-f-]+)\)")
SLICE_LINE = re.compile(r"\s+MIG (?P<profile>\S+)\s+Device\s+\d+: \(UUID: (?P<uuid>MIG-[^)]+)\)")
PROFILE_MEMORY = re.compile(r"(\d+)gb")

ROUNDING_GIB = 0.5
"""A slice called 5gb has 4.75 GiB; sites may write either."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a GPU with memory of its own (MIG)."""

    profile: str
    uuid: str

    @property
    def memory_gib(self) -> float:
        """The memory that the profile's name tells, in GiB; 0 when it tells none."""
        found = PROFILE_MEMORY.search(self.profile)
        return float(found[1]) if found else 0.0


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU of this machine, and the slices that it is cut into."""

    title: str
    uuid: str
    slices: tuple[Slice, ...] = ()


def parse(listing: str) -> tuple[Gpu, ...]:
    """The GPUs in what `nvidia-smi -L` printed; lines that say something else are passed over."""
    gpus: list[Gpu] = []
    for line in listing.splitlines():
        if found := GPU_LINE.match(line):
            gpus.append(Gpu(found["title"], found["uuid"]))
        elif gpus and (found := SLICE_LINE.match(line)):
            last = gpus[-1]
            gpus[-1] = Gpu(last.title, last.uuid, (*last.slices, Slice(found["profile"], found["uuid"])))
    return tuple(gpus)


@cache
def detect() -> tuple[Gpu, ...]:
    """The GPUs of this machine, asked for once; none when the driver's tool is missing, fails or hangs for 5 s."""
    try:
        command = ["nvidia-smi", "-L"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse(done.stdout) if done.returncode == 0 else ()


def describe() -> str:
    """The GPUs of this machine in a line, for an operator."""
    return ", ".join(
        gpu.title + (f" (slices: {', '.join(part.profile for part in gpu.slices)})" if gpu.slices else "")
        for gpu in detect()
    )


def units(flavour: Flavour, gpus: Collection[Gpu]) -> tuple[str, ...]:
    """UUIDs of the units of a flavour: slices that are large enough, smallest first; GPUs that are not cut; or all."""
    if flavour.share == "mig":
        slices = [part for gpu in gpus for part in gpu.slices if part.memory_gib + ROUNDING_GIB >= flavour.memory_gib]
        return tuple(part.uuid for part in sorted(slices, key=lambda part: part.memory_gib))
    return tuple(gpu.uuid for gpu in gpus if not gpu.slices)


def unavailable_reason(size: Size, flavours: Mapping[str, Flavour], gpus: Collection[Gpu]) -> str | None:
    """Why a size cannot be had on a machine with these GPUs (an English message id), or None when it can."""
    if size.gpu is None:
        return None
    if not gpus:
        return NO_GPU
    flavour = flavours[size.gpu]
    if units(flavour, gpus):
        return None
    return NO_SLICE if flavour.share == "mig" else NO_WHOLE


def unavailable_sizes(sizes: Mapping[str, Size], flavours: Mapping[str, Flavour]) -> dict[str, str]:
    """Size -> why it cannot be had on this machine (an English message id), for the sizes of which that is so."""
    reasons = {name: unavailable_reason(size, flavours, detect()) for name, size in sizes.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def free_unit(flavour: Flavour, gpus: Collection[Gpu], taken: Collection[str]) -> str | None:
    """The UUID of a unit for one more server: one that nobody holds, or for a shared flavour the least held one."""
    offered = units(flavour, gpus)
    if flavour.share == "shared":
        return min(offered, key=list(taken).count, default=None)
    return next((uuid for uuid in offered if uuid not in taken), None)


def environment(unit: str | None) -> dict[str, str]:
    """What makes a server see that unit, or no GPU at all."""
    return {"CUDA_VISIBLE_DEVICES": unit or "", "NVIDIA_VISIBLE_DEVICES": unit or "void"}
