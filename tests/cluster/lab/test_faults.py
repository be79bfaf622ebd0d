"""Parts of the lab are killed while servers run and people wait: who works notices nothing, who waits is told."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing

import httpx
import pytest

from tests.cluster.lab.conftest import LogIn
from tests.cluster.lab.lab import PARTS, ClusterLab
from tests.cluster.lab.watch import Watch
from tests.cluster.lab.words import failure_of, note_on_my_spaces, word_of
from tests.support.jupyter import JupyterServer
from tests.support.people import Person
from tests.support.waiting import wait_until
from tools.onenode.certificates import NODE

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

BACK_LIMIT_S = 60.0
CLICK_GOAL_S = 10.0
AWAY_S = 60.0


@pytest.fixture(scope="module")
def at_work(cluster_lab: ClusterLab) -> Iterator[tuple[Person, JupyterServer]]:
    """A student whose server runs through all of this, with the cookies of one login."""
    student = Person(cluster_lab.url)
    student.login("uni", "student1")
    yield student, cluster_lab.open(student, "ml-101", "cpu-small")
    cluster_lab.close_all(student)
    student.close()


@pytest.fixture(scope="module")
def operator(cluster_lab: ClusterLab) -> Iterator[Person]:
    """Somebody with a session at the lab service, too."""
    somebody = Person(cluster_lab.url)
    somebody.login("uni", "operator")
    assert stays_logged_in(somebody, "/services/lab/people")
    yield somebody
    somebody.close()


def stays_logged_in(somebody: Person, path: str = "/hub/home") -> bool:
    """Whether the page answers; being sent to the login page would be an end of its own."""
    try:
        page = somebody.visit(path)
    except httpx.HTTPError:
        return False
    assert "/login" not in page.url.path, f"logged out: {page.url}"
    return page.status_code == 200


@pytest.mark.parametrize("way", ["kill_pod", "kill_processes"])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_killed(
    cluster_lab: ClusterLab,
    person: LogIn,
    at_work: tuple[Person, JupyterServer],
    operator: Person,
    part: str,
    way: str,
) -> None:
    student, server = at_work
    waiting = person("uni", "student2")
    pod = cluster_lab.server_pod(student.hub_name)["metadata"]["uid"]
    with Watch(server) as watch:
        assert waiting.start("ml-101", "cpu-small").status_code == 200
        killed: Callable[[str], float] = getattr(cluster_lab, way)
        moment = killed(part)
        wait_until(lambda: stays_logged_in(student), "My spaces", BACK_LIMIT_S)
        home_s = time.monotonic() - moment
        wait_until(lambda: stays_logged_in(operator, "/services/lab/people"), "the lab service", BACK_LIMIT_S)
        service_s = time.monotonic() - moment
        said = wait_until(lambda: word_of(waiting, "ml-101"), "a word about the start", BACK_LIMIT_S)
        word_s = time.monotonic() - moment
        wait_until(server.answers, "the running server", BACK_LIMIT_S)
        cluster_lab.ready(part)
    print(
        f"{part}, {way}: My spaces after {home_s:.1f} s, lab service after {service_s:.1f} s, the waiting start after"
        f" {word_s:.1f} s: {said}; at work: {watch}"
    )
    assert cluster_lab.server_pod(student.hub_name)["metadata"]["uid"] == pod
    assert server.run("print('still here')") == "still here\n"
    if part != "proxy":
        assert watch.failed == 0, watch
    # Who was told that their start was lost starts again, and it works.
    cluster_lab.open(waiting, "ml-101", "cpu-small")


def test_seconds_until_a_click_works_again_after_the_hub_was_killed(cluster_lab: ClusterLab, person: LogIn) -> None:
    student = person("uni", "student3")
    times = []
    for _ in range(3):
        moment = cluster_lab.kill_pod("hub")
        wait_until(lambda: starts(student), "Start to work", BACK_LIMIT_S)
        times.append(time.monotonic() - moment)
        cluster_lab.opened(student, "ml-101")
        cluster_lab.close(student, "ml-101")
    print("hub killed -> a click on Start is taken:", " ".join(f"{seconds:.1f}" for seconds in times), "s")
    assert sorted(times)[1] < CLICK_GOAL_S


def starts(somebody: Person) -> bool:
    """Whether a click on Start is taken."""
    try:
        answer = somebody.start("ml-101", "cpu-small")
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and ("/spawn-pending/" in answer.url.path or "/user/" in answer.url.path)


def test_the_lab_database_is_away_for_a_minute(
    cluster_lab: ClusterLab, person: LogIn, at_work: tuple[Person, JupyterServer], operator: Person
) -> None:
    student, server = at_work
    newcomer = person("uni", "student3")
    with Watch(server) as watch:
        cluster_lab.space.kubectl("scale", "statefulset/postgres", "--replicas=0")
        try:
            cluster_lab.space.kubectl("wait", "--for=delete", "pod/postgres-0", "--timeout=60s")
            gone = time.monotonic()
            longest = 0.0
            while time.monotonic() - gone < AWAY_S:
                for somebody, path in ((student, "/hub/home"), (operator, "/services/lab/people")):
                    asked = time.monotonic()
                    page = somebody.visit(path)
                    longest = max(longest, time.monotonic() - asked)
                    assert page.status_code == 503, f"{path}: {page.status_code} {page.text[-500:]}"
                    assert "The lab's memory does not answer at the moment" in page.text.replace("&#39;", "'")
                refused = newcomer.start("ml-101", "cpu-small")
                assert refused.status_code == 503, refused.text[-500:]
                assert server.run("print(6 * 7)") == "42\n"
        finally:
            cluster_lab.space.kubectl("scale", "statefulset/postgres", "--replicas=1")
        back = time.monotonic()
        wait_until(lambda: stays_logged_in(student), "My spaces", BACK_LIMIT_S)
        wait_until(lambda: stays_logged_in(operator, "/services/lab/people"), "People", BACK_LIMIT_S)
        print(
            f"lab database away: pages said so within {longest:.1f} s; back after {time.monotonic() - back:.1f} s; {watch}"
        )
    assert watch.failed == 0, watch
    cluster_lab.open(newcomer, "ml-101", "cpu-small")


@pytest.fixture
def uncordoned(cluster_lab: ClusterLab) -> Iterator[None]:
    yield
    cluster_lab.space.kubectl("uncordon", NODE)


def test_a_node_is_drained(cluster_lab: ClusterLab, person: LogIn, uncordoned: None) -> None:
    student = person("uni", "student4")
    server = cluster_lab.open(student, "ml-101", "cpu-small")
    server.run("open('kept.txt', 'w').write('kept')")
    drain(cluster_lab, "app.kubernetes.io/component=singleuser-server")
    said = wait_until(lambda: note_on_my_spaces(student), "My spaces to say why the server ended", 30)
    print(f"drained: {said}")
    assert "machine" in said.lower()
    # While the node takes nobody, a start says so and is not lost without a word.
    assert student.start("ml-101", "cpu-small").status_code == 200
    refused = wait_until(lambda: failure_of(student, "ml-101"), "the end of a start on a full cluster", BACK_LIMIT_S)
    print(f"cordoned: {refused}")
    assert "no room" in refused.lower() or "no machine" in refused.lower()
    # The lab's own pods: no disruption budget stands in the way.
    drain(cluster_lab, "app.kubernetes.io/name=kirzl-lab")
    cluster_lab.space.kubectl("uncordon", NODE)
    begun = time.monotonic()
    wait_until(lambda: stays_logged_in(student), "My spaces after the uncordon", 120)
    print(f"uncordoned: My spaces after {time.monotonic() - begun:.1f} s")
    again = cluster_lab.open(student, "ml-101", "cpu-small")
    assert again.read("kept.txt") == "kept"
    # The demo institutions went, too: whoever logs in next waits for them, here and not there.
    with closing(Person(cluster_lab.url)) as somebody:
        for institution in ("uni", "uas"):
            wait_until(lambda name=institution: form_comes(somebody, name), f"the form of {institution}", BACK_LIMIT_S)


def form_comes(somebody: Person, institution: str) -> bool:
    """Whether the institution's own login page is there."""
    try:
        return somebody.visit(f"/hub/login/{institution}").status_code == 200
    except httpx.HTTPError:
        return False


def drain(lab: ClusterLab, selector: str) -> None:
    """kubectl's drain, which asks for evictions: disruption budgets are respected, and would be waited for."""
    options = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=60s")
    lab.space.kubectl("drain", NODE, f"--pod-selector={selector}", *options)
