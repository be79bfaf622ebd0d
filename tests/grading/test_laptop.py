"""Student code as processes of this machine: kept to its limits, and ended with all that it started."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import kirzl_lab
from kirzl_lab.grading import laptop
from kirzl_lab.grading.family import MARK, threads_of_user
from kirzl_lab.grading.logs import LENGTH, end_of
from kirzl_lab.grading.outcomes import MIB, Limits, Reason, reason_of

LIMITS = Limits(cell_s=60, total_s=120, memory_bytes=700 * MIB, output_bytes=2 * MIB)


def sent(folder: Path, *cells: str, kernel: str = "python3") -> Path:
    """A prepared submission with one notebook."""
    folder.mkdir()
    spec = {"name": kernel, "display_name": kernel}
    nbformat.write(
        new_notebook(cells=[new_code_cell(one) for one in cells], metadata={"kernelspec": spec}), folder / "p.ipynb"
    )
    return folder


HELD = "import mmap; held = mmap.mmap(-1, 2**30)\nfor n in range(2**10): held.write(bytes(2**20))\nwhile True: pass"
"""Shared memory, which no limit of a process counts."""

ENDINGS: dict[str, tuple[str, Reason]] = {
    "endless": ("while True: pass", Reason.TIME),
    "held": (HELD, Reason.MEMORY),
    "printed": ("import time\nwhile True: print('x' * 10_000); time.sleep(0.001)", Reason.OUTPUT),
    "written": ("for n in range(4): open(f'f{n}', 'wb').write(bytes(2**20))", Reason.OUTPUT),
    "left": ("import os; os._exit(0)", Reason.KILLED),
    "killed": ("import os, signal; os.kill(os.getppid(), signal.SIGKILL)\nwhile True: pass", Reason.KILLED),
}


@pytest.mark.laptop
@pytest.mark.slow
async def test_code_that_goes_too_far_ends_and_it_is_said_why(tmp_path: Path) -> None:
    async def reason_for(name: str) -> Reason | None:
        limits = replace(LIMITS, total_s=5) if name == "endless" else LIMITS
        prepared = sent(tmp_path / name, ENDINGS[name][0])
        outcome = await laptop.execute(prepared, tmp_path / f"{name}-executed", limits)
        assert not (tmp_path / f"{name}-executed").exists()
        return outcome.reason

    found = await asyncio.gather(*map(reason_for, ENDINGS))
    assert dict(zip(ENDINGS, found, strict=True)) == {name: reason for name, (_code, reason) in ENDINGS.items()}


AWAY = """
import json, os, resource, subprocess
json.dump(dict(os.environ), open('environment.json', 'w'))
limits = ('CORE', 'CPU', 'DATA', 'FSIZE', 'NOFILE', 'NPROC')
json.dump({name: resource.getrlimit(getattr(resource, 'RLIMIT_' + name))[1] for name in limits}, open('limits.json', 'w'))
background = subprocess.Popen(['sleep', '1000'], env={}, start_new_session=True)
marked = subprocess.Popen(['sh', '-c', 'setsid sleep 1000 & echo $!'], stdout=subprocess.PIPE)
open('pids', 'w').write(f"{background.pid} {marked.stdout.readline().decode()}")
"""


@pytest.mark.laptop
async def test_code_learns_no_secret_and_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIRZL_LAB_SECRET", "secret")
    monkeypatch.setenv("PGPASSWORD", "secret")
    cells = (AWAY, "x = bytearray(900 * 2**20)", "while True: pass", "open('after', 'w').write('x')")
    limits = replace(LIMITS, cell_s=3)
    prepared = sent(tmp_path / "prepared", *cells)
    (prepared / "data.csv").write_bytes(bytes(LIMITS.output_bytes + 1))  # what was handed in may be larger
    outcome = await laptop.execute(prepared, tmp_path / "executed", limits)
    assert outcome.reason is None, outcome.log
    told = json.loads((tmp_path / "executed" / "environment.json").read_text())
    assert "secret" not in told.values()
    assert told["NBGRADER_EXECUTION"] == "autograde"
    assert told["HOME"] != os.environ["HOME"]
    assert not os.path.exists(told["HOME"])  # noqa: ASYNC240, PTH110 - in a test nobody waits for it
    held = json.loads((tmp_path / "executed" / "limits.json").read_text())
    assert held.pop("NPROC") >= LIMITS.processes
    assert held == {
        "CORE": 0,
        "CPU": LIMITS.total_s * (os.cpu_count() or 1),
        "DATA": LIMITS.memory_bytes,
        "FSIZE": LIMITS.output_bytes,
        "NOFILE": LIMITS.open_files,
    }
    pids = [int(pid) for pid in (tmp_path / "executed" / "pids").read_text().split()]
    assert [pid for pid in pids if psutil.pid_exists(pid) and lives(psutil.Process(pid))] == []
    notebook = nbformat.read(tmp_path / "executed" / "p.ipynb", as_version=4)
    errors = [[one.get("ename") for one in cell.outputs if one.output_type == "error"] for cell in notebook.cells]
    assert [names[-1:] for names in errors] == [[], ["MemoryError"], ["CellTimeoutError"], []]
    assert (tmp_path / "executed" / "after").exists()
    assert nbformat.read(prepared / "p.ipynb", as_version=4).cells[0].outputs == [], "what was sent stays as it was"


@pytest.mark.laptop
async def test_cancelled_it_ends_all_that_it_started(tmp_path: Path) -> None:
    prepared = sent(tmp_path / "prepared", "open('started', 'w').close()\nwhile True: pass")
    job = asyncio.create_task(laptop.execute(prepared, tmp_path / "executed", LIMITS))
    async with asyncio.timeout(60):
        while not (tmp_path / "executed" / "started").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.05)
    mine = [process for process in psutil.process_iter() if str(tmp_path) in " ".join(command(process))]
    kernels = [child for process in mine for child in process.children(recursive=True)]
    assert kernels
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert not any(map(lives, mine + kernels))


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() if process.pid != os.getpid() else []
    except psutil.Error:
        return []


@pytest.mark.laptop
async def test_a_kernel_that_is_not_there_is_told_in_the_log(tmp_path: Path) -> None:
    prepared = sent(tmp_path / "prepared", "1", kernel="fortran")
    outcome = await laptop.execute(prepared, tmp_path / "executed", LIMITS)
    assert outcome.reason is Reason.FAILED
    assert "No such kernel named fortran" in outcome.log


@pytest.mark.laptop
def test_the_executor_needs_nothing_else_of_the_lab(tmp_path: Path) -> None:
    """These files are all that the image of the graders has of it."""
    for name in ("__init__.py", "grading/__init__.py", "grading/execute.py", "grading/outcomes.py"):
        (tmp_path / "kirzl_lab" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(kirzl_lab.__file__).parent / name, tmp_path / "kirzl_lab" / name)
    command = [sys.executable, "-P", "-m", "kirzl_lab.grading.execute", "--help"]
    told = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert "IN OUT" in told.stdout


def test_how_an_executor_ended() -> None:
    told = {
        0: None,
        1: Reason.FAILED,
        2: Reason.FAILED,
        81: Reason.TIME,
        82: Reason.KILLED,
        83: Reason.OUTPUT,
        84: Reason.MEMORY,
    }
    told |= {-9: Reason.KILLED, 137: Reason.KILLED, -24: Reason.TIME, 152: Reason.TIME, -11: Reason.FAILED}
    assert {status: reason_of(status) for status in told} == told


def test_the_environment_is_an_allow_list(tmp_path: Path) -> None:
    lab = {"JUPYTERHUB_API_TOKEN": "x", "PGPASSWORD": "x", "PYTHONPATH": "x", "LANG": "C.UTF-8", "PATH": "/bin"}
    told = laptop.environment(lab, tmp_path)
    assert "x" not in told.values()
    assert told.keys() & lab.keys() == {"LANG", "PATH"}
    assert MARK not in told


def test_the_end_of_a_log_is_text(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert end_of(log) == ""
    log.write_bytes(b"\x1b[0;31mred\x1b[0m\0\x07 \xff\r\nsecond\n")
    assert end_of(log) == "red �\nsecond\n"
    log.write_text("first\n" + "x" * LENGTH + "\nlast\n")
    assert end_of(log) == "last\n"


def test_threads_are_counted() -> None:
    assert threads_of_user(os.getuid()) >= psutil.Process().num_threads()
