"""Running other programs: debootstrap, buildah, apt. Nothing here comes from anybody but whoever builds."""

import subprocess
from collections.abc import Sequence
from typing import TextIO


def run(command: Sequence[str], log: TextIO) -> None:
    """Run it with all it says in `log`; raises `subprocess.CalledProcessError`."""
    log.write(f"$ {' '.join(command)}\n")
    log.flush()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 - see above


def said(*command: str) -> str:
    """What it says on standard output; raises `subprocess.CalledProcessError`."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 - see above


def succeeds(*command: str) -> bool:
    """Whether it ends well, whatever it says."""
    return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603 - see above
