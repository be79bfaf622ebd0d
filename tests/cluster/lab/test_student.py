"""What a course is for: people work on what is theirs, read what is given to them, and reach nothing else."""

import re
import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.cluster.lab.conftest import LogIn
from tests.cluster.lab.lab import ClusterLab, volumes
from tests.support.browser import launch, log_in, violations
from tests.support.jupyter import CellError

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ERROR = '.jp-OutputArea-output:is([data-mime-type*="error"], [data-mime-type*="stderr"])'
"""What a cell that failed, or complained, leaves below itself."""


def test_a_student_finds_their_file_after_a_stop(cluster_lab: ClusterLab, person: LogIn) -> None:
    student, mark = person("uni", "student1"), secrets.token_hex(8)
    server = cluster_lab.open(student, "ml-101", "cpu-small")
    limits = cluster_lab.server_pod(student.hub_name)["spec"]["containers"][0]["resources"]["limits"]
    assert (limits["cpu"], limits["memory"]) == ("1", str(2 << 30))
    assert server.run("print(6 * 7)") == "42\n"
    server.run(f"open('mine.txt', 'w').write('{mark}')")
    cluster_lab.close(student, "ml-101")
    again = cluster_lab.open(student, "ml-101", "cpu-small")
    assert again.read("mine.txt") == mark


def test_materials_are_read_by_students_and_changed_by_lecturers(cluster_lab: ClusterLab, person: LogIn) -> None:
    lecturer, student, mark = person("uni", "lecturer"), person("uni", "student2"), secrets.token_hex(8)
    lecturer.start("ml-101", "cpu-small")
    student.start("ml-101", "cpu-small")
    theirs, mine = cluster_lab.opened(lecturer, "ml-101"), cluster_lab.opened(student, "ml-101")
    assert mine.get("/api/contents/materials/01-nearest-neighbours.ipynb").status_code == 200  # the sample's
    assert theirs.write("materials/news.txt", mark).status_code in (200, 201)
    assert mine.read("materials/news.txt") == mark
    refused = mine.write("materials/news.txt", "by a student")
    assert refused.status_code in (403, 500), refused.text
    for code in (
        "open('materials/news.txt', 'w')",
        "open('materials/new.txt', 'w')",
        "__import__('os').remove('materials/news.txt')",
        "__import__('os').chmod('materials', 0o777)",
    ):
        with pytest.raises(CellError, match="Read-only file system"):
            mine.run(code)
    assert mine.read("materials/news.txt") == mark
    # The course's own volume is in the lecturer's pod, and no path of a student's leads there.
    of_lecturer = cluster_lab.server_pod(lecturer.hub_name)
    of_student = cluster_lab.server_pod(student.hub_name)
    assert volumes(of_lecturer) == {f"home-{lecturer.hub_name}--ml-101", "materials--ml-101", "course--ml-101"}
    assert volumes(of_student) == {f"home-{student.hub_name}--ml-101", "materials--ml-101"}
    assert "course--" not in str(of_student["spec"])
    mounts = "print(open('/proc/self/mountinfo').read())"
    assert "course--ml-101" in theirs.run(mounts)  # so it would be seen
    assert "course--" not in mine.run(mounts)
    theirs.run("open('course/secret.txt', 'w').write('solutions')")
    with pytest.raises(CellError, match="No such file"):
        mine.run("open('course/secret.txt')")


def test_nothing_of_the_cluster_is_in_a_server(cluster_lab: ClusterLab, person: LogIn) -> None:
    student = person("uni", "student3")
    server = cluster_lab.open(student, "ml-101", "cpu-small")
    pod = cluster_lab.server_pod(student.hub_name)["spec"]
    assert pod["automountServiceAccountToken"] is False
    with pytest.raises(CellError, match="No such file"):
        server.run("open('/var/run/secrets/kubernetes.io/serviceaccount/token')")
    assert server.run("import os; print(os.getuid(), os.environ['NVIDIA_VISIBLE_DEVICES'])") == "1000 void\n"
    # Where nothing is to be kept, nothing can be written: what ends with the pod would be lost without a word.
    with pytest.raises(CellError, match="Read-only file system"):
        server.run("open('/usr/local/lib/mine', 'w')")
    assert server.run("open('/tmp/x', 'w').write('x'); s = os.statvfs('/dev/shm') if (os := __import__('os')) else 0; print(s.f_blocks * s.f_frsize >= 2**30)") == "True\n"  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        yield from launch(playwright)


WORDS = {
    "en-GB": ("Demo University", "Machine Learning from the Ground Up", "Start", "My spaces", "Stop"),
    "de-DE": ("Demo-Universität", "Maschinelles Lernen von Grund auf", "Starten", "Meine Bereiche", "Beenden"),
}


@pytest.mark.browser
@pytest.mark.parametrize("language", WORDS)
def test_the_first_day_in_a_browser(cluster_lab: ClusterLab, browser: Browser, language: str, person: LogIn) -> None:
    institution, title, start, my_spaces, stop = WORDS[language]
    person("uni", "student4")  # whose server is stopped afterwards, come what may
    context = browser.new_context(locale=language)
    context.set_default_timeout(60_000)
    page = context.new_page()
    log_in(page, cluster_lab.url, institution, "student4")
    expect(page).to_have_url(re.compile(r"/hub/home$"))
    assert violations(page) == []
    card = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=title))
    card.get_by_role("button", name=re.compile(start)).click()
    page.wait_for_url(
        re.compile(r"^http://[a-z0-9]+\.lab\.localhost:\d+/user/[^/]+/ml-101/lab")
    )  # an origin of its own
    expect(page.get_by_text(title).first).to_be_visible()
    if language == "en-GB":
        page.goto(page.url.split("/lab")[0] + "/lab/tree/materials/01-nearest-neighbours.ipynb")
        expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible()  # a cell that runs before is forgotten
        page.locator(".jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Shift+Enter")
        ran = page.locator(".jp-CodeCell").first
        expect(ran.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[1\]:?"))
        expect(ran.locator(ERROR)).to_have_count(0)
    page.get_by_role("link", name=my_spaces).click()
    page.wait_for_url(f"{cluster_lab.url}/hub/home")
    card.get_by_role("button", name=re.compile(stop)).click()
    expect(card.get_by_role("button", name=re.compile(start)).first).to_be_visible()
    context.close()
