"""`kirzl-lab down` and `kirzl-lab status`: look at the lab of a data folder from outside, and end it."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from kirzl_lab.cli.answers import answers
from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.parts import Check
from kirzl_lab.cli.processes import end_leftovers
from kirzl_lab.cli.state import Folder, Note, holding, is_held, read_note

END_LIMIT_S = 25
"""How long a lab may take to end before it is killed; servers end within the first ten seconds of it."""

KILL_LIMIT_S = 10


@dataclass(frozen=True, slots=True)
class Status:
    """How a lab is."""

    running: bool
    data: str
    note: Note | None = None
    health: Mapping[str, bool] = field(default_factory=dict)
    """Part -> whether it answers."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What `down` did."""

    was_running: bool
    killed: bool = False
    """It did not end when asked to."""
    leftovers: tuple[str, ...] = ()
    """Names of processes of an earlier lab that were ended."""


def look(folder: Folder) -> Status:
    """How the lab of that folder is; each part is asked whether it answers."""
    if not is_held(folder):
        return Status(running=False, data=str(folder.path))
    note = read_note(folder)
    return Status(running=True, data=str(folder.path), note=note, health=asyncio.run(_health(note)))


async def _health(note: Note | None) -> dict[str, bool]:
    checks = note.checks if note is not None else {}
    well = await asyncio.gather(*(answers(Check(url, tuple(accept))) for url, accept in checks.values()))
    return dict(zip(checks, well, strict=True))


def end(folder: Folder, *, end_limit_s: float = END_LIMIT_S) -> Ended:
    """End the lab of that folder, and what an earlier one left behind. Raises `Stop` where that is impossible."""
    if not folder.lock.exists():
        return Ended(was_running=False)
    was_running = is_held(folder)
    killed = was_running and not _ask(folder, signal.SIGTERM, end_limit_s)
    if killed and not _ask(folder, signal.SIGKILL, KILL_LIMIT_S):
        raise Stop(Exit.FELL_OVER, f"The lab on {folder.path} does not end; nothing more can be done from here.")
    with holding(folder):
        return Ended(was_running, killed, tuple(end_leftovers(folder.path)))


def _ask(folder: Folder, number: signal.Signals, limit_s: float) -> bool:
    """Signal the lab's supervisor and wait for it to let go of the lock."""
    deadline = time.monotonic() + limit_s
    asked: int | None = None
    while is_held(folder):
        note = read_note(folder)
        # A lab that is just starting has no note yet; a stale note would name a process that is not ours.
        if note is not None and note.pid != asked and _is_supervisor(note.pid, folder):
            _signal(note.pid, number, folder)
            asked = note.pid
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)  # the end of a process that is not our child can only be looked for
    return True


def _is_supervisor(pid: int, folder: Folder) -> bool:
    """Whether that process is the one that holds the lock, by what it has open."""
    import psutil  # noqa: PLC0415 - `status` needs none of it

    try:
        return any(file.path == str(folder.lock) for file in psutil.Process(pid).open_files())
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # then the signal is refused in plain words below


def _signal(pid: int, number: signal.Signals, folder: Folder) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        raise Stop(Exit.CANNOT, f"The lab on {folder.path} belongs to somebody else: only they can end it.") from None
