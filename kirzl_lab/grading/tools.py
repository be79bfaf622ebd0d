"""What grading needs of other rooms and of the machine, and which troubles of theirs pass."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

from kirzl_lab.problems import GradebookAway, StorageAway, StorageFull
from kirzl_lab.store.database import AWAY, Store

Key = TypeVar("Key")

PASSING = (GradebookAway, StorageAway, StorageFull, *AWAY)
"""Problems of the lab and not of a submission: the step is tried again at a later look."""
PAUSE_S = 10.0


class Paused(Generic[Key]):
    """What met a problem that passes is not tried again at once, so that others have their turn."""

    def __init__(self) -> None:
        self._until: dict[Key, float] = {}

    def add(self, key: Key) -> None:
        """From now on, for `PAUSE_S`."""
        self._until[key] = asyncio.get_running_loop().time() + PAUSE_S

    def now(self) -> set[Key]:
        """Those that wait still."""
        time = asyncio.get_running_loop().time()
        self._until = {key: until for key, until in self._until.items() if until > time}
        return set(self._until)


@dataclass(frozen=True, slots=True)
class Tools:
    """What grading needs of other rooms and of the machine."""

    store: Store
    keep: Callable[[Path], Awaitable[str]]
    """Make a folder a blob and remember that in the lab database; its SHA-256."""
    fetch: Callable[[str, Path], Awaitable[None]]
    """Unpack the blob with that SHA-256 into a folder that is not there yet."""
    gradebook: Callable[[str], Awaitable[str]]
    """The address of a course's gradebook, made first where there is none."""
    folder: Path
    """Where files of tasks are while they are worked on."""
    clock: Callable[[], datetime]
