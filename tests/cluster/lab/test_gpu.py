"""Slices of a GPU: one for each server that has one, and plain words when there is none left."""

from collections.abc import Callable, Iterator

import pytest

from tests.cluster.lab.conftest import LogIn
from tests.cluster.lab.lab import ClusterLab, restarts
from tests.support.people import Person
from tests.support.waiting import wait_until
from tools.onenode import api

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SLICE = "nvidia.com/mig-1g.10gb"
ALL = 8


def test_a_student_holds_one_slice(cluster_lab: ClusterLab, person: LogIn) -> None:
    student = person("uas", "student1")
    server = cluster_lab.open(student, "dl-201", "gpu-slice")
    pod = cluster_lab.server_pod(student.hub_name)
    resources = pod["spec"]["containers"][0]["resources"]
    assert (resources["limits"][SLICE], resources["requests"][SLICE]) == ("1", "1")
    assert pod["metadata"]["labels"]["kirzl-lab/size"] == "gpu-slice"
    assert server.run("import os; print(os.environ.get('NVIDIA_VISIBLE_DEVICES'))") == "None\n"  # the device plugin's


Take = Callable[..., None]


@pytest.fixture
def take_all(cluster_lab: ClusterLab) -> Iterator[Take]:
    """`take_all(labels)`: pods that hold every slice that is free."""
    names: list[str] = []

    def take(**labels: str) -> None:
        free = ALL - sum(_slices(pod) for pod in api.get("pods", "--all-namespaces")["items"])
        names.extend(f"holds-a-slice-{number}" for number in range(free))
        for name in names:
            cluster_lab.space.pod(name, "serve", ":8080", resources={"limits": {SLICE: "1"}})
            if labels:
                cluster_lab.space.kubectl("label", "pod", name, *(f"{key}={value}" for key, value in labels.items()))
        assert names, "no slice was free to begin with"
        cluster_lab.space.ready(*names)

    yield take
    if names:
        cluster_lab.space.kubectl("delete", "pods", "--grace-period=0", "--force", "--ignore-not-found", *names)
        cluster_lab.space.kubectl("wait", "--for=delete", "--timeout=30s", *(f"pod/{name}" for name in names))


def test_the_ninth_reads_that_all_are_taken_and_takes_a_cpu(
    cluster_lab: ClusterLab, person: LogIn, take_all: Take
) -> None:
    student = person("uas", "student2")
    take_all(component="singleuser-server")  # as the pods of eight other people's servers
    hub = cluster_lab.part("hub")
    before = errors(cluster_lab)
    answer = student.start("dl-201", "gpu-slice")
    assert answer.status_code == 409
    assert f"{ALL} of {ALL}" in answer.text
    assert "cpu-medium" in answer.text or "Medium (CPU only)" in answer.text
    # People press again.
    for _ in range(20):
        assert student.start("dl-201", "gpu-slice").status_code == 409
    refused = student.api(
        "POST",
        f"/users/{student.hub_name}/servers/dl-201",
        json={"user_options": {"space": "dl-201", "purpose": "work", "size": "gpu-slice"}},
    )
    assert refused.status_code == 409
    assert cluster_lab.server_pods(student.hub_name) == []
    # What is offered works, and the hub is the one it was.
    cluster_lab.open(student, "dl-201", "cpu-medium")
    same = cluster_lab.part("hub")
    assert (same["metadata"]["uid"], restarts(same)) == (hub["metadata"]["uid"], restarts(hub))
    assert errors(cluster_lab) == before


def test_slices_that_others_than_the_lab_hold_are_told_as_taken_too(
    cluster_lab: ClusterLab, person: LogIn, take_all: Take
) -> None:
    student = person("uas", "student2")
    take_all()  # by pods that the lab knows nothing of: only the scheduler can tell
    before = errors(cluster_lab)
    page = student.start("dl-201", "gpu-slice")
    assert page.status_code == 200, page.text[-500:]
    progress = f"/users/{student.hub_name}/servers/dl-201/progress"
    told = wait_until(
        lambda: next((line for line in events(student, progress) if "failed" in line), None), "its end", 30
    )
    print(told)
    assert f"{ALL} of {ALL}" in told
    assert cluster_lab.server_pods(student.hub_name) == []
    assert errors(cluster_lab) == before


def events(student: Person, path: str) -> list[str]:
    """The messages of a start's progress, as the page reads them."""
    lines = student.api("GET", path).text.splitlines()
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


def errors(lab: ClusterLab) -> float:
    """How often JupyterHub raised its failure counter since the hub began: five in a row would end it."""
    lines = [line for line in lab.metrics("hub").splitlines() if "server_spawn_duration_seconds_count" in line]
    assert lines, "the hub counts no starts"
    return sum(float(line.rpartition(" ")[2]) for line in lines if 'status="error"' in line)


def _slices(pod: object) -> int:
    assert isinstance(pod, dict)
    if pod["status"]["phase"] not in {"Pending", "Running"}:
        return 0
    return sum(int(c["resources"].get("limits", {}).get(SLICE, 0)) for c in pod["spec"]["containers"])
