"""The main path of a term in a real browser, on the cluster: a course is made, its people come, Jobs grade, feedback is read."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser import test_term as steps
from tests.browser.term import Lecturer, Student
from tests.cluster.lab.lab import ClusterLab
from tests.support.browser import launch

pytestmark = [pytest.mark.browser, pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        yield from launch(playwright)


def test_from_a_new_course_to_feedback(cluster_lab: ClusterLab, browser: Browser) -> None:
    with ExitStack() as stack:
        lecturer = Lecturer(browser, cluster_lab.url, steps.UNI, "lecturer")
        stack.callback(lecturer.stop)
        steps.make_course(lecturer)
        steps.upload_roster(lecturer)
        steps.release(lecturer)
        students = [Student(browser, cluster_lab.url, work.institution, work.account) for work in steps.WORKS]
        for student in students:
            stack.callback(student.stop)
        steps.hand_in(students)
        steps.collect_and_grade(lecturer)
        steps.grade_by_hand(lecturer)
        steps.release_feedback(lecturer)
        for student, work in zip(students, steps.WORKS, strict=True):
            steps.read_feedback(student, work)
