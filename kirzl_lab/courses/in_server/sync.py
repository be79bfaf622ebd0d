"""The course folder follows the lab: what was released, handed in and given back is there when people who run it look.

Guarantees: a file of the lecturer's is never replaced; a folder that is brought appears whole; an archive that was
brought once is not brought again, so that what somebody removed since stays away; two servers of one course that
start together do not disturb each other. What a submission is replaced with is chosen by collecting, not here.
"""

import asyncio
import fcntl
import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.ioloop import IOLoop
from tornado.web import authenticated

from kirzl_lab.courses.in_server.configuration import SPACE, course_folder

ADDRESS = "kirzl-lab/course-folder"
"""POST brings the folder up to date and tells how many folders were brought."""

DELAY_S = 3.0
"""After a server has started: the page that somebody waits for comes first."""

MEMORY = ".kirzl-brought.json"
LOCK = ".kirzl-brought.lock"


class CourseFolder:
    """The course folder at `root`, with nbgrader's default layout."""

    def __init__(self, root: Path, course: str, service: Any, log: Any) -> None:
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
        return count

    def _follow_assignment(self, brought: dict[str, str], step: str, name: str, sha256: str | None) -> bool:
        from kirzl_lab.courses.in_server.exchange import beside  # noqa: PLC0415 - brings nbgrader in
        from kirzl_lab.courses.in_server.service import path_of  # noqa: PLC0415 - brings httpx in
        from kirzl_lab.store.archives import unpack  # noqa: PLC0415

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

    def _follow_submission(self, submission: dict[str, Any]) -> bool:
        theirs = Path(submission["student"], submission["assignment"])
        came = False
        if not (self._root / "submitted" / theirs).exists():
            came = self._bring(submission, "files", self._root / "submitted" / theirs)
        if submission["feedback_at"] and not (self._root / "feedback" / theirs).exists():
            came = self._bring(submission, "feedback", self._root / "feedback" / theirs) or came
        return came

    def _bring(self, submission: dict[str, Any], what: str, folder: Path) -> bool:
        from kirzl_lab.courses.in_server.exchange import (  # noqa: PLC0415 - brings nbgrader in
            beside,
            timestamp_of,
            write_timestamp,
        )
        from kirzl_lab.store.archives import unpack  # noqa: PLC0415

        with beside(folder) as temporary:
            archive = temporary / "brought.tar.gz"
            self._service.download(self._course, f"/submissions/{submission['id']}/{what}", archive)
            unpack(archive, temporary / "files")
            write_timestamp(temporary / "files", timestamp_of(submission))
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


def follow(environment: Mapping[str, str], log: Any) -> int:
    """Bring the course folder of this server up to date; see `CourseFolder.follow`. It blocks."""
    from kirzl_lab.courses.in_server.service import LabService  # noqa: PLC0415 - brings httpx in

    with LabService(environment) as service:
        return CourseFolder(course_folder(environment), environment[SPACE], service, log).follow()


def begin(server: Any, environment: Mapping[str, str]) -> None:
    """Follow in the background once the server has started, and whenever somebody asks."""

    def run() -> None:
        try:
            count = follow(environment, server.log)
        except Exception as error:
            # The server is of use without it, and the next start or somebody's click tries again.
            server.log.warning("The course folder could not be brought up to date: %s", error)
        else:
            server.log.info("The course folder is up to date: %d folders came", count)

    IOLoop.current().call_later(
        DELAY_S, lambda: threading.Thread(target=run, name="course-folder", daemon=True).start()
    )
    address = url_path_join(server.base_url, ADDRESS)
    server.web_app.add_handlers(".*$", [(address, FolderHandler, {"environment": environment})])


class FolderHandler(APIHandler):
    """Brings the course folder up to date when somebody asks for it."""

    def initialize(self, environment: Mapping[str, str]) -> None:
        """Each server has one environment."""
        self.environment = environment

    @authenticated
    async def post(self) -> None:
        """How many folders came, or words on why not all could."""
        from kirzl_lab.courses.in_server.service import ServiceError  # noqa: PLC0415 - brings httpx in

        try:
            count = await asyncio.to_thread(follow, self.environment, self.log)
        except ServiceError as error:
            self.set_status(503)
            self.finish({"success": False, "value": str(error)})
        else:
            self.finish({"success": True, "value": count})


def _latest(submissions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last submission of each student to each assignment; they come oldest first."""
    return list({(each["student"], each["assignment"]): each for each in submissions}.values())


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
