"""What the seven operations of the plugin have in common."""

import difflib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from nbgrader.exchange.abc import Exchange, ExchangeError
from nbgrader.utils import ignore_patterns
from traitlets import Bool

from kirzl_lab.courses.in_server.service import LabService, ServiceError
from kirzl_lab.store.archives import ArchiveRefused, pack, unpack

KEY = ".kirzl-submission-key"
"""Beside an assignment, from the first try to hand it in until its receipt is there."""
RECEIPTS = ".kirzl-receipts"
"""The folder beside an assignment with the receipts for what was handed in."""
OURS = (KEY, RECEIPTS)
TIMESTAMP = "timestamp.txt"
TEMPORARY = ".kirzl-part-"


class LabExchange(Exchange):
    """An operation of the exchange, over the lab service. Raises `ExchangeError`s that say what to do next."""

    path_includes_course = Bool(
        False, help="Whether the path of assignments is prefixed with the course: ./course123/ps1 and not ./ps1."
    ).tag(config=True)

    service: LabService

    def start(self) -> Any:
        """Do it."""
        try:
            with LabService() as self.service:
                return super().start()
        except (ServiceError, ArchiveRefused, OSError) as error:
            self.fail(self.in_words(error))

    def fail(self, msg: str) -> NoReturn:
        """End the operation with words for people."""
        self.log.fatal(msg)
        raise ExchangeError(msg)

    def in_words(self, error: Exception) -> str:
        """What an error tells people."""
        if isinstance(error, ArchiveRefused):
            return f"The files of {self.assignment} cannot be handed over: {error}."
        if isinstance(error, OSError) and error.filename:
            return f"{error.strerror}: {error.filename}"
        return str(error)

    @property
    def course(self) -> str:
        """The course that it is about."""
        if not self.coursedir.course_id:
            self.fail("No course id specified. Re-run with --course flag.")
        return str(self.coursedir.course_id)

    @property
    def assignment(self) -> str:
        """The assignment that it is about."""
        return str(self.coursedir.assignment_id)

    def work_path(self, course: str, assignment: str) -> Path:
        """Where a person has, or will have, their own copy of an assignment."""
        below = Path(course, assignment) if self.path_includes_course else Path(assignment)
        return Path(os.path.abspath(self.assignment_dir), below)  # noqa: PTH100 - as nbgrader: links stay

    def not_found(self, message: str, name: str, others: Iterable[str]) -> NoReturn:
        """End with `message`; the name that was most likely meant is told before."""
        if close := difflib.get_close_matches(name, list(others), 1, 0.4):
            self.log.error("Did you mean: %s", close[0])
        self.fail(message)

    def left_out(self, folder: Path, *more: str) -> list[str]:
        """Patterns of what is not handed over of a folder: what `ignore`, `include` and `max_file_size` say."""
        ignored = ignore_patterns(
            exclude=[*self.coursedir.ignore, *more],
            include=self.coursedir.include,
            max_file_size=self.coursedir.max_file_size,
            log=self.log,
        )
        found: list[str] = []
        for at, folders, files in os.walk(folder):
            bad = ignored(at, [*folders, *files])
            folders[:] = [each for each in folders if each not in bad]
            found += [_literally(Path(at, each).relative_to(folder).as_posix()) for each in sorted(bad)]
        return found

    def packed(self, folder: Path, file: Path, *more: str) -> Any:
        """Write what is to be handed over of a folder to the archive `file`; its manifest."""
        manifest = pack(folder, file, exclude=self.left_out(folder, *more))
        if manifest.unpacked > 1000 * self.coursedir.max_dir_size:
            file.unlink()
            self.fail(f"{self.assignment} is larger than {self.coursedir.max_dir_size} kB: remove what is not needed.")
        for name in manifest.left_out:
            self.log.warning("Left out, because it leads out of the assignment or is no file: %s", name)
        return manifest

    def brought(self, course: str, path: str, into: Path, name: str = "files") -> Path:
        """The folder of the archive at `path` of the service, below the temporary folder `into`."""
        archive = into / f"{name}.tar.gz"
        self.service.download(course, path, archive)
        unpack(archive, into / name)
        archive.unlink()
        return into / name


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """A temporary folder in the folder that `folder` is, or will be, in: what is made there can be moved in one step."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder.parent) as name:
        yield Path(name)


def put(fresh: Path, folder: Path) -> None:
    """Put the folder `fresh`, which is in a folder `beside`, in the place of `folder`."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        folder.rename(fresh.with_name("before"))
    fresh.rename(folder)


def write_timestamp(folder: Path, timestamp: str) -> None:
    """Write when a submission was handed in to where nbgrader looks for it, whatever its maker put there."""
    file = folder / TIMESTAMP
    if file.is_dir():
        shutil.rmtree(file)
    file.write_text(timestamp, encoding="utf-8")


def when(submission: dict[str, Any]) -> datetime:
    """When it was handed in, by the lab's clock, in UTC."""
    return datetime.fromisoformat(submission["submitted_at"]).astimezone(UTC)


def timestamp_of(submission: dict[str, Any]) -> str:
    """The same as nbgrader writes it."""
    return when(submission).strftime("%Y-%m-%d %H:%M:%S.%f %Z")


def _literally(path: str) -> str:
    """A pattern of `fnmatch` that this path alone matches."""
    return "".join(f"[{each}]" if each in "*?[" else each for each in path)
