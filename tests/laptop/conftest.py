"""Real labs on folders of their own, and what is left of them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from kirzl_lab.cli.ports import free_port
from kirzl_lab.cli.processes import MARKER
from kirzl_lab.cli.state import Folder, read_note
from kirzl_lab.spawning import limits
from kirzl_lab.spawning.processes import MARK
from tests.support.running_lab import COMMAND, ROOT, run_command
from tests.support.waiting import wait_until

CGROUPS = Path("/sys/fs/cgroup")


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder; a lab that still runs there afterwards is ended."""
    yield tmp_path / "lab"
    run_command("down", "--data", str(tmp_path / "lab"))


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(data: Path) -> Iterator[Start]:
    """`start()`: `kirzl-lab up --demo` on that folder, in the foreground; `start(plain=True)` without a namespace."""
    started: list[subprocess.Popen[str]] = []
    port = str(free_port())

    def begin(*, plain: bool = False) -> subprocess.Popen[str]:
        up = [COMMAND, "up", "--demo", "--no-browser", "--data", str(data), "--port", port]
        command = [sys.executable, str(Path(__file__).with_name("run_lab.py")), str(data), port] if plain else up
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def running(data: Path, supervisor: "subprocess.Popen[str]") -> str:
    """The address of the lab that this supervisor runs, once it does; a note of an earlier lab does not count."""

    def look() -> str | None:
        assert supervisor.poll() is None, supervisor.communicate()[0]
        note = read_note(Folder.at(data))
        ready = note is not None and note.pid == supervisor.pid and note.state == "running"
        return note.url if note is not None and ready else None

    return wait_until(look, "a running lab", 90)


def left_of(data: Path) -> list[str]:
    """The command lines of everything that belongs to the lab on that folder, servers and what they started too."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            environment = process.environ()
            in_homes = MARK in environment and f"{data}/homes/" in environment.get("HOME", "")
            told = str(data) in (environment.get("KIRZL_LAB_DATA"), environment.get(MARKER))
            if (in_homes or told) and process.status() != "zombie":
                found.append(" ".join(process.cmdline()))
    return found


def cgroups_of(data: Path) -> list[str]:
    """The cgroups that limit servers of the lab on that folder."""
    wanted = limits.prefix(data)
    return [folder for folder, _, _ in os.walk(CGROUPS) if Path(folder).name.startswith(wanted)]
