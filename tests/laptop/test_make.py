"""What somebody types who has a fresh checkout: `make up`, and `make down`."""

import os
import subprocess
from pathlib import Path

import httpx
import pytest

from kirzl_lab.cli.ports import free_port
from tests.laptop.conftest import left_of
from tests.support.running_lab import ROOT, START_LIMIT_S

pytestmark = [pytest.mark.laptop, pytest.mark.node]


def make(target: str, *options: str) -> str:
    """What `make TARGET ARGS="OPTIONS"` prints; as from a terminal, although `make test` may run these tests."""
    ours = ("KIRZL_LAB_", "MAKE", "MFLAGS")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    command = ["make", target, f"ARGS={' '.join(options)}"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=START_LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_make_up_starts_the_lab_and_make_down_ends_it(data: Path) -> None:
    url = f"http://localhost:{(port := free_port())}"
    said = make("up", "--no-browser", "--detach", "--data", str(data), "--port", str(port))
    assert f"The lab runs at {url}" in said
    assert "student1" in said
    page = httpx.get(f"{url}/hub/login")
    assert page.status_code == 200
    assert "Demo University" in page.text
    assert make("down", "--data", str(data)).endswith("The lab has ended.\n")
    assert left_of(data) == []
