"""Small labs made of stand-ins, on folders of their own."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from kirzl_lab.cli.parts import Check, Part, Plan
from kirzl_lab.cli.ports import free_port
from kirzl_lab.cli.processes import MARKER, Launcher, best_launcher, plain_launcher
from kirzl_lab.cli.state import Folder, Note

STAND_IN = str(Path(__file__).with_name("stand_in.py"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder.at(tmp_path / "lab")
    folder.create()
    return folder


@pytest.fixture
def note(folder: Folder) -> Note:
    return Note(os.getpid(), "starting", "2026-10-01T08:00:00+00:00", "http://localhost:1", str(folder.path), False, "")


@pytest.fixture(params=["best", "plain"])
def launcher(request: pytest.FixtureRequest) -> Launcher:
    return best_launcher() if request.param == "best" else plain_launcher()


MakePart = Callable[..., Part]


@pytest.fixture
def part(folder: Folder) -> MakePart:
    """`part("hub", "stubborn")`: a stand-in called hub with that habit; `argv` replaces it by another command."""

    def make(
        name: str, *habits: str, argv: tuple[str, ...] | None = None, once: bool = False, after: tuple[str, ...] = ()
    ) -> Part:
        port = free_port()
        return Part(
            name=name,
            argv=argv or (sys.executable, STAND_IN, str(port), *habits),
            environment=dict(os.environ),
            folder=str(folder.path),
            log=str(folder.logs / f"{name}.log"),
            check=None if once else Check(f"http://127.0.0.1:{port}/"),
            after=after,
        )

    return make


@pytest.fixture
def plan(part: MakePart) -> Plan:
    """A proxy, and a hub with a grandchild in a session of its own, after something that runs once."""
    return Plan(
        parts=(
            part("prepare", argv=(sys.executable, "-c", "print('prepared')"), once=True),
            part("proxy"),
            part("hub", "with-grandchild", after=("prepare", "proxy")),
        ),
        start_limit_s=20,
        ends_first="hub",
        ends_first_limit_s=1,
        end_limit_s=1,
    )


def left_of(folder: Folder) -> list[str]:
    """The command lines of processes that carry the folder's marker."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == str(folder.path) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found
