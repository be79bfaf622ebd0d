"""The lab's spawner in a real hub against the real cluster: starts, ends, and what is said of both."""

import json
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from images import build, plan
from kirzl_lab.cli.ports import free_port
from kirzl_lab.spawning import endings, pod
from tests.cluster.space import PROBE, Space
from tests.cluster.spawner_hub import SpawnerHub
from tests.support.waiting import wait_until
from tools.onenode import api, images

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

GPU = "nvidia.com/mig-1g.10gb"
UNITS = 8
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
GREEDY = "import threading\nthreading.Timer(3, lambda: [bytearray(1 << 26) for _ in iter(int, 1)]).start()\n"


@pytest.fixture(scope="module")
def hub(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpawnerHub]:
    notebook = build.described(plan.BY_NAME["notebook"], plan.Choices())
    if notebook.reference not in images.present():
        images.load(notebook.archive)
    name = f"test-spawner-{secrets.token_hex(4)}"
    metadata = {"name": name, "labels": RESTRICTED}
    api.kubectl("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
    known = {"notebook": notebook.reference, "absent": "localhost/absent:1", "shell": PROBE}
    made = SpawnerHub(tmp_path_factory.mktemp("hub"), Space(name), known, (free_port(), free_port()))
    try:
        made.wait_until_up()
        yield made
    finally:
        made.close()
        api.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def nothing_runs(hub: SpawnerHub) -> Iterator[None]:
    """Ends what a test leaves."""
    yield
    for name in hub.api.get(f"/users/{hub.user}").json()["servers"]:
        hub.stop(name)
    wait_until(lambda: not hub.pods(), "the end of all pods")


pytestmark.append(pytest.mark.usefixtures("nothing_runs"))


def ended(hub: SpawnerHub, name: str) -> str | None:
    """Waits for a server's end; what its person is told."""
    wait_until(lambda: hub.model(name).get("stopped"), f"the end of {name}", 60)
    said: str | None = (hub.model(name)["state"] or {}).get("last_end")
    return said


def sealed(hub: SpawnerHub, command: str) -> bool:
    """Whether a command fails in the server of ml-101."""
    try:
        hub.in_pod("sh", "-c", command)
    except api.KubectlError:
        return True
    return False


def end_server(hub: SpawnerHub, how: str = "kill -9 $(cat /proc/1/task/1/children)") -> None:
    """End JupyterLab from within; the first process of the container is its init."""
    hub.in_pod("sh", "-c", how)


def test_a_student_gets_a_restricted_pod_whose_home_lasts(hub: SpawnerHub) -> None:
    found = hub.start("ml")
    spec, container = found["spec"], found["spec"]["containers"][0]
    assert spec["securityContext"] == dict(pod.POD_SECURITY)
    assert container["securityContext"] == dict(pod.CONTAINER_SECURITY)
    assert not [volume for volume in spec["volumes"] if not {"persistentVolumeClaim", "emptyDir"} & set(volume)]
    assert hub.in_pod("id", "-u").strip() == "1000"
    assert hub.in_pod("sh", "-c", "echo mine > ~/work.txt; cat /home/jovyan/work.txt").strip() == "mine"
    for path in ("/etc/x", "/opt/notebook/x", "~/materials/x"):
        assert sealed(hub, f"touch {path}"), path
    assert sealed(hub, "test -e ~/course || test -e /run/secrets/kubernetes.io")
    titles = {hub.in_pod("printenv", f"KIRZL_LAB_SPACE_TITLE_{language}").strip() for language in ("DE", "EN")}
    assert titles == {"Maschinelles {Lernen} $(HOME)", "Machine {learning} $(HOME)"}
    shm = hub.in_pod("sh", "-c", "stat --file-system --format='%S %b' /dev/shm").split()
    assert int(shm[0]) * int(shm[1]) == 2**30
    hub.stop("ml")
    hub.start("ml")
    assert hub.in_pod("cat", "/home/jovyan/work.txt").strip() == "mine"


def test_staff_write_materials_that_a_student_reads(hub: SpawnerHub) -> None:
    hub.start("ml", role="instructor")
    hub.in_pod("sh", "-c", "echo new > ~/materials/new.txt; echo secret > ~/course/solution.txt")
    hub.stop("ml")
    hub.start("view", role="instructor", purpose="preview")
    server = f"server-{hub.user}--ml-101--preview"
    assert hub.space.kubectl("exec", server, "--", "cat", "/home/jovyan/materials/new.txt").strip() == "new"
    with pytest.raises(api.KubectlError):
        hub.space.kubectl("exec", server, "--", "sh", "-c", "cat ~/course/solution.txt || touch ~/materials/x")


def test_an_image_that_is_missing_is_told_and_leaves_nothing(hub: SpawnerHub) -> None:
    steps, status, words = hub.failed("ml", image="absent")
    assert words == endings.NO_IMAGE
    assert steps[-1] == "Bringing the software"
    assert status == 500
    assert not hub.pods()
    assert "ErrImageNeverPull" in hub.log.read_text()
    assert ended(hub, "ml") == endings.NO_IMAGE


def test_an_image_without_a_server_is_told(hub: SpawnerHub) -> None:
    _steps, _status, words = hub.failed("ml", image="shell")
    assert words in (endings.NOT_SET_UP, endings.NOT_STARTED)


def test_a_size_that_fits_on_no_node_is_told(hub: SpawnerHub) -> None:
    _steps, status, words = hub.failed("ml", guaranteed_cpus=200)
    assert (status, words) == (409, endings.TOO_LARGE)
    assert "Insufficient cpu" in hub.log.read_text()
    assert not hub.pods()


@pytest.mark.parametrize("binding", ["WaitForFirstConsumer", "Immediate"])
def test_a_home_whose_volume_nobody_makes_is_told(hub: SpawnerHub, binding: str) -> None:
    storage, home = f"absent-{secrets.token_hex(4)}", f"home-{hub.user}--unbound"
    api.kubectl(
        "create",
        "-f",
        "-",
        given=json.dumps(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": storage},
                "provisioner": "lab.example/absent",
                "volumeBindingMode": binding,
            }
        ),
    )
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": storage,
    }
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": home}, "spec": spec}
    try:
        hub.space.apply(claim)  # what is there stays as it is
        steps, status, words = hub.failed("unbound", space="unbound")
        assert (status, words) == (500, endings.NO_VOLUME)
        assert steps[-1] == "Finding a place for your server"
        assert not hub.pods()
    finally:
        hub.space.kubectl("delete", "pvc", home, "--ignore-not-found")
        api.kubectl("delete", "storageclass", storage)


def test_a_server_to_which_no_way_can_be_opened_says_so(hub: SpawnerHub) -> None:
    assert hub.request("no-way").status_code in (201, 202)
    assert ended(hub, "no-way") == endings.NO_ROUTE
    wait_until(lambda: not hub.pods(), "its pod to go")


def test_too_little_memory_is_told_at_the_start_and_afterwards(hub: SpawnerHub) -> None:
    assert hub.failed("ml", memory_gib=0.03)[2] == endings.OUT_OF_MEMORY
    hub.start("ml")
    hub.in_pod(
        "sh",
        "-c",
        f"mkdir -p ~/.jupyter; printf '{GREEDY.encode('unicode_escape').decode()}' > ~/.jupyter/jupyter_server_config.py",
    )
    hub.stop("ml")
    hub.start("ml")
    assert ended(hub, "ml") == endings.OUT_OF_MEMORY
    hub.start("ml", memory_gib=8)
    hub.in_pod("rm", "/home/jovyan/.jupyter/jupyter_server_config.py")


def evict(hub: SpawnerHub) -> None:
    """What `kubectl drain` does to every pod of a node."""
    name = f"server-{hub.user}--ml-101"
    path = f"/api/v1/namespaces/{hub.space.name}/pods/{name}/eviction"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    api.kubectl("create", "--raw", path, "-f", "-", given=json.dumps(eviction))


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (end_server, endings.ENDED_ITSELF),
        (
            lambda hub: end_server(hub, "printf 'idle 2' >/dev/termination-log; kill $(cat /proc/1/task/1/children)"),
            "idle",
        ),
        (lambda hub: hub.space.kubectl("delete", "pod", "--all", "--wait=false"), endings.REMOVED),
        (evict, endings.DRAINED),
    ],
    ids=["killed", "idle", "deleted", "drained"],
)
def test_a_server_that_ended_says_why(hub: SpawnerHub, end: Callable[[SpawnerHub], Any], words: str) -> None:
    hub.start("ml")
    end(hub)
    said = ended(hub, "ml")
    assert said == words or (words == "idle" and said and "nothing to do" in said)
    wait_until(lambda: not hub.pods(), "its pod to go")
    hub.start("ml")


def test_the_ninth_of_eight_gpus_is_refused_and_the_hub_stays_up(hub: SpawnerHub) -> None:
    for kind, labels in (("servers of the lab", {"component": "singleuser-server"}), ("others", {"x": "y"})):
        hub.space.apply(*(holder(number, labels) for number in range(UNITS)))
        hub.space.ready(*(f"holder-{number}" for number in range(UNITS)))
        tries = 20 if kind == "servers of the lab" else 2
        for _try in range(tries):
            _steps, status, words = hub.failed("ml", gpu=True)
            assert status == 409
            assert f"({UNITS} of {UNITS})" in words, kind
        assert len(hub.pods()) == UNITS
        hub.space.kubectl("delete", "pods", "--all")
    assert hub.process.poll() is None
    spec = hub.start("ml", gpu=True)["spec"]
    assert spec["containers"][0]["resources"]["limits"][GPU] == "1"


def holder(number: int, labels: dict[str, str]) -> dict[str, Any]:
    container = {
        "name": "probe",
        "image": PROBE,
        "imagePullPolicy": "Never",
        "args": ["serve", ":8080"],
        "resources": {"limits": {GPU: "1"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "securityContext": security, "terminationGracePeriodSeconds": 0}
    metadata = {"name": f"holder-{number}", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def test_a_start_that_is_cancelled_leaves_nothing(hub: SpawnerHub) -> None:
    hub.request("ml")
    wait_until(hub.pods, "the pod")
    hub.stop("ml")
    assert not hub.pods()


def test_somebody_who_asks_twice_gets_one_server(hub: SpawnerHub) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: hub.request("ml").status_code, range(2)))
    assert set(answers) <= {201, 202}
    hub.start("ml") if hub.model("ml").get("stopped") else wait_until(lambda: hub.model("ml").get("ready"), "ml")
    assert len(hub.pods()) == 1


def test_a_hub_that_is_killed_finds_servers_and_starts_again(hub: SpawnerHub) -> None:
    before = hub.start("ml")["metadata"]["uid"]
    hub.request("view", purpose="preview")
    wait_until(lambda: len(hub.pods()) == 2, "the second pod")
    hub.kill()
    for name in ("ml", "view"):
        wait_until(lambda name=name: hub.model(name).get("ready"), name, 60)  # type: ignore[misc]
    assert hub.pod()["metadata"]["uid"] == before
    end_server(hub)
    assert ended(hub, "ml") == endings.ENDED_ITSELF
