"""All processes of one server, and how they end.

A server's processes are its tree, and whatever carries its mark in the environment: kernels and terminals lead
sessions of their own, and a job sent to the background outlives its parent. A pid is compared with the start time of
its process before anything is sent to it, since pids are used again.
"""

import contextlib
import os
import signal
from collections.abc import Iterable

import psutil

MARK = "KIRZL_LAB_SERVER_MARK"
"""Environment variable by which the processes of one server are known."""

START_TIME_LEEWAY_S = 0.05
"""psutil computes start times from clock ticks of 10 ms and the boot time; two readings may differ by rounding."""


def started(pid: int) -> float | None:
    """When the process with that pid started, in seconds since the epoch; None when there is none (or a zombie)."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def is_same(pid: int, start: float) -> bool:
    """Whether the process with that pid lives and is the one that started at that time."""
    now = started(pid) if pid > 0 else None
    return now is not None and abs(now - start) <= START_TIME_LEEWAY_S


def family(pid: int, start: float, mark: str) -> list[psutil.Process]:
    """The living processes of a server: itself (when the pid still is it), its tree, and all that carry its mark."""
    found: dict[int, psutil.Process] = {}
    if is_same(pid, start):
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(pid)
            found |= {process.pid: process for process in (root, *root.children(recursive=True))}
    for process in psutil.process_iter():
        if process.pid not in found and mark and _carries(process.pid, mark):
            found[process.pid] = process
    found.pop(os.getpid(), None)
    return list(found.values())


def end(processes: Iterable[psutil.Process], patience_s: float) -> None:
    """End the processes: SIGTERM, and SIGKILL for those that live on after `patience_s` seconds. Blocks."""
    alive = [process for process in processes if send(process, signal.SIGTERM)]
    _, alive = psutil.wait_procs(alive, timeout=patience_s)
    for process in alive:
        send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=1)


def send(process: psutil.Process, number: signal.Signals) -> bool:
    """Send a signal, unless the process has ended (psutil compares the start time); whether it was sent."""
    try:
        process.send_signal(number)
    except psutil.Error:
        return False
    return True


def _carries(pid: int, mark: str) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:  # noqa: PTH123 - half the price for each process
            return f"{MARK}={mark}".encode() in environ.read().split(b"\0")
    except OSError:
        return False
