"""The three steps give exactly what nbgrader's own autograde gives, at first and when graded again."""

import os
import shutil
import subprocess
import sys
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from nbgrader.api import Gradebook

from kirzl_lab.grading import execute
from kirzl_lab.grading.finish import finish
from kirzl_lab.grading.prepare import prepare
from kirzl_lab.grading.records import Score
from kirzl_lab.problems import NotGradable
from tests.grading.course import ASSIGNMENT, COURSE, EARLY, LATE, PENALTY_PLUGIN, Course, answered, cell, facts, marked

OPTIONS = {"AssignLatePenalties.plugin_class": "penalties.Hourly"}
CELL_S = 3
UNGRADABLE = ("deadly", "zz-twice")

RIGHT = {"square": "def square(x):\n    return x * x", "plot": "plot = 1", "why": "Since it is so."}
RIGHT2 = {"total": "def total():\n    return sum(map(int, open('numbers.txt')))"}
VISIBLE_ONLY = {"square": "def square(x):\n    return 2 * x if x > 0 else 0"}
NOISY_AND_ENDLESS = {
    "square": "import sys\ndef square(x):\n    while x < 0: pass\n    print(x, file=sys.stderr)\n    return x * x"
}
DEADLY = {"square": "def square(x):\n    import os\n    os._exit(3)"}
CHEATING = {
    "square": "def square(x):\n    return 0",
    "test_square": "pass",
    "test_partial": "2.0",
    "test_bonus": "pass",
}


def hand_in_everything(course: Course) -> dict[str, Any]:
    """What students hand in, each for another reason; when, by student."""
    released = course.released

    def first(**answers: str) -> Any:
        return answered(released("problem1"), **answers)

    def both(**answers: str) -> dict[str, Any]:
        return {"problem1": first(**answers), "problem2": answered(released("problem2"), **RIGHT2)}

    work = {
        "right": both(**RIGHT),
        "untouched": {"problem1": first()},  # and one notebook is missing
        "visible-only": {"problem1": first(**RIGHT | VISIBLE_ONLY)},
        "noisy-and-endless": {"problem1": first(**NOISY_AND_ENDLESS)},
        "deadly": {"problem1": first(**DEADLY)},
        "cheating": {"problem1": first(**CHEATING)},
        "late": both(**RIGHT),
        "zz-twice": {"problem1": first()},  # last: nbgrader stops there
        "late-and-wrong": {"problem1": first(**VISIBLE_ONLY), "other": released("problem2")},
    }
    marked(work["cheating"]["problem1"], "test_square").metadata.nbgrader.points = 99
    work["zz-twice"]["problem1"].cells.append(cell("code", "pass", "test_square", 3, grade=True, locked=True))
    times = {student: LATE if student.startswith("late") else EARLY for student in work}
    for student, notebooks in work.items():
        course.hand_in(student, times[student], notebooks)
    (course.submitted("right") / "helper.py").write_text("TOTAL = 0\n")
    return times


def grade_by_hand(course: Course) -> None:
    """What formgrader writes: scores, more points, comments, and a task."""
    with Gradebook(course.gradebook, COURSE) as gradebook:
        for student, plot, extra in (("right", 3.5, 1.25), ("late", 2, None), ("cheating", 0, 0.5)):
            grade = gradebook.find_grade("plot", "problem1", ASSIGNMENT, student)
            grade.manual_score, grade.extra_credit, grade.needs_manual_grade = plot, extra, False
            task = gradebook.find_grade("explain", "problem1", ASSIGNMENT, student)
            task.manual_score, task.needs_manual_grade = 6, False
            gradebook.find_comment("why", "problem1", ASSIGNMENT, student).manual_comment = "Why indeed?"
        test = gradebook.find_grade("test_square", "problem1", ASSIGNMENT, "visible-only")
        test.manual_score = 1  # against the test
        gradebook.db.commit()


def graded(course: Course) -> dict[str, Any]:
    """What the gradebook says of submissions that could be graded. Of others nbgrader keeps a submission without scores."""
    found = facts(course)
    return {
        name: [student for student in told if student not in UNGRADABLE] if name == "students" else told
        for name, told in found.items()
        if name not in UNGRADABLE
    }


def nbgrader_autograde(course: Course) -> "subprocess.Popen[bytes]":
    """nbgrader's own command over everything."""
    command = [
        sys.executable,
        "-m",
        "nbgrader",
        "autograde",
        ASSIGNMENT,
        "--force",
        f"--CourseDirectory.course_id={COURSE}",
    ]
    command += [f"--Execute.timeout={CELL_S}", *(f"--{name}={value}" for name, value in OPTIONS.items())]
    return subprocess.Popen(command, cwd=course.root, env=os.environ, stderr=subprocess.DEVNULL)


def three_steps(course: Course, student: str, at: Any, work: Path) -> Score:
    """Our three steps over one submission, without processes of their own but for the kernels."""
    of = course.to_grade(student, at, **OPTIONS)
    for name in ("prepare", "finish"):
        (work / name).mkdir(parents=True)
    prepare(of, course.submitted(student), work / "prepared", work / "prepare", course.source)
    execute.lay_out(work / "prepared", work / "executed")
    execute.run(work / "prepared", work / "executed", CELL_S, 10**7)
    return finish(of, work / "prepared", work / "executed", work / "autograded" / student, work / "finish")


@pytest.mark.slow
def test_every_score_is_that_of_nbgrader(
    fresh: Course, tmp_path: Path, plugins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plugins / "penalties.py").write_text(PENALTY_PLUGIN)
    monkeypatch.syspath_prepend(str(plugins))
    times = hand_in_everything(fresh)
    theirs, ours = fresh, fresh.copy(tmp_path / "ours")

    scores = grade_both(theirs, ours, times, tmp_path / "first")
    assert graded(ours) == graded(theirs)
    assert facts(ours).keys().isdisjoint(UNGRADABLE)
    assert scores == {
        "right": Score(12, 27, True, 0),  # 3 for the test, 2 partial, 7 in the second; two cells wait for a person
        "untouched": Score(0, 27, True, 0),  # the task
        "visible-only": Score(0.5, 27, True, 0),
        "noisy-and-endless": Score(0, 27, True, 0),  # nbgrader: a test that writes to stderr has failed
        "cheating": Score(0, 27, True, 0),
        "late": Score(12, 27, True, 1.5),
        "late-and-wrong": Score(0.5, 27, True, 0.5),
    }

    for course in (theirs, ours):
        grade_by_hand(course)
        times["late"] = EARLY + timedelta(days=3)
        course.hand_in("late", times["late"], {"problem1": answered(course.released("problem1"), **RIGHT)})
    again = {student: at for student, at in times.items() if student in ("right", "visible-only", "late")}
    for course, student in product((theirs, ours), times.keys() - again.keys()):
        shutil.rmtree(course.submitted(student))
    scores = grade_both(theirs, ours, again, tmp_path / "again")
    assert graded(ours) == graded(theirs)
    assert facts(ours).keys().isdisjoint(UNGRADABLE)
    assert scores["right"].score == 12 + 3.5 + 1.25 + 6


def grade_both(theirs: Course, ours: Course, times: dict[str, Any], work: Path) -> dict[str, Score]:
    """Grade everything in both courses; our scores."""
    reference, scores = nbgrader_autograde(theirs), {}
    for student, at in times.items():
        try:
            scores[student] = three_steps(ours, student, at, work / student)
        except (execute.DeadKernelError, NotGradable):
            assert student in UNGRADABLE
    assert reference.wait() == int("deadly" in times), "one kernel dies, and one notebook has a cell twice"
    return scores
