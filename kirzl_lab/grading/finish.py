"""The third step, trusted: the outputs that came back become scores in the gradebook.

A process of its own: see `steps.finish`.
"""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kirzl_lab.grading import autograde, program, returned
from kirzl_lab.grading.records import Score, ToGrade
from kirzl_lab.problems import ResultRefused


def finish(of: ToGrade, prepared: Path, executed: Path, autograded: Path, work: Path) -> Score:
    """Grade what came back, `executed`, of what was sent, `prepared`, in the empty folder `work` on the same disk.

    Scores go to the gradebook, files to `autograded`, which is replaced. Can be repeated, also when it was killed in
    the middle: it gives the same again. Raises `ResultRefused`, before anything is changed, `NotGradable` and
    `GradebookAway`.
    """
    submitted = autograde.folder(work, "submitted", of)
    try:
        returned.take(prepared, executed, submitted)
    except returned.ReturnRefusedError as error:
        raise ResultRefused(assignment=of.assignment, found=error.why) from error
    graded = autograde.convert(autograde.Finish, of, work)
    if autograded.exists():
        autograded.rename(work / "before")
    autograded.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(graded, autograded)
    return autograde.score(of)


def _work(request: dict[str, Any], of: ToGrade) -> dict[str, Any]:
    paths = (Path(request[name]) for name in ("prepared", "executed", "autograded", "work"))
    return asdict(finish(of, *paths))


if __name__ == "__main__":
    program.main(_work)
