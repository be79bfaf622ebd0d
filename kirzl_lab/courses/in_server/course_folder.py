"""The course folder of whoever runs a course, beside what the lab has. It blocks; `sync` is who calls it.

Guarantees: a file of the lecturer's is never replaced; a folder that is brought appears whole; an archive that was
brought once is not brought again, so that what somebody removed since stays away; two servers of one course that
start together do not disturb each other. What a submission is replaced with is chosen by collecting, or by grading.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kirzl_lab.courses.in_server.exchange import TIMESTAMP, beside, put, timestamp_of, when, write_timestamp
from kirzl_lab.courses.in_server.service import LabService, path_of
from kirzl_lab.store.archives import unpack

MEMORY = ".kirzl-brought.json"
LOCK = ".kirzl-brought.lock"


class CourseFolder:
    """The course folder at `root`, with nbgrader's default layout."""

    def __init__(self, root: Path, course: str, service: LabService, log: Any) -> None:
        self._root = root
        self._course = course
        self._service = service
        self._log = log

    def follow(self) -> int:
        """Bring what is missing; the number of folders in which something came. Raises `ServiceError`, `OSError`."""
        with _locked(self._root / LOCK):
            brought = self._recall()
            count = 0
            for assignment in self._service.assignments(self._course):
                for step in ("source", "release"):
                    count += self._follow_assignment(brought, step, assignment["name"], assignment[f"{step}_sha256"])
            for submission in _latest(self._service.submissions(self._course)):
                count += self._follow_submission(submission)
            for graded in _latest(sorted(self._service.graded(self._course), key=when)):
                count += self._follow_graded(brought, graded)
        return count

    def _follow_assignment(self, brought: dict[str, str], step: str, name: str, sha256: str | None) -> bool:
        folder, key = self._root / step / name, f"{step}/{name}"
        if sha256 is None or (folder.is_dir() and brought.get(key) == sha256):
            return False
        with beside(folder) as temporary:
            archive = temporary / "brought.tar.gz"
            self._service.download(self._course, path_of(name, step), archive)
            unpack(archive, temporary / "files")
            came = _fill(folder, temporary / "files", self._log)
        brought[key] = sha256
        self._remember(brought)
        return came

    def _follow_submission(self, submission: dict[str, Any]) -> int:
        theirs = Path(submission["student"], submission["assignment"])
        steps = [("submitted", "files"), *([("feedback", "feedback")] if submission["feedback_at"] else [])]
        missing = [(self._root / step / theirs, what) for step, what in steps]
        return sum(self._bring(submission, what, folder) for folder, what in missing if not folder.exists())

    def _follow_graded(self, brought: dict[str, str], graded: dict[str, Any]) -> int:
        """Bring what grading made, and the submission that it is about where an older one is there."""
        theirs = Path(graded["student"], graded["assignment"])
        submission = graded | {"id": graded["submission"]}
        folder, key = self._root / "autograded" / theirs, f"autograded/{theirs}"
        if folder.is_dir() and brought.get(key) == graded["graded_sha256"]:
            return 0
        count = int(self._bring(submission, "graded", folder, replace=True))
        submitted = self._root / "submitted" / theirs
        if not _is_of(submitted, submission):
            count += self._bring(submission, "files", submitted, replace=True)
        brought[key] = graded["graded_sha256"]
        self._remember(brought)
        return count

    def _bring(self, submission: dict[str, Any], what: str, folder: Path, *, replace: bool = False) -> bool:
        with beside(folder) as temporary:
            archive = temporary / "brought.tar.gz"
            self._service.download(self._course, f"/submissions/{submission['id']}/{what}", archive)
            unpack(archive, temporary / "files")
            write_timestamp(temporary / "files", timestamp_of(submission))
            if replace:
                put(temporary / "files", folder)
                return True
            try:
                (temporary / "files").rename(folder)
            except OSError:
                if folder.exists():  # collected meanwhile
                    return False
                raise
        return True

    def _recall(self) -> dict[str, str]:
        try:
            known = json.loads((self._root / MEMORY).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(key): str(value) for key, value in known.items()} if isinstance(known, dict) else {}

    def _remember(self, brought: dict[str, str]) -> None:
        fresh = self._root / f"{MEMORY}.new"
        fresh.write_text(json.dumps(brought, indent=1, sort_keys=True), encoding="utf-8")
        fresh.replace(self._root / MEMORY)


def _latest(submissions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last submission of each student to each assignment; they come oldest first."""
    return list({(each["student"], each["assignment"]): each for each in submissions}.values())


def _is_of(folder: Path, submission: dict[str, Any]) -> bool:
    """Whether the folder holds this submission, by its time."""
    try:
        return (folder / TIMESTAMP).read_text(encoding="utf-8").strip() == timestamp_of(submission)
    except OSError:
        return False


def _fill(folder: Path, files: Path, log: Any) -> bool:
    """Move what `folder` has not into it; what differs there stays. Whether something came."""
    if not folder.exists():
        files.rename(folder)
        return True
    came = False
    for source in sorted(each for each in files.rglob("*") if each.is_file()):
        to = folder / source.relative_to(files)
        if os.path.lexists(to):
            if not to.is_file() or to.read_bytes() != source.read_bytes():
                log.info("Kept as it is here, the lab has another one: %s", to)
            continue
        with suppress(FileExistsError, NotADirectoryError):
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, to)
            came = True
    return came


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Nobody else follows while the block runs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
