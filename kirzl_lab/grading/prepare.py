"""The first step, trusted: what was handed in becomes what can be run, with the tests of the gradebook in it.

A process of its own: see `steps.prepare`.
"""

from pathlib import Path
from typing import Any

from kirzl_lab.grading import autograde, program
from kirzl_lab.grading.copying import CopyRefusedError, copy_tree
from kirzl_lab.grading.records import ToGrade
from kirzl_lab.problems import SubmissionRefused


def prepare(of: ToGrade, files: Path, prepared: Path, work: Path, source: Path | None = None) -> None:
    """Make the folder `prepared` from what was handed in, `files`, in the empty folder `work` on the same disk.

    The gradebook is read and not changed. Raises `SubmissionRefused`, `NotGradable`, `GradebookAway`.
    """
    submitted = autograde.folder(work, "submitted", of)
    try:
        copy_tree(files, submitted)
    except CopyRefusedError as error:
        raise SubmissionRefused(found=error.why) from error
    autograde.convert(autograde.Prepare, of, work, source).rename(prepared)


def _work(request: dict[str, Any], of: ToGrade) -> dict[str, Any]:
    source = Path(request["source"]) if "source" in request else None
    prepare(of, Path(request["files"]), Path(request["prepared"]), Path(request["work"]), source)
    return {}


if __name__ == "__main__":
    program.main(_work)
