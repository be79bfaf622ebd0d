"""`up` from any state, `down` without a trace. The last tests here: they kill parts of the cluster, then all of it."""

import contextlib
import os
import signal
import time

import pytest

from tests.cluster import traces
from tests.cluster.space import Space, eventually, onenode
from tools.onenode import api, cgroups
from tools.onenode import cluster as onenode_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def _pids() -> dict[str, int | None]:
    found = {}
    for component in onenode_cluster.processes():
        process = component.process()
        found[component.name] = None if process is None else process.pid
    return found


def _assert_nothing_new(before: traces.Traces) -> None:
    """Waits a moment only for the machine's init, which collects ended processes when it gets to it."""
    with contextlib.suppress(AssertionError):
        eventually(lambda: traces.now().new_since(before) == {}, "nothing to be left", within=30)
    assert traces.now().new_since(before) == {}


def test_up_again_changes_nothing(cluster: str) -> None:
    before = _pids()
    assert all(before.values())
    onenode("up")
    assert _pids() == before


def test_what_was_killed_is_started_again_by_up_and_pods_live_on(space: Space) -> None:
    space.pod("living", "serve", ":8080")
    space.ready("living")
    started = space.get("pod", "living")["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    for names in (
        ["kube-apiserver", "kube-router"],
        ["kubelet", "containerd", "kube-proxy"],
        ["etcd"],
        ["forward-api"],
    ):
        before = _pids()
        for name in names:
            os.kill(before[name] or 0, signal.SIGKILL)
        eventually(lambda names=names: not any(_pids()[name] for name in names), "them to be gone")  # type: ignore[misc]
        onenode("up")
        after = _pids()
        assert all(after.values())
        assert {name for name in after if after[name] != before[name]} == set(names)
    container = space.get("pod", "living")["status"]["containerStatuses"][0]
    assert container["restartCount"] == 0
    assert container["state"]["running"]["startedAt"] == started


def test_after_everything_was_killed_up_brings_it_all_back(space: Space) -> None:
    space.kubectl("create", "configmap", "remembered")
    for pid in cgroups.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    onenode("up")
    assert api.get(f"--namespace={space.name}", "configmap", "remembered")
    space.pod("new", "serve", ":8080")
    space.ready("new")


def test_a_warm_pod_is_ready_soon(space: Space) -> None:
    space.pod("warm", "sleep")
    space.ready("warm")
    begin = time.monotonic()
    space.pod("timed", "sleep")
    space.ready("timed")
    print(f"pod start to ready: {time.monotonic() - begin:.2f} s")
    assert time.monotonic() - begin < 30


def test_down_leaves_nothing_also_when_everything_was_killed_before(before: traces.Traces, space: Space) -> None:
    space.pod("running", "sleep")
    space.ready("running")
    assert traces.now().new_since(before).keys() >= {"processes", "mounts", "namespaces", "cgroups", "folders"}
    for pid in cgroups.processes():
        with contextlib.suppress(ProcessLookupError):  # some go with those that were killed before them
            os.kill(pid, signal.SIGKILL)
    onenode("down")
    _assert_nothing_new(before)
    onenode("down")


def test_down_leaves_nothing_of_a_living_cluster(before: traces.Traces) -> None:
    onenode("up")
    assert traces.now().new_since(before)
    onenode("down")
    _assert_nothing_new(before)
