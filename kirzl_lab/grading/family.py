"""All processes of one run on a laptop, and how they end.

Student code starts what it likes, and what it starts may leave its session, its parent and its environment. So a
family is: the executor's tree, whatever carries its mark in the environment, and whatever was seen in either before.
What was never seen, since it cut itself off between two looks, is not found: the code runs as whoever runs the lab.
"""

import contextlib
from typing import Final

import psutil

MARK: Final = "KIRZL_LAB_GRADING_MARK"
"""Environment variable by which the processes of one run are known."""


class Family:
    """The processes of one run. Its methods block for some milliseconds."""

    def __init__(self, pid: int, mark: str) -> None:
        self._mark = mark
        self._seen: set[psutil.Process] = set()
        with contextlib.suppress(psutil.Error):
            self._seen.add(psutil.Process(pid))

    def look(self) -> list[psutil.Process]:
        """Those that live now; they are remembered. A process is told from a later one of its number by its start."""
        found = set(self._seen)
        for process in psutil.process_iter():
            if process not in found and self._carries(process):
                found.add(process)
        for process in list(found):
            with contextlib.suppress(psutil.Error):
                found.update(process.children(recursive=True))
        self._seen = {process for process in found if _lives(process)}
        return list(self._seen)

    def memory(self) -> int:
        """What they hold together, in bytes; pages that they share count once for each."""
        total = 0
        for process in self.look():
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def end(self) -> None:
        """Kill them, until a look finds none."""
        for _round in range(20):
            alive = self.look()
            if not alive:
                return
            for process in alive:  # first nobody may start anything any more
                with contextlib.suppress(psutil.Error):
                    process.suspend()
            for process in alive:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(alive, timeout=1)

    def _carries(self, process: psutil.Process) -> bool:
        try:
            with open(f"/proc/{process.pid}/environ", "rb") as environ:  # noqa: PTH123 - half the price for each process
                return f"{MARK}={self._mark}".encode() in environ.read().split(b"\0")
        except OSError:
            return False


def threads_of_user(uid: int) -> int:
    """How many threads the user has now, which is what the system counts against a limit on processes."""
    count = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == uid:
                count += process.num_threads()
    return count


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
