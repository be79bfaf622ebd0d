"""What a person's own server reaches, started by the hub, with each network reach that a course can have."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kirzl_lab.catalog.models import NetworkReach
from tests.cluster.lab.conftest import LogIn
from tests.cluster.lab.internet import INSIDE, PUBLIC, internet
from tests.cluster.lab.lab import ClusterLab
from tests.cluster.lab.test_network import HOW_TO, named
from tests.support.jupyter import JupyterServer
from tests.support.running_lab import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

DOMAIN = "kirzl-lab.svc.cluster.local"
MIRROR, OTHER = f"mirror.{DOMAIN}", f"other.{DOMAIN}"
"""Names that the cluster's DNS knows for two addresses outside. The site lists the first."""
OPENED = {
    NetworkReach.NONE: set(),
    NetworkReach.PACKAGE_MIRRORS: {"egress:3128"},
    NetworkReach.INTERNET: {f"{PUBLIC[0]}:443"},
}
INSIDE_PLACES = [f"{address}:80" for address in INSIDE.values()]
DIAL = """
import json, socket
def opens(place):
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 2).close()
    except OSError:
        return False
    return True
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(32) as pool:
    places = {places}
    print(json.dumps([place for place, opened in zip(places, pool.map(opens, places)) if opened]))
"""
# The names outside are the cluster's here, and names of the cluster are asked past the proxy.
ASK = """
import json, os, urllib.error, urllib.request
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost"
def ask(url):
    try:
        return urllib.request.urlopen(url, timeout=20).status
    except urllib.error.HTTPError as refusal:
        return refusal.code
    except OSError:
        return None
print(json.dumps([ask(url) for url in {urls}]))
"""
PIP = """
import os, subprocess, sys
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost"
done = subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "--dest=/tmp/got", "--retries=0", "tinylab",
    "--index-url=http://{host}/simple", "--trusted-host={host}"], capture_output=True, text=True)
print(done.returncode)
"""


@pytest.fixture(scope="module")
def outside(cluster_lab: ClusterLab) -> Iterator[None]:
    """An internet with a package mirror in it, and one host beside it."""
    things = [*named("mirror", PUBLIC[2]), *named("other", PUBLIC[1])]
    cluster_lab.space.apply(*things)
    with internet():
        yield
    for thing in things:
        cluster_lab.space.kubectl("delete", thing["kind"].lower(), thing["metadata"]["name"])


@pytest.fixture
def reaching(cluster_lab: ClusterLab, outside: None, tmp_path: Path) -> Iterator[Callable[[NetworkReach], None]]:
    """Gives `ml-101` a network reach, as its `course.yaml` would."""

    def give(reach: NetworkReach) -> None:
        courses = tmp_path / "courses"
        shutil.copytree(ROOT / "courses", courses)
        course = courses / "ml-101" / "course.yaml"
        text = re.sub(r"^network_reach:.*\n", "", course.read_text("utf-8"), flags=re.MULTILINE)
        course.write_text(f"{text.rstrip()}\nnetwork_reach: {reach}\n", "utf-8")
        forbidden = f"{INSIDE['what the site forbids']}/32"
        values = {"lab": {"package_mirrors": [MIRROR]}, "network": {"forbidden": [forbidden]}}
        cluster_lab.install(courses=courses, values=values)

    yield give
    cluster_lab.install()


@pytest.mark.parametrize("reach", NetworkReach)
def test_a_student_reaches_what_the_course_allows(
    cluster_lab: ClusterLab, person: LogIn, reaching: Callable[[NetworkReach], None], reach: NetworkReach
) -> None:
    reaching(reach)
    student, neighbour = person("uni", "student1"), person("uni", "student2")
    cluster_lab.open(neighbour, "ml-101", "cpu-small")
    server = cluster_lab.open(student, "ml-101", "cpu-small")
    # What operators are told to try, word by word but for the address of the internet.
    (script,) = re.findall(r"```python\n(.*?)```", HOW_TO.read_text("utf-8"), re.DOTALL)
    lines = dict(line.split(" ") for line in server.run(script.replace("1.1.1.1", PUBLIC[0])).splitlines())
    opened = {place for place, state in lines.items() if state == "open"}
    assert opened == {"hub:8081", "service:8080"} | OPENED[reach]
    # And every other place that nobody is to reach.
    other = cluster_lab.server_pod(neighbour.hub_name)["status"]["podIP"]
    closed = [*INSIDE_PLACES, f"{other}:8888", f"{cluster_lab.part('postgres')['status']['podIP']}:5432"]
    public = [f"{address}:80" for address in PUBLIC]
    reached = set(json.loads(server.run(DIAL.replace("{places}", repr([*closed, *public])))))
    assert reached == (set(public) if reach is NetworkReach.INTERNET else set())
    packages(server, reach)


def packages(server: JupyterServer, reach: NetworkReach) -> None:
    """With package mirrors the named one answers whatever asks by the server's own settings, and no other does."""
    expected = {
        NetworkReach.NONE: [None, None],
        NetworkReach.PACKAGE_MIRRORS: [200, 403],
        NetworkReach.INTERNET: [200, 200],
    }[reach]
    urls = [f"http://{MIRROR}/", f"http://{OTHER}/"]
    assert json.loads(server.run(ASK.replace("{urls}", repr(urls)))) == expected
    for host, status in zip((MIRROR, OTHER), expected, strict=True):
        assert (server.run(PIP.replace("{host}", host)) == "0\n") is (status == 200), host
