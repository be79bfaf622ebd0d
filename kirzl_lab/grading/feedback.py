"""Pages of feedback, made by nbgrader from a graded submission and what the gradebook says of it. Trusted.

A process of its own: see `steps.feedback`.
"""

import shutil
from pathlib import Path
from typing import Any

from kirzl_lab.grading import autograde, program
from kirzl_lab.grading.records import ToGrade


def feedback(of: ToGrade, graded: Path, pages: Path, work: Path) -> None:
    """Make the folder `pages`: for each notebook of the folder `graded` a page with scores and comments.

    `graded` is nbgrader's `autograded` folder of the submission; `work` an empty folder on the same disk. Raises
    `GradeReplaced` when the gradebook's grade is that of another submission, `NotGradable` and `GradebookAway`.
    """
    autograde.must_be_in_gradebook(of)
    theirs = autograde.folder(work, "autograded", of)
    shutil.copytree(graded, theirs)
    made = autograde.convert_feedback(of, work)
    pages.mkdir()
    # By the names of the notebooks: what else lies there is the student's.
    for notebook in sorted(theirs.glob("*.ipynb")):
        (made / f"{notebook.stem}.html").rename(pages / f"{notebook.stem}.html")


def _work(request: dict[str, Any], of: ToGrade) -> dict[str, Any]:
    feedback(of, *(Path(request[name]) for name in ("graded", "pages", "work")))
    return {}


if __name__ == "__main__":
    program.main(_work)
