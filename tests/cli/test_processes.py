"""Which processes are leftovers of a lab, and which are not."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from kirzl_lab.cli.processes import MARKER, best_launcher, end_leftovers, outside_pids, plain_launcher
from kirzl_lab.cli.state import Folder
from kirzl_lab.spawning.processes import MARK


def sleeper(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], env={**os.environ, **environment}, start_new_session=True)


@pytest.mark.parametrize("server", [False, True])
def test_a_leftover_is_ended(folder: Folder, server: bool) -> None:
    home = {MARK: "x", "HOME": str(folder.path / "homes/student1/ml-101/work")}
    left = sleeper(home if server else {MARKER: str(folder.path)})
    assert end_leftovers(folder.path) == ["sleep"]
    assert not psutil.pid_exists(left.pid)


def test_others_are_spared(folder: Folder, tmp_path: Path) -> None:
    others = [
        sleeper({}),
        sleeper({MARKER: str(tmp_path)}),
        sleeper({MARKER: f"{folder.path}-2"}),
        # A setting, which somebody may have in the shell where their editor runs.
        sleeper({"KIRZL_LAB_DATA": str(folder.path)}),
        sleeper({"HOME": str(folder.path / "homes/student1")}),
        sleeper({MARK: "x", "HOME": f"{folder.path}-2/homes/student1"}),
    ]
    try:
        assert end_leftovers(folder.path) == []
        assert [other.poll() for other in others] == [None] * len(others)
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_we_spare_ourselves(folder: Folder) -> None:
    """Somebody may start a lab, or end one, in a terminal of a server."""
    script = f"""if True:
        import subprocess, sys
        from pathlib import Path
        from kirzl_lab.cli.processes import end_leftovers
        print(end_leftovers(Path({str(folder.path)!r})))
    """
    shell = f"{sys.executable} -c '{script.replace(chr(39), chr(34))}'; echo alive"
    environment = {**os.environ, MARK: "x", "HOME": str(folder.path / "homes/student1/ml-101/work")}
    said = subprocess.run(["sh", "-c", shell], env=environment, capture_output=True, text=True, check=True).stdout
    assert said == "[]\nalive\n"


def test_modes() -> None:
    assert plain_launcher().mode == "plain-processes"
    assert plain_launcher().prefix == ()
    best = best_launcher()
    assert (best.mode == "pid-namespace") == bool(best.prefix)


def test_without_the_tools_plain_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert best_launcher() == plain_launcher()
    assert best_launcher().tie == ()


def test_numbers_outside_of_a_namespace() -> None:
    """Without a namespace the numbers are the same on both sides."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert outside_pids(psutil.Process().pid, {"child": child.pid, "gone": 2**22 + 1}) == {"child": child.pid}
        child.communicate(b"\n")
