"""What a lab leaves in its data folder while it runs: a lock that says that it does, and a note that says where.

The lock alone decides whether a lab runs. The kernel lets go of it when its holder ends, however it ends, so a stale
note never stops a start.
"""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kirzl_lab.cli.exits import Exit, Stop, cannot_use

MISREAD = re.compile(r"\?|%[0-9A-Fa-f]{2}")
"""What the addresses of databases have a meaning of their own for."""

LOOK_S = 0.5
"""How long a lock that is not free is tried again: whoever asks `is_held` takes it for a moment, a lab for hours."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The data folder of a lab: what is where. `path` is absolute and without links."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> "Folder":
        """The folder at `path`, which need not exist yet."""
        return cls(path.expanduser().resolve())

    @property
    def run(self) -> Path:
        """What only matters while a lab runs."""
        return self.path / "run"

    @property
    def logs(self) -> Path:
        """What the lab's processes wrote."""
        return self.path / "logs"

    @property
    def secrets(self) -> Path:
        """Keys and tokens, for the owner's eyes only."""
        return self.path / "secrets"

    @property
    def note(self) -> Path:
        """The note of the running lab."""
        return self.run / "lab.json"

    @property
    def lock(self) -> Path:
        """The file that the running lab holds a lock on."""
        return self.run / "lock"

    @property
    def ports(self) -> Path:
        """The ports of last time."""
        return self.run / "ports.json"

    def create(self) -> None:
        """Make the folders that are not there, and close to others what is. Raises `Stop` where that is impossible."""
        if MISREAD.search(str(self.path)):
            sentence = f"The folder {self.path} cannot be used (? and %XX have a meaning in the addresses of databases): choose another one with --data."
            raise Stop(Exit.CANNOT, sentence)
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in (self.run, self.logs, self.secrets):
                folder.mkdir(exist_ok=True, mode=0o700)
            self.secrets.chmod(0o700)
            for database in self.path.glob("*.sqlite*"):
                with suppress(FileNotFoundError):  # a running lab makes and removes files beside its databases
                    database.chmod(0o600)
        except OSError as error:
            sentence = f"The folder {self.path} cannot be used ({error.strerror}): choose another one with --data."
            raise Stop(Exit.CANNOT, sentence) from None


@dataclass(frozen=True, slots=True)
class Note:
    """What a running lab says about itself."""

    pid: int
    """The outer supervisor; a SIGTERM to it ends the lab."""
    state: str
    """`starting` or `running`."""
    started: str
    """When, in ISO 8601 with zone."""
    url: str
    data: str
    demo: bool
    mode: str
    """How the processes are kept together: `pid-namespace` or `plain-processes`."""
    ports: Mapping[str, int] = field(default_factory=dict)
    pids: Mapping[str, int] = field(default_factory=dict)
    checks: Mapping[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    """Part -> the address to ask, and the HTTP statuses that mean it is well."""


@contextmanager
def holding(folder: Folder) -> Iterator[None]:
    """Hold the lock of the data folder. Raises `Stop` when another lab has it."""
    folder.create()
    try:
        descriptor = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise cannot_use(error) from None
    try:
        if not _lock_soon(descriptor):
            note = read_note(folder)
            where = f" at {note.url}" if note else ""
            raise Stop(
                Exit.RUNS_ALREADY,
                f"A lab runs on {folder.path} already{where}: end it with `kirzl-lab down`, or choose another --data.",
            )
        yield
    finally:
        os.close(descriptor)


def is_held(folder: Folder) -> bool:
    """Whether a lab runs on the folder."""
    try:
        descriptor = os.open(folder.lock, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _lock(descriptor, fcntl.LOCK_SH)  # shared: two that look at once see no lab in each other
    finally:
        os.close(descriptor)


def _lock_soon(descriptor: int) -> bool:
    deadline = time.monotonic() + LOOK_S
    while not _lock(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)  # flock waits without an end, or not at all
    return True


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read_note(folder: Folder) -> Note | None:
    """The note in the folder, None when there is none that can be read."""
    try:
        return Note(**json.loads(folder.note.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write_note(folder: Folder, note: Note) -> None:
    """Leave the note; whoever reads sees the old one or the new one, whole."""
    write_atomically(folder.note, json.dumps(asdict(note), indent=1))


def write_atomically(file: Path, text: str, mode: int = 0o600) -> None:
    """Write a small file so that a reader, or a start after a power cut, finds all of it or none of it."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
