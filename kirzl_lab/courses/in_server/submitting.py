"""Hand in an assignment: once, however often it is tried."""

import secrets

from nbgrader.exchange.abc import ExchangeSubmit

from kirzl_lab.courses.in_server.exchange import KEY, OURS, RECEIPTS, LabExchange, beside, timestamp_of, when
from kirzl_lab.courses.in_server.service import DAMAGED


class Submit(LabExchange, ExchangeSubmit):
    """The files of an assignment as they are now. Who hands in is whose server this is, and the time is the lab's."""

    def init_src(self) -> None:
        """There must be a copy of the assignment."""
        self.src_path = self.work_path(self.coursedir.course_id, self.assignment)
        self.coursedir.assignment_id = self.src_path.name
        if self.coursedir.student_id not in ("", "*"):
            self.log.warning("--student is ignored: you hand in as the person whose server this is.")
        if not self.src_path.is_dir():
            others = [each.name for each in self.src_path.parent.glob("*") if each.is_dir()]
            self.not_found(f"Assignment not found at: {self.src_path}", self.src_path.name, others)

    def init_dest(self) -> None:
        """The assignment must be released, or tried before: the lab may have what it gave no receipt for."""
        released = {
            each["name"]: each["notebooks"] for each in self.service.assignments(self.course) if each["released"]
        }
        if self.assignment not in released and (self.src_path / KEY).exists():
            self.released_notebooks = sorted(each.name for each in self.src_path.glob("*.ipynb"))
            return
        if self.assignment not in released:
            self.not_found(f"Assignment not found: {self.course} {self.assignment}", self.assignment, released)
        self.released_notebooks = [f"{name}.ipynb" for name in released[self.assignment]]

    def copy_files(self) -> None:
        """Hand it in."""
        self.log.info("Source: %s", self.src_path)
        self.log.info("Destination: %s %s", self.course, self.assignment)
        self._compare_notebooks()
        with beside(self.src_path) as temporary:
            archive = temporary / "submission.tar.gz"
            sha256 = self.packed(self.src_path, archive, *OURS).sha256
            submission = self.service.submit(self.course, self.assignment, archive, self._key(sha256))
        if submission["sha256"] != sha256:
            self._forget_key()
            self.fail(DAMAGED)
        receipts = self.src_path / RECEIPTS
        receipts.mkdir(exist_ok=True)
        (receipts / f"{when(submission):%Y%m%dT%H%M%S.%fZ}.jws").write_text(submission["receipt"], encoding="ascii")
        self._forget_key()
        if submission["late"]:
            self.log.warning("Handed in after it was due: %s %s", self.course, self.assignment)
        self.log.info("Submitted as: %s %s %s", self.course, self.assignment, timestamp_of(submission))

    def _key(self, sha256: str) -> str:
        """The key of the last try that got no receipt, if it was about the same files; else a new one, kept for the next."""
        file = self.src_path / KEY
        try:
            key, known = file.read_text(encoding="ascii").split()
        except (OSError, ValueError):
            key, known = "", ""
        if not key or known != sha256:
            key = secrets.token_urlsafe(24)
            file.write_text(f"{key} {sha256}\n", encoding="ascii")
        return key

    def _forget_key(self) -> None:
        (self.src_path / KEY).unlink(missing_ok=True)

    def _compare_notebooks(self) -> None:
        """Tell of notebooks that are missing or more than were released; with `strict`, missing ones end it."""
        released, found = self.released_notebooks, sorted(each.name for each in self.src_path.glob("*.ipynb"))
        missing, extra = set(released) - set(found), set(found) - set(released)
        if not missing and not extra:
            return
        expected = "\n\t".join(f"{name}: {'MISSING' if name in missing else 'FOUND'}" for name in released)
        submitted = "\n\t".join(f"{name}: {'EXTRA' if name in extra else 'OK'}" for name in found)
        difference = f"Expected:\n\t{expected}\nSubmitted:\n\t{submitted}"
        if missing and self.strict:
            self.fail(
                f"Assignment {self.assignment} not submitted. "
                f"There are missing notebooks for the submission:\n{difference}"
            )
        self.log.warning(
            "Possible missing notebooks and/or extra notebooks submitted for assignment %s:\n%s",
            self.assignment,
            difference,
        )
