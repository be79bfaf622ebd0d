"""The second step on a laptop: the executor as a process of this machine.

Student code runs as whoever runs the lab: it is kept from running on and on, not from reading what that person can
read. What is promised: nothing secret of the lab in its environment, a home folder of its own, limits on time, memory,
processes and files, and that whatever it starts ends with it.
"""

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Final
from uuid import uuid4

from kirzl_lab.grading.family import MARK, Family, threads_of_user
from kirzl_lab.grading.logs import end_of
from kirzl_lab.grading.outcomes import Limits, Reason, reason_of

POLL_S: Final = 0.25
"""Between two looks at what runs."""

GRACE_S: Final = 5
"""The executor ends by itself when its time is over; this much later it is ended."""

KEPT: Final = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TZ")
"""Variables of the lab that student code gets as well."""


@dataclass(frozen=True)
class Outcome:
    """How it went: without a reason the folder of what was executed is there, with one it is not."""

    reason: Reason | None
    log: str
    """The end of what the executor and the code wrote to the terminal."""


async def execute(prepared: Path, executed: Path, limits: Limits) -> Outcome:
    """Run the submission in the folder `prepared`, which leads to the folder `executed`, which must not exist.

    Cancelled, it ends all that it started, as at every end.
    """
    work = Path(await asyncio.to_thread(mkdtemp, prefix="kirzl-lab-grading-"))
    try:
        reason = await _execute(prepared, executed, limits, work)
        if reason is None and not await asyncio.to_thread(executed.is_dir):
            reason = Reason.FAILED
        if reason is not None:
            await asyncio.to_thread(shutil.rmtree, executed, ignore_errors=True)
        return Outcome(reason, await asyncio.to_thread(end_of, work / "log"))
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, work, ignore_errors=True))


async def _execute(prepared: Path, executed: Path, limits: Limits, work: Path) -> Reason | None:
    mark = uuid4().hex
    # Nothing runs between fork and exec, where it would be a copy of the lab: the executor limits itself.
    command = [sys.executable, "-P", "-m", "kirzl_lab.grading.execute", str(prepared), str(executed)]
    command += await asyncio.to_thread(arguments_of, limits)
    with await asyncio.to_thread((work / "log").open, "wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(os.environ, work) | {MARK: mark},
            start_new_session=True,
        )
    family = Family(process.pid, mark)
    try:
        room = limits.output_bytes + await asyncio.to_thread(size_of, prepared)
        return await _watch(process, family, limits, lambda: size_of(executed) + size_of(work) > room)
    finally:
        await asyncio.shield(_end(process, family))


async def _watch(
    process: asyncio.subprocess.Process, family: Family, limits: Limits, too_large: Callable[[], bool]
) -> Reason | None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limits.total_s + GRACE_S
    while loop.time() < deadline:
        with contextlib.suppress(TimeoutError):
            status = await asyncio.wait_for(process.wait(), POLL_S)
            return Reason.OUTPUT if await asyncio.to_thread(too_large) else reason_of(status)
        if await asyncio.to_thread(family.memory) > limits.memory_bytes:
            return Reason.MEMORY
        if await asyncio.to_thread(too_large):
            return Reason.OUTPUT
    return Reason.TIME


async def _end(process: asyncio.subprocess.Process, family: Family) -> None:
    await asyncio.to_thread(family.end)
    await process.wait()


def arguments_of(limits: Limits) -> list[str]:
    """The limits as the executor takes them."""
    values = {
        "--cell-s": limits.cell_s,
        "--total-s": limits.total_s,
        "--output-bytes": limits.output_bytes,
        "--memory-bytes": limits.memory_bytes,
        "--open-files": limits.open_files,
        # For each process: threads on all cores use that much in the time that there is, and no more.
        "--cpu-s": limits.total_s * (os.cpu_count() or 1),
        "--processes": threads_of_user(os.getuid()) + limits.processes,
    }
    return [word for name, value in values.items() for word in (name, str(value))]


def environment(lab: Mapping[str, str], home: Path) -> dict[str, str]:
    """What the executor and the code that it runs are told; nothing of the lab's, nothing of the person's settings."""
    temporary = home / "tmp"
    temporary.mkdir(exist_ok=True)
    return {name: value for name, value in lab.items() if name in KEPT} | {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), lab.get("PATH", os.defpath)]),
        "IPYTHONDIR": str(home / ".ipython"),
        "JUPYTER_CONFIG_DIR": str(home / ".jupyter"),
        "JUPYTER_DATA_DIR": str(home / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(home / "jupyter" / "runtime"),
    }


def size_of(folder: Path) -> int:
    """What the files below the folder take on the disk, in bytes; links are not followed."""
    total = 0
    for here, _folders, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(here, name)).st_size  # noqa: PTH118 - many, and in a hurry
    return total
