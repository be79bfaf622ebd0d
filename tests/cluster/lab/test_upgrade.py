"""An upgrade while people work: a new version with one more migration and a changed configuration."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest

from images import build, plan
from tests.cluster.lab import next_version
from tests.cluster.lab.conftest import LogIn
from tests.cluster.lab.lab import ClusterLab
from tests.cluster.lab.watch import Watch
from tests.cluster.lab.words import word_of
from tests.support.people import Person
from tests.support.waiting import wait_until
from tools.onenode import api

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

TITLE = "KIRZL Lab of the next version"


@pytest.fixture
def back_again(cluster_lab: ClusterLab) -> Iterator[None]:
    """Afterwards this version again. Nobody goes back like this: a site restores its backup."""
    yield
    cluster_lab.sql(
        f"DROP TABLE IF EXISTS {next_version.TABLE}; UPDATE alembic_version SET version_num = '{next_version.newest_step()}'"
    )
    cluster_lab.install()


def press_at_the_last_moment(lab: ClusterLab, person: Person, hub: str) -> str:
    """Press Start when the hub is told to end, and wait for a word about it."""
    wait_until(lambda: is_ending(lab, hub), "the hub to be replaced", 120)
    with suppress(httpx.HTTPError):  # a browser shows that, and the person presses again
        answer = person.start("ml-101", "cpu-small")
        if answer.status_code != 200:
            return f"refused with {answer.status_code}"
        return wait_until(lambda: word_of(person, "ml-101"), "a word about the start", 90)
    return "no answer"


def is_ending(lab: ClusterLab, pod: str) -> bool:
    """Whether the pod with this uid has its notice, or is gone."""
    found = api.get(f"--namespace={lab.space.name}", "pods")["items"]
    return not any(one["metadata"]["uid"] == pod and "deletionTimestamp" not in one["metadata"] for one in found)


def test_servers_and_cookies_outlive_an_upgrade(cluster_lab: ClusterLab, person: LogIn, back_again: None) -> None:
    student, operator, waiting = person("uni", "student1"), person("uni", "operator"), person("uni", "student2")
    server = cluster_lab.open(student, "ml-101", "cpu-small")
    assert operator.visit("/services/lab/people").status_code == 200
    pod = cluster_lab.server_pod(student.hub_name)["metadata"]
    before = {part: cluster_lab.part(part)["metadata"]["uid"] for part in ("hub", "proxy", "service", "postgres")}
    image = next_version.load(build.described(plan.BY_NAME["hub"], plan.Choices()))
    with Watch(server) as watch, ThreadPoolExecutor(1) as pool:
        pressed = pool.submit(press_at_the_last_moment, cluster_lab, waiting, before["hub"])
        cluster_lab.install(
            values={"images": {"references": {"hub": image}}, "lab": {"title": {"de": TITLE, "en": TITLE}}}
        )
        assert TITLE in student.visit("/hub/home").text
        wait_until(lambda: TITLE in operator.visit("/services/lab/people").text, "the service", 60)
        said = pressed.result()
    print(f"upgrade: {watch}; the start at its last moment: {said}")
    assert watch.failed == 0
    # The new version runs, on migrated tables; servers, proxy and database are the ones that were.
    assert cluster_lab.sql("SELECT version_num FROM alembic_version") == next_version.STEP
    assert cluster_lab.sql(f"SELECT count(*) FROM {next_version.TABLE}") == "0"
    after = {part: cluster_lab.part(part)["metadata"]["uid"] for part in before}
    assert {part for part in before if after[part] != before[part]} == {"hub", "service"}
    assert cluster_lab.server_pod(student.hub_name)["metadata"]["uid"] == pod["uid"]
    # Nobody was logged out, at the hub, at the lab service or at their own server.
    assert student.visit("/hub/home").url.path == "/hub/home"
    assert operator.visit("/services/lab/people").url.path == "/services/lab/people"
    assert server.run("print(6 * 7)") == "42\n"
    cluster_lab.open(waiting, "ml-101", "cpu-small")
