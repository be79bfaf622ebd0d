"""Prepare and finish as processes: what they are told, what they tell, and what is left when they are killed."""

import asyncio
import fcntl
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kirzl_lab.grading import laptop, program, steps
from kirzl_lab.grading.finish import finish
from kirzl_lab.grading.locks import grading_lock, key_of
from kirzl_lab.grading.outcomes import Limits
from kirzl_lab.grading.prepare import prepare
from kirzl_lab.grading.records import Score, ToGrade
from kirzl_lab.problems import (
    GradebookAway,
    GradingBroke,
    GradingOvertaken,
    NotGradable,
    ResultRefused,
    SubmissionRefused,
)
from tests.conftest import Postgres
from tests.grading.course import ASSIGNMENT, EARLY, LATE, STUDENT, Course, facts, make

UNRUN = Score(12, 27, True, 3)
"""Tests without any output have passed, for nbgrader: 3 + 2 and 7, less 0.75 for each late notebook and 3 hours."""

DEADLY_PLUGIN = """
import os, pathlib, signal
from nbgrader.plugins import BasePlugin

class Deadly(BasePlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        once = pathlib.Path(__file__).with_name("killed")
        if score > 5 and not once.exists():
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 1.5
"""
"""Ends the process at the second notebook, when the first one's scores and penalty are written."""


async def wanted() -> bool:
    return True


async def overtaken() -> bool:
    return False


def try_lock(file: Path) -> None:
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.laptop
async def test_the_three_steps(fresh: Course, tmp_path: Path) -> None:
    fresh.hand_in(STUDENT, EARLY, {"problem2": fresh.released("problem2")})
    of, way = fresh.to_grade(STUDENT, LATE), tmp_path / "way"
    way.mkdir()

    log = await steps.prepare(of, fresh.submitted(STUDENT), way / "prepared", source=fresh.source)
    assert f"Sanitizing {way}" in log
    assert "NotImplementedError" in (way / "prepared" / "problem2.ipynb").read_text()
    assert {file.name for file in (way / "prepared").iterdir()} == {
        "problem2.ipynb", "numbers.txt", "helper.py", "timestamp.txt",
    }  # fmt: skip
    outcome = await laptop.execute(way / "prepared", way / "executed", Limits(cell_s=20, total_s=120))
    assert outcome.reason is None, outcome.log
    score, log = await steps.finish(
        of, way / "prepared", way / "executed", tmp_path / "autograded" / STUDENT / ASSIGNMENT, still_wanted=wanted
    )
    assert score == Score(0, 27, False, 0)
    assert "Autograding" in log
    assert "NotImplementedError" in (tmp_path / "autograded" / STUDENT / ASSIGNMENT / "problem2.ipynb").read_text()
    assert facts(fresh)[STUDENT]["timestamp"] == LATE.replace(tzinfo=None)
    assert {file.name for file in way.iterdir()} == {"prepared", "executed"}, "workplaces are cleared away"


@pytest.mark.laptop
async def test_killed_in_the_middle_and_run_again_it_gives_the_same(
    handed_in: Course, prepared: Path, tmp_path: Path, plugins: Path
) -> None:
    (plugins / "deadly.py").write_text(DEADLY_PLUGIN)
    undisturbed = handed_in.copy(tmp_path / "undisturbed")
    option = {"AssignLatePenalties.plugin_class": "deadly.Deadly"}

    async def finish_in(course: Course) -> Score:
        of = course.to_grade(STUDENT, LATE, **option)
        score, _log = await steps.finish(of, prepared, prepared, course.root / "autograded" / "x", still_wanted=wanted)
        return score

    with pytest.raises(GradingBroke) as broke:
        await finish_in(handed_in)
    assert "Autograding" in broke.value.fields["log"]
    half = facts(handed_in)[STUDENT]
    assert (half["problem1"]["late_submission_penalty"], half["problem2"]["late_submission_penalty"]) == (1.5, None)
    assert not (handed_in.root / "autograded").joinpath("x").exists()

    assert await asyncio.gather(finish_in(handed_in), finish_in(undisturbed)) == [UNRUN, UNRUN]
    assert facts(handed_in) == facts(undisturbed)


@pytest.mark.laptop
async def test_an_older_attempt_changes_nothing(handed_in: Course, prepared: Path, tmp_path: Path) -> None:
    before = facts(handed_in)
    with pytest.raises(GradingOvertaken):
        await steps.finish(
            handed_in.to_grade(STUDENT, LATE), prepared, prepared, tmp_path / "autograded", still_wanted=overtaken
        )
    assert facts(handed_in) == before
    assert not (tmp_path / "autograded").exists()


@pytest.mark.laptop
async def test_refusals_come_back_with_words_and_log(handed_in: Course, prepared: Path, tmp_path: Path) -> None:
    of = handed_in.to_grade(STUDENT, LATE)
    link = tmp_path / "link"
    shutil.copytree(prepared, link)
    (link / "passwd").symlink_to("/etc/passwd")
    none = tmp_path / "none"
    none.mkdir()
    away = ToGrade(of.course, of.assignment, of.student, LATE, "postgresql+psycopg://lab@127.0.0.1:1/none")

    async def why(job: Any) -> tuple[type, str, str]:
        with pytest.raises(Exception) as raised:
            await job
        problem = raised.value
        return type(problem), str(problem), getattr(problem, "fields", {}).get("log", "")

    jobs = [
        steps.prepare(of, link, tmp_path / "p1"),
        steps.prepare(of, none, tmp_path / "p2"),
        steps.prepare(away, prepared, tmp_path / "p3"),
        steps.finish(of, prepared, link, tmp_path / "a", still_wanted=wanted),
    ]
    refused, ungradable, unreachable, returned = await asyncio.gather(*map(why, jobs))
    assert refused[:2] == (
        SubmissionRefused,
        "What was handed in cannot be graded (“passwd” is a link or no plain file): ask the student to hand it in again without that.",
    )
    assert ungradable[0] == NotGradable
    assert "No notebooks were matched" in ungradable[2]
    assert unreachable[0] == GradebookAway
    assert returned[0] == ResultRefused
    assert "“passwd” is a link" in returned[1]


@pytest.mark.laptop
async def test_cancelled_it_ends_at_once(handed_in: Course, prepared: Path, tmp_path: Path) -> None:
    asked, before = asyncio.Event(), facts(handed_in)

    async def never() -> bool:
        asked.set()
        await asyncio.Event().wait()
        return True

    of = handed_in.to_grade(STUDENT, LATE)
    job = asyncio.create_task(steps.finish(of, prepared, prepared, tmp_path / "way" / "autograded", still_wanted=never))
    async with asyncio.timeout(60):
        await asked.wait()
    with pytest.raises(BlockingIOError):
        try_lock(Path(f"{handed_in.root}/gradebook.db.grading"))
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    with grading_lock(of):
        assert facts(handed_in) == before
    assert list((tmp_path / "way").iterdir()) == []


@pytest.mark.postgres
def test_on_postgres_each_submission_has_a_lock(postgres: Postgres) -> None:
    name = postgres.create()
    mine, other = (ToGrade("ml-101", "s", student, EARLY, postgres.url(name)) for student in ("a", "b"))
    try_it = "SELECT pg_try_advisory_lock(%s)"
    with psycopg.connect(postgres.url(name).replace("+psycopg", "")) as connection:
        with grading_lock(mine):
            free = [connection.execute(try_it, (key_of(of),)).fetchone() for of in (mine, other)]
            assert free == [(False,), (True,)]
        assert connection.execute(try_it, (key_of(mine),)).fetchone() == (True,)


@pytest.mark.postgres
def test_on_postgres_it_gives_the_same(postgres: Postgres, handed_in: Course, prepared: Path, tmp_path: Path) -> None:
    course = make(tmp_path / "other", postgres.url(postgres.create()))
    course.hand_in(STUDENT, LATE, {name: course.released(name) for name in ("problem1", "problem2")})
    scores = []
    (tmp_path / "work").mkdir()
    of = course.to_grade(STUDENT, LATE)
    prepare(of, course.submitted(STUDENT), tmp_path / "p", tmp_path / "work", course.source)
    for one in (course, handed_in):
        (one.root / "work").mkdir()
        of = one.to_grade(STUDENT, LATE)
        scores.append(finish(of, prepared, prepared, one.root / "autograded" / "x", one.root / "work"))
    assert scores == [replace(UNRUN, late_penalty=0)] * 2
    assert facts(course) == facts(handed_in)


def test_a_step_gets_nothing_secret() -> None:
    lab = {"KIRZL_LAB_DATABASE": "secret", "JUPYTERHUB_API_TOKEN": "secret", "AWS_SECRET_ACCESS_KEY": "secret"}
    told = steps.environment(lab | {"PGSSLROOTCERT": "/ca.pem", "TZ": "Europe/Berlin", "PATH": "/bin"})
    assert set(told) == {"PGSSLROOTCERT", "TZ", "PATH"}
    assert told["PATH"].endswith(f"{os.pathsep}/bin")


def test_what_goes_between_the_processes_is_the_same_on_both_ends() -> None:
    of = ToGrade("ml-101", "sheet1", "x-student", EARLY, "sqlite:///x", {"OverwriteCells.add_missing_cells": True})
    assert ToGrade.from_json(of.to_json()) == of
    assert of.timestamp == "2026-11-01 12:00:00.000000 UTC"
    assert set(steps.PROBLEMS) == {
        "GradeReplaced",
        "GradebookAway",
        "NotGradable",
        "ResultRefused",
        "SubmissionRefused",
    }
    assert program.GO == "go"


@pytest.mark.parametrize(
    "wrong",
    [
        {"student": "*"},
        {"student": "../x"},
        {"assignment": "a/b"},
        {"assignment": ""},
        {"submitted_at": EARLY.replace(tzinfo=None)},
        {"options": {"CourseDirectory.db_url": "sqlite:///other.db"}},
        {"options": {"Autograde.autograde_preprocessors": []}},
    ],
)
def test_names_and_options_that_lead_elsewhere_are_refused(wrong: dict[str, Any]) -> None:
    right = {"course": "c", "assignment": "a", "student": "s", "submitted_at": EARLY, "gradebook": "sqlite:///x"}
    with pytest.raises(ValueError, match=r"no name|time zone|no options"):
        ToGrade(**(right | wrong))


async def test_preparing_a_submission_leaves_the_grade_of_another_alone(
    handed_in: Course, prepared: Path, tmp_path: Path
) -> None:
    """It may be cancelled, fail, or be overtaken: then the older grade stands, under the time of what it is for."""
    way = tmp_path / "way"
    way.mkdir()
    await steps.finish(handed_in.to_grade(STUDENT, LATE), prepared, prepared, way / "graded", still_wanted=wanted)
    before = facts(handed_in)
    handed_in.hand_in(STUDENT, EARLY, {"problem2": handed_in.released("problem2")})  # a notebook less, at another time
    await steps.prepare(handed_in.to_grade(STUDENT, EARLY), handed_in.submitted(STUDENT), way / "again")
    await steps.prepare(handed_in.to_grade("x-new", EARLY), handed_in.submitted(STUDENT), way / "new")
    assert facts(handed_in) == before


@pytest.mark.laptop
async def test_tests_are_run_whatever_the_student_wrote_beside_them(fresh: Course, tmp_path: Path) -> None:
    """A cell with the tag `skip-execution` would not be run, and has no errors: for nbgrader it passed."""
    notebooks = {name: fresh.released(name) for name in ("problem1", "problem2")}
    for notebook in notebooks.values():
        for cell in notebook.cells:
            cell.metadata["tags"] = ["skip-execution"]
    fresh.hand_in(STUDENT, EARLY, notebooks)
    of, way = fresh.to_grade(STUDENT, EARLY), tmp_path / "way"
    way.mkdir()
    await steps.prepare(of, fresh.submitted(STUDENT), way / "prepared", source=fresh.source)
    outcome = await laptop.execute(way / "prepared", way / "executed", Limits(cell_s=20, total_s=120))
    assert outcome.reason is None, outcome.log
    score, _log = await steps.finish(of, way / "prepared", way / "executed", way / "graded", still_wanted=wanted)
    assert score.score == 0, score
