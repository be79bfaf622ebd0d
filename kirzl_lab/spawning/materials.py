"""A course's materials beside the work: the course's own folder for staff, a copy to read for everybody else.

Guarantees: after `update` the copy has the files of the source, byte for byte, and no others. Each file is replaced
in one step, so that a reader sees the old or the new one; two updates at once wait for each other; one that was
killed half-way is finished by the next. Links in the source that lead out of it, links to folders, and what is no
file are left out. Everything here blocks: run it in a thread.
"""

import fcntl
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

PART = ".kirzl-part"
"""Name of a file or link that is being made; one that is left over is removed by the next update."""

LEFT_OUT = frozenset({".ipynb_checkpoints", "__pycache__", ".git", ".DS_Store", PART})

CHUNK = 1 << 20

FILE_MODE = 0o444
FOLDER_MODE = 0o555
OPEN_MODE = 0o755


def lay_out(home: Path, source: Path | None, copy: Path | None) -> bool:
    """Show the materials in `home`: a copy that is brought up to date first, or without `copy` the source itself.

    False when a file or folder of the person's own is in the way. Raises `OSError`.
    """
    if source is not None and copy is not None:
        update(source, copy)
    return beside(home, source if source is None or copy is None else copy)


def beside(home: Path, shown: Path | None, name: str = "materials") -> bool:
    """Make `home/NAME` lead to `shown`, or to nothing; False when a file or folder of the person's is in its way.

    Only a link is ever replaced or removed.
    """
    link = home / name
    if not link.is_symlink() and link.exists():
        return shown is None
    if shown is None:
        link.unlink(missing_ok=True)
    elif not link.is_symlink() or link.readlink() != shown:
        fresh = home / PART
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(shown, target_is_directory=True)
        fresh.replace(link)
    return True


def update(source: Path, copy: Path) -> None:
    """Bring the copy up to date with the source, comparing contents. Raises `OSError` (the disk is full ...)."""
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(copy.with_name(copy.name + ".lock")):
        _update_folder(source, copy, source.resolve())


def sealed(copy: Path) -> list[str]:
    """The words before a command for which the copy is on a read-only mount; none where modes alone protect it.

    Modes do not bind root, nor whoever is root in a user namespace. Work saved among the materials would be lost at
    the next update, so Jupyter must see that it cannot save there.
    """
    return _sealing(copy) if os.geteuid() == 0 and _can_seal() else []


def _sealing(copy: Path) -> list[str]:
    mount = 'mount -o bind,ro "$1" "$1" && shift && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", mount, "sh", str(copy)]


@cache
def _can_seal() -> bool:
    try:
        command = [*_sealing(Path(__file__).parent), "true"]
        return subprocess.run(command, capture_output=True, timeout=5, check=False).returncode == 0  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False


def _update_folder(source: Path, copy: Path, root: Path) -> None:
    if copy.is_symlink() or (copy.exists() and not copy.is_dir()):
        copy.unlink()
    copy.mkdir(exist_ok=True)
    with _open_for_writing(copy):
        wanted = {entry.name: entry for entry in os.scandir(source) if entry.name not in LEFT_OUT}
        kept = {name for name, entry in wanted.items() if _update_entry(entry, copy / name, root)}
        for entry in list(os.scandir(copy)):
            if entry.name not in kept:
                _remove(Path(entry.path))


def _update_entry(entry: os.DirEntry[str], copy: Path, root: Path) -> bool:
    """Whether the entry has a place in the copy."""
    if entry.is_dir(follow_symlinks=False):
        _update_folder(Path(entry.path), copy, root)
        return True
    file = Path(entry.path)
    if entry.is_symlink():
        file = file.resolve()
        if not file.is_relative_to(root):
            return False
    if not file.is_file():
        return False
    _update_file(file, copy)
    return True


def _update_file(file: Path, copy: Path) -> None:
    if copy.is_dir() and not copy.is_symlink():
        _remove(copy)
    if copy.is_symlink() or not copy.exists() or not _same_content(file, copy):
        part = copy.with_name(PART)
        part.unlink(missing_ok=True)
        shutil.copyfile(file, part)
        part.chmod(FILE_MODE)
        part.replace(copy)
    elif stat.S_IMODE(copy.stat().st_mode) != FILE_MODE:
        copy.chmod(FILE_MODE)


def _same_content(one: Path, other: Path) -> bool:
    # Not filecmp: it remembers what it compared by size and time, and materials may change within a clock tick.
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as left, other.open("rb") as right:
        while chunk := left.read(CHUNK):
            if chunk != right.read(CHUNK):
                return False
    return True


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    path.chmod(OPEN_MODE)
    for entry in list(os.scandir(path)):
        _remove(Path(entry.path))
    path.rmdir()


@contextmanager
def _open_for_writing(folder: Path) -> Iterator[None]:
    folder.chmod(OPEN_MODE)
    try:
        yield
    finally:
        folder.chmod(FOLDER_MODE)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    # The lock belongs to the open file, so that two threads of one process wait for each other as well.
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
