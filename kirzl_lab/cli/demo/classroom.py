"""The students of the demo class: what each hands in, and when."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from kirzl_lab.cli.demo.front_door import Account, Visitor, accounts_by_claim, enter
from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.lab_api import LabApi
from kirzl_lab.courses.demo import Attempt, Student, demo_class
from kirzl_lab.store.archives import pack, unpack

AT_ONCE = 4
"""Students who do something at the same moment: a laptop has few cores."""
SHIFT = 5
"""In each assignment other students are late."""

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class Homework:
    """An assignment, and what everybody makes of it, in the order of the class."""

    course: str
    assignment: str
    work: tuple[Student, ...]

    @property
    def path(self) -> str:
        """Below the API of the lab."""
        return f"courses/{self.course}/assignments/{self.assignment}/submissions"


def students_of(lecturer: Visitor, course: str, wanted: int) -> list[Account]:
    """The first demo accounts that the roster has as students. Raises `Stop` when there are not so many."""
    known = accounts_by_claim()
    rows = lecturer.lab.every(f"courses/{course}/roster", role="student")
    found = [known[key] for row in rows if (key := (row["institution"], row["claim"], row["value"])) in known]
    if len(found) < wanted:
        sentence = f"The roster of {course} has {len(found)} demo accounts as students: ask for so many with --students, or fewer."
        raise Stop(Exit.USAGE, sentence)
    return sorted(found, key=lambda account: (account.institution != "uni", len(account.name), account.name))[:wanted]


def enter_all(url: str, accounts: list[Account], tell: Callable[[str], None]) -> list[Visitor]:
    """All of them, logged in."""
    visitors: list[Visitor] = []
    for visitor in _at_once(lambda account: enter(url, account), accounts):
        visitors.append(visitor)
        if len(visitors) % 10 == 0 or len(visitors) == len(accounts):
            tell(f"{len(visitors)} of {len(accounts)} students have logged in")
    return visitors


def homework(lecturer: Visitor, course: str, source: Path, *, students: int, index: int) -> Homework:
    """What a class of so many makes of the assignment number `index`, as the lab has released it."""
    with TemporaryDirectory() as folder:
        archive, release = Path(folder, "release.tar.gz"), Path(folder, "release")
        archive.write_bytes(lecturer.lab.archive(f"courses/{course}/assignments/{source.name}/release"))
        unpack(archive, release)
        made = tuple(demo_class(source, release, students, shift=index * SHIFT))
    return Homework(course, source.name, made)


def hand_in(visitors: list[Visitor], of: Homework, *, late: bool) -> int:
    """Everybody hands in what they have not handed in yet, on time or late; how many submissions are new."""

    def one(pair: tuple[Visitor, Student]) -> int:
        visitor, student = pair
        wanted = [attempt for attempt in student.attempts if attempt.late is late]
        there = len(_mine(visitor.lab, of)) if wanted else 0
        for number, attempt in enumerate(wanted[there:], start=there + 1):
            _submit(visitor.lab, of, attempt, number)
        return max(0, len(wanted) - there)

    return sum(_at_once(one, zip(visitors, of.work, strict=True)))


def _mine(lab: LabApi, of: Homework) -> list[Any]:
    told = lab.get(f"courses/{of.course}/assignments")["assignments"]
    return next((each["submissions"] for each in told if each["name"] == of.assignment), [])


def _submit(lab: LabApi, of: Homework, attempt: Attempt, number: int) -> None:
    with TemporaryDirectory() as folder:
        files, archive = Path(folder, "files"), Path(folder, "files.tar.gz")
        for name, content in attempt.files.items():
            file = files / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        pack(files, archive)
        # Two that seed one lab at the same moment send the same: the lab takes it once.
        lab.upload("POST", of.path, archive.read_bytes(), key=f"demo-seed-attempt-{number}")


def _at_once(do: Callable[[In], Out], each: Iterable[In]) -> Iterator[Out]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(do, each)
