"""30 submissions of a sample assignment graded: our three steps beside `nbgrader autograde`, in one run.

Both grade the same files, of a class as `kirzl_lab.courses.demo` makes it, with a gradebook of their own. Ours are the
steps as a laptop runs them, as many at once as there are processors: each in a process of its own, student code under
its limits. `equal` says that both gradebooks have the same scores. The last line is one JSON object, in seconds.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nbgrader.api import Gradebook
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory

from kirzl_lab.courses.demo import demo_class
from kirzl_lab.grading import laptop, steps
from kirzl_lab.grading.outcomes import Limits
from kirzl_lab.grading.records import ToGrade
from tests.support.running_lab import ROOT

COURSE, ASSIGNMENT = "ml-101", "1-nearest-neighbours"
DUE = datetime(2026, 11, 2, 12, tzinfo=UTC)
Scores = dict[str, list[tuple[str, float]]]


def make(root: Path, submissions: int) -> dict[str, datetime]:
    """A course folder of nbgrader with so many submissions; when each student handed in."""
    shutil.copytree(ROOT / "courses" / COURSE / "source" / ASSIGNMENT, root / "source" / ASSIGNMENT)
    GenerateAssignment(coursedir=CourseDirectory(root=str(root), course_id=COURSE, assignment_id=ASSIGNMENT)).start()
    with Gradebook(_gradebook(root)) as gradebook:
        gradebook.update_or_create_assignment(ASSIGNMENT, duedate=DUE.replace(tzinfo=None))
    times: dict[str, datetime] = {}
    for student in demo_class(root / "source" / ASSIGNMENT, root / "release" / ASSIGNMENT, 2 * submissions):
        if not student.attempts or len(times) == submissions:
            continue
        name, attempt = f"student-{student.number:02d}", student.attempts[-1]
        times[name] = DUE + timedelta(hours=1 if attempt.late else -1)
        folder = root / "submitted" / name / ASSIGNMENT
        for path, data in attempt.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        (folder / "timestamp.txt").write_text(f"{times[name]:%Y-%m-%d %H:%M:%S.%f} UTC")
    return times


def ours(root: Path, times: dict[str, datetime]) -> float:
    """Seconds of our three steps over all of them."""
    begun = time.perf_counter()
    asyncio.run(_all(root, times))
    return time.perf_counter() - begun


async def _all(root: Path, times: dict[str, datetime]) -> None:
    processors = os.cpu_count() or 1
    # As in the lab: steps of ours do not wait for student code.
    turns, runs = asyncio.Semaphore(processors), asyncio.Semaphore(processors)
    async with asyncio.TaskGroup() as group:
        for student, at in times.items():
            group.create_task(_grade(root, student, at, turns, runs))


async def _grade(root: Path, student: str, at: datetime, turns: asyncio.Semaphore, runs: asyncio.Semaphore) -> None:
    of = ToGrade(COURSE, ASSIGNMENT, student, at, _gradebook(root))
    work = root / "work" / student
    work.mkdir(parents=True)
    prepared, executed = work / "prepared", work / "executed"
    async with turns:
        source = root / "source" / ASSIGNMENT
        await steps.prepare(of, root / "submitted" / student / ASSIGNMENT, prepared, source=source)
    async with runs:
        outcome = await laptop.execute(prepared, executed, Limits())
    if outcome.reason is not None:
        raise AssertionError(f"{student}: {outcome.reason}\n{outcome.log}")
    async with turns:
        await steps.finish(of, prepared, executed, work / "autograded", still_wanted=_wanted)


async def _wanted() -> bool:
    return True


def peer(root: Path) -> float:
    """Seconds of nbgrader's own command over all of them."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "nbgrader", "autograde", ASSIGNMENT, f"--CourseDirectory.course_id={COURSE}"]
    subprocess.run(command, cwd=root, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


def scores(root: Path) -> Scores:
    """Every score in the gradebook, by student and cell, with the penalty."""
    with Gradebook(_gradebook(root)) as gradebook:
        return {
            submission.student.id: [
                ("penalty", submission.late_submission_penalty),
                *((grade.name, grade.score) for book in submission.notebooks for grade in book.grades),
            ]
            for submission in gradebook.assignment_submissions(ASSIGNMENT)
        }


def _gradebook(root: Path) -> str:
    return f"sqlite:///{root / 'gradebook.db'}"


def main() -> None:
    """Grade with both, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=30)
    submissions = parser.parse_args().submissions
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # nbgrader starts alembic by its name
    with tempfile.TemporaryDirectory() as folder:
        mine, theirs = Path(folder) / "ours", Path(folder) / "nbgrader"
        times = make(mine, submissions)
        shutil.copytree(mine, theirs)
        print(f"{len(times)} submissions of {COURSE}/{ASSIGNMENT}", flush=True)
        taken = ours(mine, times)
        print(f"kirzl-lab {taken:.1f} s", flush=True)
        theirs_taken = peer(theirs)
        print(f"nbgrader autograde {theirs_taken:.1f} s", flush=True)
        found, expected = scores(mine), scores(theirs)
    for student in sorted(found.keys() | expected.keys()):
        if found.get(student) != expected.get(student):
            print("different:", student, found.get(student), expected.get(student))
    total = sum(score for each in found.values() for name, score in each if name != "penalty")
    equal = len(found) == len(times) and total > 0 and found == expected
    figures = {"submissions": len(times), "seconds": round(taken, 1), "peer_seconds": round(theirs_taken, 1)}
    print(json.dumps({**figures, "equal": equal}))


if __name__ == "__main__":
    main()
