"""The parts of `onenode` that need neither root nor a cluster."""

import fcntl
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.onenode import cluster, forwarder, host

_ROOT = Path(__file__).parents[2]


def _answer(asked: int, *records: bytes) -> tuple[bytes, int]:
    """A DNS answer and where its records begin (RFC 1035, section 4)."""
    question = b"\x04door\x03lab\x00" + struct.pack(">2H", 1, 1)
    head = struct.pack(">6H", asked, 0x8180, 1, len(records), 0, 0) + question
    return head + b"".join(records), len(head)


def _record(kind: int, data: bytes, name: bytes = b"\xc0\x0c") -> bytes:
    return name + struct.pack(">2HIH", kind, 1, 5, len(data)) + data


def test_the_first_address_of_an_answer_is_taken_whatever_stands_before_it() -> None:
    alias = _record(5, b"\x03web\xc0\x11", name=b"\x04door\x03lab\x00")
    answer, start = _answer(7, alias, _record(1, socket.inet_aton("10.96.1.2")), _record(1, b"\x01\x02\x03\x04"))
    assert forwarder.address_in(answer, 7, start, "door.lab") == "10.96.1.2"


@pytest.mark.parametrize("asked", [7, 8])
def test_an_answer_without_an_address_or_to_another_question_is_none(asked: int) -> None:
    answer, start = _answer(7)
    with pytest.raises(OSError, match=r"door\.lab"):
        forwarder.address_in(answer, asked, start, "door.lab")


def test_on_another_system_one_sentence_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(host.UnsuitableError, match=r"^The one-node cluster needs Linux; this is Darwin\.$"):
        host.check()


def test_without_root_one_sentence_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(host.UnsuitableError, match=r"^The one-node cluster needs root[^.]*\.$"):
        host.check()


def test_the_command_says_it_in_one_line_and_fails() -> None:
    program = "import os; os.geteuid = lambda: 1000; from tools.onenode.__main__ import main; raise SystemExit(main())"
    done = subprocess.run([sys.executable, "-c", program, "up"], cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("The one-node cluster needs root")


def test_a_lock_that_was_removed_while_one_waited_for_it_locks_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, take = tmp_path / "lock", fcntl.flock
    waited: list[int] = []

    def wait(file: Any, how: int) -> None:
        take(file, how)
        waited.append(how)
        if len(waited) == 1:
            lock.unlink()  # what the `down` does that had it until now

    monkeypatch.setattr(cluster, "LOCK", lock)
    monkeypatch.setattr(cluster.fcntl, "flock", wait)
    with cluster._locked(), lock.open("w") as another, pytest.raises(BlockingIOError):
        take(another, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert len(waited) == 2
