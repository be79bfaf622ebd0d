"""A server's processes are found and ended, and no others."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from kirzl_lab.spawning import processes
from tests.support.waiting import wait_until

# A child in a session of its own, as kernels are, and one whose parent is gone, as background jobs are.
TREE = """
import os, subprocess, sys, time
subprocess.Popen(["sleep", "300"], start_new_session=True)
subprocess.run(["sh", "-c", "setsid nohup sleep 301 >/dev/null 2>&1 & setsid sh -c 'trap \\"\\" TERM; sleep 302; sleep 302' &"])
print("ready", flush=True)
time.sleep(300)
"""


@pytest.fixture
def server() -> Iterator[tuple[int, float, str]]:
    """pid, start time and mark of a process with descendants everywhere."""
    mark = f"test-{os.getpid()}-{os.urandom(4).hex()}"
    env = os.environ | {processes.MARK: mark}
    process = subprocess.Popen([sys.executable, "-c", TREE], env=env, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        start = processes.started(process.pid)
        assert start is not None
        yield process.pid, start, mark
    finally:
        process.kill()
        process.wait()
        for each in processes.family(0, 0, mark):
            each.kill()
        assert process.stdout is not None
        process.stdout.close()


def sleepers(pid: int, start: float, mark: str) -> set[str]:
    found = set()
    for each in processes.family(pid, start, mark):
        try:
            line = each.cmdline()
        except psutil.Error:
            continue
        if line[:1] == ["sleep"]:
            found.add(line[1])
    return found


def test_children_in_other_sessions_and_orphans_are_found(server: tuple[int, float, str]) -> None:
    wait_until(lambda: sleepers(*server) == {"300", "301", "302"}, "all descendants", 10)


def test_all_of_them_end_also_those_that_ignore_sigterm(server: tuple[int, float, str]) -> None:
    wait_until(lambda: sleepers(*server) == {"300", "301", "302"}, "all descendants", 10)
    processes.end(processes.family(*server), patience_s=0.2)
    wait_until(lambda: not sleepers(*server), "their end", 10)
    assert processes.started(server[0]) is None


def test_the_mark_alone_finds_what_a_dead_server_left(server: tuple[int, float, str]) -> None:
    wait_until(lambda: sleepers(*server) == {"300", "301", "302"}, "all descendants", 10)
    os.kill(server[0], signal.SIGKILL)
    assert sleepers(*server) == {"300", "301", "302"}


def test_a_pid_that_another_process_got_is_not_the_server() -> None:
    start = processes.started(os.getpid())
    assert start is not None
    assert processes.is_same(os.getpid(), start)
    assert not processes.is_same(os.getpid(), start - 1)
    assert not processes.is_same(0, 0.0)
    assert processes.family(os.getppid(), 1.0, "") == []


def test_no_mark_finds_nothing() -> None:
    assert processes.family(0, 0.0, "") == []
    assert processes.family(0, 0.0, "no-such-mark") == []
