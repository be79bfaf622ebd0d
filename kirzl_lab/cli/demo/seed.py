"""A class with submissions in every state, made as people would make it: over HTTP, nothing is written past the lab.

Guarantees: what is there stays, and is not done again, so that a call which was cut off is finished by the next. An
assignment takes submissions on time until its due date, which comes when everybody has handed in who does so on time.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kirzl_lab.cli.demo.classroom import enter_all, hand_in, homework, students_of
from kirzl_lab.cli.demo.desk import Desk
from kirzl_lab.cli.demo.front_door import Account, Visitor, enter
from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.node import ROOT
from kirzl_lab.cli.state import Folder, is_held, read_note
from kirzl_lab.store.archives import pack

COURSE = "ml-101"
SIZE = "cpu-small"
SOURCE = ROOT / "courses" / COURSE / "source"
LECTURER = Account("uni", "lecturer")
DUE_IN = timedelta(days=14)
LOOK_S = 1.0
FEEDBACK_LIMIT_S = 600
SAID_EVERY = 5
"""Submissions that are graded between two lines about it."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Line:
    """An assignment as it is now."""

    assignment: str
    students: int
    """How many have handed in."""
    submissions: int
    late: int
    added: int
    """Submissions that were not there before."""
    graded: int
    """Students whose work is graded, by hand as well where that is needed."""
    feedback: int
    """Students who can read feedback."""


@dataclass(frozen=True, slots=True)
class Seeded:
    """What there is now."""

    url: str
    course: str
    assignments: tuple[Line, ...]

    @property
    def added(self) -> int:
        """How many submissions were not there before."""
        return sum(line.added for line in self.assignments)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        lines = [asdict(line) for line in self.assignments]
        return {"url": self.url, "course": self.course, "added": self.added, "assignments": lines}


def address_of(folder: Folder) -> str:
    """Where the demo lab of that folder is. Raises `Stop` when none runs there, or one without demo institutions."""
    note = read_note(folder) if is_held(folder) else None
    if note is None or note.state != "running":
        raise Stop(Exit.NO, f"No lab runs on {folder.path}: start one with `kirzl-lab up --demo`.")
    if not note.demo:
        raise Stop(
            Exit.NO,
            f"The lab on {folder.path} has no demo institutions: a class is made in a lab started with --demo alone.",
        )
    return note.url


def seed(folder: Folder, students: int, tell: Tell) -> Seeded:
    """Make what is missing, and tell what there is. The first assignment is graded, the last one is still open."""
    url = address_of(folder)
    names = sorted(each.name for each in SOURCE.iterdir() if each.is_dir())
    with ExitStack() as stack:
        lecturer = enter(url, LECTURER)
        stack.callback(lecturer.close)
        accounts = students_of(lecturer, COURSE, students)
        desk = stack.enter_context(Desk(lecturer, COURSE, SIZE))
        _release(lecturer, desk, names, tell)
        visitors = enter_all(url, accounts, tell)
        for visitor in visitors:
            stack.callback(visitor.close)
        added = {
            name: _class_work(lecturer, desk, visitors, name, index=index, tell=tell)
            for index, name in enumerate(names[:-1])
        }
        _grade(lecturer, desk, names[0], [visitor.hub_name for visitor in visitors], tell)
        return Seeded(url, COURSE, tuple(_line(lecturer, name, added.get(name, 0)) for name in names))


# -- released --------------------------------------------------------------------------------------------------------


def _release(lecturer: Visitor, desk: Desk, names: list[str], tell: Tell) -> None:
    known = _assignments(lecturer)
    missing = [name for name in names if known.get(name, {}).get("release_sha256") is None]
    if not missing:
        tell(f"The assignments of {COURSE} are there")
        return
    with TemporaryDirectory() as folder:
        for name in missing:
            archive = Path(folder, "source.tar.gz")
            pack(SOURCE / name, archive)
            lecturer.lab.upload("PUT", f"{_at(name)}/source", archive.read_bytes())
    tell("The lecturer's server starts")
    desk.follow()
    for name in missing:
        desk.make_due(name, datetime.now(UTC) + DUE_IN)
        desk.generate(name)
        desk.release(name)
        tell(f"{name} is released")


def _assignments(lecturer: Visitor) -> dict[str, Any]:
    return {each["name"]: each for each in lecturer.lab.get(f"courses/{COURSE}/assignments")["assignments"]}


# -- handed in -------------------------------------------------------------------------------------------------------


def _class_work(lecturer: Visitor, desk: Desk, visitors: list[Visitor], name: str, *, index: int, tell: Tell) -> int:
    about = _assignments(lecturer)[name]
    if not about["released"]:
        tell(f"{name} is withdrawn: nobody can hand it in")
        return 0
    of = homework(lecturer, COURSE, SOURCE / name, students=len(visitors), index=index)
    added = 0
    if _open(about):
        added = hand_in(visitors, of, late=False)
        _end(lecturer, desk, name)
    added += hand_in(visitors, of, late=True)
    tell(f"{name}: {added} new submissions, {len(_submissions(lecturer, name))} in all")
    return added


def _open(about: dict[str, Any]) -> bool:
    return about["due_at"] is None or datetime.fromisoformat(about["due_at"]) > datetime.now(UTC)


def _end(lecturer: Visitor, desk: Desk, name: str) -> None:
    """Let the due date be the moment of the last submission: whoever comes now is late."""
    submissions = _submissions(lecturer, name)
    if not submissions:
        return
    due = submissions[-1]["submitted_at"]
    desk.make_due(name, datetime.fromisoformat(due))
    release = lecturer.lab.archive(f"{_at(name)}/release")
    lecturer.lab.upload("PUT", f"{_at(name)}/release", release, due=due, force=True)


def _submissions(lecturer: Visitor, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    page = pages = 1
    while page <= pages:
        answer = lecturer.lab.get(f"courses/{COURSE}/submissions", assignment=name, page=page, per_page=200)
        found += answer["submissions"]
        page, pages = page + 1, answer["pages"]
    return found


# -- graded ----------------------------------------------------------------------------------------------------------


def _grade(lecturer: Visitor, desk: Desk, name: str, students: list[str], tell: Tell) -> None:
    """Grade by a run, then most of what is left by hand, and let most of these `students` read their feedback."""
    if not _submissions(lecturer, name):
        return
    told = lecturer.lab.get(f"{_at(name)}/feedback")
    if told["released"] or told["waiting"]:
        tell(f"{name} is graded, and there is feedback")
        return
    runs = lecturer.lab.get(f"{_at(name)}/runs")["runs"]
    run = runs[0] if runs else lecturer.lab.send("POST", f"{_at(name)}/runs")
    done = _wait(lecturer, run["id"], name, tell)
    desk.follow()
    left = _grade_by_hand(desk, name, _assignments(lecturer)[name]["notebooks"], students)
    graded = [student for student in students if student in done - left]
    tell(f"{name}: {len(graded)} are graded completely, {len(left)} wait for somebody")
    if some := [student for number, student in enumerate(graded) if number % 3 != 2]:
        lecturer.lab.send("POST", f"{_at(name)}/feedback", json={"students": some})
        deadline = time.monotonic() + FEEDBACK_LIMIT_S
        while lecturer.lab.get(f"{_at(name)}/feedback")["waiting"]:
            if time.monotonic() > deadline:
                raise Stop(Exit.CANNOT, f"Feedback on {name} is not made: the log of the lab service says why.")
            time.sleep(LOOK_S)  # the service tells only who asks
        tell(f"{name}: {len(some)} can read their feedback")


def _wait(lecturer: Visitor, run: int, name: str, tell: Tell) -> set[str]:
    """Whose work the run has graded, once it is over. Each of its tasks has a limit of its own, and so it ends."""
    over = -SAID_EVERY
    while True:
        found = lecturer.lab.get(f"courses/{COURSE}/runs/{run}")
        if found["over"] >= over + SAID_EVERY or found["finished_at"]:
            over = found["over"]
            tell(f"{name}: {over} of {found['total']} are graded")
        if found["finished_at"]:
            return {task["student"] for task in found["tasks"] if task["state"] == "done"}
        time.sleep(LOOK_S)  # the service tells only who asks


def _grade_by_hand(desk: Desk, name: str, notebooks: list[str], students: list[str]) -> set[str]:
    """Look at two of three students, with different points; hub names of the students whose work still waits."""
    left = set()
    for notebook in notebooks:
        waiting = desk.waiting(name, notebook)
        for number, student in enumerate(each for each in students if each in waiting):
            if number % 3 == 2:
                left.add(student)
                continue
            for grade in waiting[student]:
                desk.give(grade, round(grade["max_score"] * (1 - number % 4 / 4), 1))
    return left


# -- told ------------------------------------------------------------------------------------------------------------


def _line(lecturer: Visitor, name: str, added: int) -> Line:
    submissions = _submissions(lecturer, name)
    gradebook = lecturer.lab.every(f"courses/{COURSE}/gradebook") if submissions else []
    return Line(
        assignment=name,
        students=len({each["student"] for each in submissions}),
        submissions=len(submissions),
        late=sum(each["late"] for each in submissions),
        added=added,
        graded=sum(_is_graded(row, name) for row in gradebook),
        feedback=len(lecturer.lab.get(f"{_at(name)}/feedback")["released"]),
    )


def _is_graded(row: dict[str, Any], name: str) -> bool:
    return any(grade["assignment"] == name and grade["state"] == "graded" for grade in row["grades"])


def _at(name: str) -> str:
    return f"courses/{COURSE}/assignments/{name}"
