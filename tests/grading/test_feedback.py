"""Pages of feedback: what nbgrader makes of a graded submission and of what people wrote in formgrader."""

import shutil
from pathlib import Path

import pytest
from nbgrader.api import Gradebook

from kirzl_lab.grading import steps
from kirzl_lab.problems import GradeReplaced, GradingOvertaken, NotGradable
from tests.grading.course import ASSIGNMENT, COURSE, EARLY, LATE, STUDENT, Course, always

pytestmark = pytest.mark.laptop


async def grade(course: Course, prepared: Path, folder: Path) -> Path:
    """The graded folder of what was prepared, as if it had run without an output."""
    executed, graded = folder / "executed", folder / "graded"
    shutil.copytree(prepared, executed)
    await steps.finish(course.to_grade(STUDENT, LATE), prepared, executed, graded, still_wanted=always)
    return graded


async def test_pages_say_what_the_gradebook_says(handed_in: Course, prepared: Path, tmp_path: Path) -> None:
    graded = await grade(handed_in, prepared, tmp_path)
    (graded / "problem1.html").write_text("written by the student")
    (graded / "extra.html").write_text("written by the student")
    with Gradebook(handed_in.gradebook, COURSE) as gradebook:
        gradebook.find_comment("why", "problem1", ASSIGNMENT, STUDENT).manual_comment = "Why indeed?"
        plot = gradebook.find_grade("plot", "problem1", ASSIGNMENT, STUDENT)
        plot.manual_score, plot.needs_manual_grade = 3.5, False
        gradebook.db.commit()
    log = await steps.feedback(handed_in.to_grade(STUDENT, LATE), graded, tmp_path / "pages")
    assert "Converting notebook" in log
    assert {file.name for file in (tmp_path / "pages").iterdir()} == {"problem1.html", "problem2.html"}
    page = (tmp_path / "pages" / "problem1.html").read_text()
    assert "Why indeed?" in page
    assert "(Score: 3.5 / 4.0)" in page
    assert "written by the student" not in page
    again = tmp_path / "again"
    await steps.feedback(handed_in.to_grade(STUDENT, LATE), graded, again)
    assert (again / "problem1.html").read_bytes() == (tmp_path / "pages" / "problem1.html").read_bytes()


async def test_no_page_shows_the_grade_of_another_submission(handed_in: Course, prepared: Path, tmp_path: Path) -> None:
    graded = await grade(handed_in, prepared, tmp_path)
    with pytest.raises(GradeReplaced):
        await steps.feedback(handed_in.to_grade(STUDENT, EARLY), graded, tmp_path / "pages")
    with pytest.raises(GradeReplaced):
        await steps.feedback(handed_in.to_grade("somebody-else", LATE), graded, tmp_path / "pages")
    assert not (tmp_path / "pages").exists()


async def test_what_is_not_wanted_or_no_notebook_is_not_made(handed_in: Course, prepared: Path, tmp_path: Path) -> None:
    graded = await grade(handed_in, prepared, tmp_path)

    async def taken_back() -> bool:
        return False

    of = handed_in.to_grade(STUDENT, LATE)
    with pytest.raises(GradingOvertaken):
        await steps.feedback(of, graded, tmp_path / "pages", still_wanted=taken_back)
    (graded / "problem1.ipynb").write_text("{")
    with pytest.raises(NotGradable) as refused:
        await steps.feedback(of, graded, tmp_path / "pages")
    assert "problem1.ipynb" in refused.value.fields["log"]
    assert not (tmp_path / "pages").exists()
