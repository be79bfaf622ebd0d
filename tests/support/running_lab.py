"""A whole lab, started with the command that people use, on a folder and a port of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = str(Path(sys.executable).with_name("kirzl-lab"))
START_LIMIT_S = 120


@dataclass(frozen=True, slots=True)
class RunningLab:
    """Where a running lab is."""

    url: str
    data: Path


def run_command(*arguments: str, cwd: Path = ROOT, timeout: float = START_LIMIT_S) -> subprocess.CompletedProcess[str]:
    """Run `kirzl-lab` and wait for it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KIRZL_LAB_")}
    return subprocess.run(
        [COMMAND, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


@contextmanager
def lab(data: Path, *options: str, courses: Path = ROOT / "courses") -> Iterator[RunningLab]:
    """A lab that runs until the block ends; what its processes wrote is shown when it does not start."""
    started = run_command("up", "--detach", "--no-browser", "--data", str(data), "--courses", str(courses), *options)
    try:
        if started.returncode != 0:
            logs = "\n".join(f"--- {log}\n{log.read_text()[-3000:]}" for log in sorted(data.glob("logs/*.log")))
            raise AssertionError(f"the lab did not start:\n{started.stdout}\n{started.stderr}\n{logs}")
        status = json.loads(run_command("status", "--json", "--data", str(data)).stdout)
        yield RunningLab(url=status["url"], data=data)
    finally:
        run_command("down", "--data", str(data))
