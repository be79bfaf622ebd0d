"""How far everybody is with an assignment."""

from datetime import UTC, datetime, timedelta

import pytest

from kirzl_lab.courses.exchange_lists import AssignmentLine, SubmissionLine
from kirzl_lab.courses.gradebook_view import Grading
from kirzl_lab.courses.handed_in import Attempt, Student
from kirzl_lab.courses.progress import OwnStage, Stage, Tasked, counts, ordered, own_stage, standings

DUE = datetime(2026, 10, 19, 10, tzinfo=UTC)
EARLY, LATE, LATER = DUE - timedelta(hours=1), DUE + timedelta(hours=1), DUE + timedelta(hours=2)
HERE, GONE = Student("here", "Here", "", enrolled=True), Student("gone", "Gone", "", enrolled=False)


def attempt(number: int, at: datetime, feedback: bool = False, problem: str | None = None) -> Attempt:
    return Attempt(number, at, LATER if feedback else None, feedback_asked=False, feedback_problem=problem)


def graded(at: datetime | None, waiting: bool = False, score: float = 5.0) -> Grading:
    return Grading(score, 0.0, waiting, at)


FIRST, SECOND, READ = attempt(1, EARLY), attempt(2, LATE), attempt(1, EARLY, feedback=True)
OPEN, FAILED, DONE = Tasked(2, open=True, failed=False), Tasked(2, open=False, failed=True), Tasked(2, False, False)


@pytest.mark.parametrize(
    ("mine", "grading", "task", "stage"),
    [
        ([], None, None, Stage.MISSING),
        ([FIRST], None, None, Stage.SUBMITTED),
        ([FIRST, SECOND], None, OPEN, Stage.GRADING),
        ([FIRST, SECOND], graded(EARLY), FAILED, Stage.FAILED),
        ([FIRST, SECOND], graded(LATE, waiting=True), DONE, Stage.NEEDS_MANUAL_GRADE),
        ([FIRST, SECOND], graded(LATE), DONE, Stage.GRADED),
        ([READ], graded(EARLY), None, Stage.RELEASED),
        ([READ, SECOND], graded(EARLY), None, Stage.RELEASED),
        ([READ, SECOND], graded(LATE), DONE, Stage.GRADED),  # what they can read is not about what counts
        ([], graded(None), None, Stage.GRADED),  # entered in formgrader
    ],
)
def test_the_stage_of_somebodys_work(
    mine: list[Attempt], grading: Grading | None, task: Tasked | None, stage: Stage
) -> None:
    gradings = {"here": grading} if grading else {}
    (row,) = standings([HERE], {"here": mine}, gradings, {2: task} if task else {}, DUE)
    assert row.stage is stage
    assert row.times == len(mine)
    assert row.late is (SECOND in mine)
    assert row.newer is (SECOND in mine and grading is not None and grading.submitted_at == EARLY)
    assert counts([row]) == {stage: 1}


def test_a_task_about_an_older_submission_says_nothing_of_the_newest() -> None:
    (row,) = standings([HERE], {"here": [FIRST, SECOND]}, {}, {1: Tasked(1, open=False, failed=True)}, DUE)
    assert row.stage is Stage.SUBMITTED


def test_who_left_is_there_while_something_of_theirs_is() -> None:
    assert standings([GONE], {}, {}, {}, DUE) == []
    assert len(standings([GONE], {"gone": [FIRST]}, {}, {}, None)) == 1
    assert len(standings([GONE], {}, {"gone": graded(EARLY)}, {}, None)) == 1


def test_the_last_trouble_with_feedback_is_told() -> None:
    mine = [attempt(1, EARLY, problem="grading-broke"), attempt(2, LATE, problem="grade-replaced"), attempt(3, LATER)]
    (row,) = standings([HERE], {"here": mine}, {}, {}, DUE)
    assert row.feedback_problem == "grade-replaced"


@pytest.mark.parametrize("descending", [False, True])
def test_who_has_nothing_to_sort_by_comes_last(descending: bool) -> None:
    names = ("first", "none", "last")
    people = [Student(name, name, "", enrolled=True) for name in names]
    mine = {"first": [FIRST], "last": [SECOND]}
    grades = {"first": graded(EARLY, score=1.0), "last": graded(LATE, score=9.0)}
    rows = standings(people, mine, grades, {}, DUE)
    expected = ["last", "first", "none"] if descending else ["first", "last", "none"]
    for sort in ("submitted", "score"):
        assert [row.student.name for row in ordered(rows, sort, descending)] == expected
    assert ordered(rows, "name", descending) == rows, "that order they have already"


def line(*times: datetime, due_at: datetime | None = DUE, feedback: bool = False) -> AssignmentLine:
    submissions = [
        SubmissionLine(
            id=number, assignment="ps1", student="here", student_name="Here", submitted_at=at,
            late=due_at is not None and at > due_at, sha256="", size=1, files=1, notebooks=[], receipt="",
            feedback_at=LATER if feedback else None,
        )
        for number, at in enumerate(times)
    ]  # fmt: skip
    return AssignmentLine(
        name="ps1", due_at=due_at, released_at=EARLY, notebooks=[], release_sha256=None, source_sha256=None,
        submissions=submissions,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("about", "now", "stage"),
    [
        (line(), EARLY, OwnStage.OPEN),
        (line(), LATE, OwnStage.MISSED),
        (line(due_at=None), LATE, OwnStage.OPEN),
        (line(EARLY), LATE, OwnStage.SUBMITTED),
        (line(EARLY, LATE), LATER, OwnStage.LATE),
        (line(EARLY, feedback=True), LATER, OwnStage.FEEDBACK),
    ],
)
def test_how_far_ones_own_work_is(about: AssignmentLine, now: datetime, stage: OwnStage) -> None:
    assert own_stage(about, now) is stage
