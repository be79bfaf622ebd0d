"""An upgrade while people work: a new version with one more migration and a changed configuration."""

from collections.abc import Iterator

import pytest

from images import build, plan
from tests.cluster.lab import next_version
from tests.cluster.lab.conftest import LogIn
from tests.cluster.lab.lab import ClusterLab
from tests.cluster.lab.watch import Watch
from tests.support.waiting import wait_until

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


def test_servers_and_cookies_outlive_an_upgrade(cluster_lab: ClusterLab, person: LogIn, back_again: None) -> None:
    student, operator, waiting = person("uni", "student1"), person("uni", "operator"), person("uni", "student2")
    server = cluster_lab.open(student, "ml-101", "cpu-small")
    assert operator.http.get(f"{cluster_lab.url}/services/lab/people").status_code == 200
    pod = cluster_lab.server_pod(student.hub_name)["metadata"]
    before = {part: cluster_lab.part(part)["metadata"]["uid"] for part in ("hub", "proxy", "service", "postgres")}
    assert waiting.start("ml-101", "cpu-small").status_code == 200  # and is at it while the upgrade begins
    image = next_version.load(build.described(plan.BY_NAME["hub"], plan.Choices()))
    with Watch(server) as watch:
        cluster_lab.install(
            values={"images": {"references": {"hub": image}}, "lab": {"title": {"de": TITLE, "en": TITLE}}}
        )
        assert TITLE in student.http.get(f"{cluster_lab.url}/hub/home").text
        wait_until(lambda: TITLE in operator.http.get(f"{cluster_lab.url}/services/lab/people").text, "the service", 60)
    print(f"upgrade: {watch}")
    assert watch.failed == 0
    # The new version runs, on migrated tables; servers, proxy and database are the ones that were.
    assert cluster_lab.sql("SELECT version_num FROM alembic_version") == next_version.STEP
    assert cluster_lab.sql(f"SELECT count(*) FROM {next_version.TABLE}") == "0"
    after = {part: cluster_lab.part(part)["metadata"]["uid"] for part in before}
    assert {part for part in before if after[part] != before[part]} == {"hub", "service"}
    assert cluster_lab.server_pod(student.hub_name)["metadata"]["uid"] == pod["uid"]
    # Nobody was logged out, at the hub, at the lab service or at their own server.
    assert student.http.get(f"{cluster_lab.url}/hub/home").url.path == "/hub/home"
    assert operator.http.get(f"{cluster_lab.url}/services/lab/people").url.path == "/services/lab/people"
    assert server.run("print(6 * 7)") == "42\n"
    cluster_lab.open(waiting, "ml-101", "cpu-small")
