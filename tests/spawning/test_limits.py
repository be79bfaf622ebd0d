"""Limits that hold: what takes too much memory is ended, what burns CPU is slowed down. Real processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.spawning import cgroups, limits, systemd
from kirzl_lab.spawning.limits import Limiter
from tests.spawning.samples import SMALL

MIB = 2**20


@pytest.fixture
def limiter() -> Limiter:
    found = limits.detect()
    if found.describe() == "none":
        (pytest.fail if os.environ.get("CI") else pytest.skip)("this machine offers neither systemd nor cgroups")
    return found


@pytest.fixture
def name(limiter: Limiter, tmp_path: Path) -> Iterator[str]:
    name = limits.name_of(tmp_path, "bcd234", "ml-101")
    yield name
    limiter.leave(name)


def python(
    limiter: Limiter, name: str, code: str, cpus: float = 1.0, memory_bytes: int = 512 * MIB
) -> subprocess.CompletedProcess[str]:
    words = limiter.enter(name, cpus, memory_bytes)
    return subprocess.run([*words, sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.laptop
def test_what_takes_more_than_its_memory_is_ended(limiter: Limiter, name: str) -> None:
    done = python(limiter, name, "x = bytearray(300 << 20); print('survived')", memory_bytes=100 * MIB)
    assert done.returncode in (-9, 137)
    assert "survived" not in done.stdout
    assert limiter.out_of_memory(name)


@pytest.mark.laptop
def test_what_keeps_to_its_memory_is_not(limiter: Limiter, name: str) -> None:
    done = python(limiter, name, "x = bytearray(50 << 20); print('survived')", memory_bytes=200 * MIB)
    assert (done.returncode, done.stdout) == (0, "survived\n")
    assert not limiter.out_of_memory(name)


@pytest.mark.laptop
def test_a_child_in_a_session_of_its_own_is_limited_as_well(limiter: Limiter, name: str) -> None:
    code = "import subprocess, sys; print(subprocess.run([sys.executable, '-c', 'x = bytearray(300 << 20)'], start_new_session=True).returncode)"
    assert python(limiter, name, code, memory_bytes=100 * MIB).stdout == "-9\n"
    assert limiter.out_of_memory(name)


@pytest.mark.laptop
def test_what_burns_cpu_is_slowed_down(limiter: Limiter, name: str) -> None:
    # A fifth of a core for at least a second of wall time: never more than that, however idle the machine is.
    code = "import time; end = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass\nprint(time.process_time())"
    used = float(python(limiter, name, code, cpus=0.2).stdout)
    assert used < 1.5 * 0.2 + 0.15


@pytest.mark.laptop
def test_the_pid_is_that_of_the_command(limiter: Limiter, name: str) -> None:
    words = limiter.enter(name, 1.0, 512 * MIB)
    process = subprocess.Popen([*words, sys.executable, "-c", "import os; print(os.getpid())"], stdout=subprocess.PIPE)
    assert int(process.communicate()[0]) == process.pid


@pytest.mark.laptop
def test_leaving_ends_what_still_runs(limiter: Limiter, name: str) -> None:
    words = limiter.enter(name, 1.0, 512 * MIB)
    process = subprocess.Popen([*words, "sleep", "300"])
    limiter.leave(name)
    assert process.wait(5) != 0
    limiter.leave(name)


@pytest.mark.laptop
def test_what_a_killed_lab_left_is_found_again_and_another_labs_is_not(limiter: Limiter, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "other").mkdir()
    mine, other = (limits.name_of(tmp_path / folder, "bcd234", "ml-101") for folder in ("mine", "other"))
    left = subprocess.Popen([*limiter.enter(mine, 1.0, 512 * MIB), "sleep", "300"])
    running = subprocess.Popen([*limiter.enter(other, 1.0, 512 * MIB), "sleep", "300"])
    try:
        assert limits.forget_leftovers(tmp_path / "mine") == 1
        assert left.wait(5) != 0
        assert limits.forget_leftovers(tmp_path / "mine") == 0
        assert running.poll() is None
    finally:
        left.kill()
        limiter.leave(other)
        limiter.leave(mine)
        running.wait(5)


def test_sizes_in_cores_and_bytes() -> None:
    assert limits.limits_of(SMALL) == (1.5, 2**30)


@given(st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True), st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True))
def test_no_two_servers_share_a_name(one: str, other: str) -> None:
    names = {limits.name_of(Path("/data"), hub, server) for hub, server in ((one, other), (f"{one}-{other}", "a"))}
    assert len(names) == 2 or (one, other) == (f"{one}-{other}", "a")
    assert all("/" not in name for name in names)


def test_what_is_tried_out_has_a_name_of_this_lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A lab that is killed while it tries leaves something that its next start finds."""
    tried: list[str] = []
    monkeypatch.setenv("KIRZL_LAB_DATA", str(tmp_path))
    monkeypatch.setattr(systemd, "detect", tried.append)
    monkeypatch.setattr(cgroups, "detect", tried.append)
    assert limits._detect.__wrapped__().describe() == "none"
    assert len(tried) == 2
    assert all(name.startswith(limits.prefix(tmp_path)) for name in tried)


def test_names_tell_labs_apart(tmp_path: Path) -> None:
    assert limits.prefix(tmp_path / "a") != limits.prefix(tmp_path / "b")
    assert limits.prefix(tmp_path / "a") == limits.prefix(tmp_path / "b" / ".." / "a")


def test_a_scope_of_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    words = systemd.SystemdLimiter().enter("kirzl-lab-x.a.b", 1.5, 2**30)
    assert words[:3] == ["systemd-run", "--user", "--scope"]
    assert {"MemoryMax=1073741824", "CPUQuota=150.00%", "MemorySwapMax=0", "--unit=kirzl-lab-x.a.b"} <= set(words)
    assert words[-1] == "--"


def test_without_the_tools_of_systemd_there_is_no_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert systemd.detect("kirzl-lab-x.try.1") is None
    assert systemd.forget("kirzl-lab-x.") == 0


def test_version_2_writes_its_files(tmp_path: Path) -> None:
    limiter = cgroups.CgroupLimiter(2, (tmp_path,))
    words = limiter.enter("server", 0.5, 2**28)
    assert (tmp_path / "server" / "memory.max").read_text() == str(2**28)
    assert (tmp_path / "server" / "cpu.max").read_text() == "50000 100000"
    assert words[-1] == str(tmp_path / "server" / "cgroup.procs")
    done = subprocess.run([*words, "echo", "a b", "$HOME"], capture_output=True, text=True, check=True)
    assert done.stdout == "a b $HOME\n"
    (tmp_path / "server" / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert limiter.out_of_memory("server")


def test_nothing_limits_where_nothing_is_offered() -> None:
    limiter = limits.NoLimiter()
    assert limiter.enter("a", 1, 1) == []
    assert not limiter.out_of_memory("a")
    assert limiter.describe() == "none"
