"""How running a submission can end, and what it may use: the words that executor, laptop and cluster share.

Standard library only: it lies beside `execute.py` in the image of the graders.
"""

import signal
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MIB: Final = 1024 * 1024


class Reason(StrEnum):
    """Why a submission could not be run to its end."""

    TIME = "time"
    """It took longer than it may as a whole. A cell that takes too long is no such reason: it fails, and others go on."""
    MEMORY = "memory"
    """It used more memory than it may. Code that prints without end does that as well, when it is fast."""
    KILLED = "killed"
    """Its kernel ended in the middle: it called for that, or somebody ended it."""
    OUTPUT = "output"
    """Its cells, or the files that it wrote, are larger than allowed."""
    FAILED = "failed"
    """It could not be run for another reason: no such kernel, a full disk."""


EXIT_STATUS: Final = {Reason.TIME: 81, Reason.KILLED: 82, Reason.OUTPUT: 83, Reason.MEMORY: 84, Reason.FAILED: 1}
"""With what `execute.py` ends; 0 when all cells were run, whether they failed or not."""


def reason_of(status: int) -> Reason | None:
    """Why an executor ended with that status (negative, or above 128 as shells tell it, for a signal); None for 0."""
    if status == 0:
        return None
    number = -status if status < 0 else status - 128
    if number == signal.SIGXCPU:
        return Reason.TIME
    if number in (signal.SIGKILL, signal.SIGTERM):
        return Reason.KILLED
    return next((reason for reason, known in EXIT_STATUS.items() if known == status), Reason.FAILED)


@dataclass(frozen=True)
class Limits:
    """What running one submission may use. Seconds and bytes."""

    cell_s: int = 30
    """For one cell; nbgrader's own default. A cell that takes longer has failed, and the next one is run."""
    total_s: int = 600
    output_bytes: int = 64 * MIB
    """For all outputs of cells together, and for each file."""
    memory_bytes: int = 2048 * MIB
    processes: int = 256
    """Threads count as well."""
    open_files: int = 1024
