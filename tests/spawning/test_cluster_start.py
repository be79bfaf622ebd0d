"""The wait of a start: how often it looks whether its JupyterLab answers, where many wait at once."""

import asyncio

import pytest

from kirzl_lab.spawning import cluster_start
from kirzl_lab.spawning.cluster_api import ClusterApi
from kirzl_lab.spawning.cluster_start import PROGRESS, PodStart, look_s
from kirzl_lab.spawning.telling import Telling
from tests.spawning.fake_cluster import FakeCluster, runs

LOOK_COSTS_S = 0.0005


@pytest.mark.parametrize(("starting", "pause_s"), [(0, 0.05), (1, 0.05), (10, 0.05), (50, 0.25), (200, 0.5)])
def test_the_more_starts_the_longer_each_waits_between_two_looks(starting: int, pause_s: float) -> None:
    assert look_s(starting) == pause_s


@pytest.mark.parametrize("starting", [1, 10, 50, 100, 200])
def test_the_looks_of_all_starts_leave_the_hub_its_time(starting: int) -> None:
    assert starting / look_s(starting) * LOOK_COSTS_S <= 0.2


async def test_starts_at_once_look_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_start, "LOOK_EACH_S", 0.01)
    cluster, clock, looks = FakeCluster("lab"), asyncio.get_running_loop(), dict[str, list[float]]()

    async def start(name: str) -> str:
        pod = {"metadata": {"name": name}}
        runs(pod)
        cluster.put(pod)

        async def answers(_address: str) -> bool:
            looks.setdefault(name, []).append(clock.time())
            return len(looks[name]) == 3

        waiting = PodStart(name, cluster.watch, ClusterApi(cluster, "lab"), Telling(PROGRESS))
        return await waiting.address(answers)

    names = [f"server-{number}" for number in range(20)]
    assert len(await asyncio.gather(*(start(name) for name in names))) == 20
    second_to_third = [times[2] - times[1] for times in looks.values()]
    assert min(second_to_third) >= 0.19  # twenty times 0.01, less what a clock rounds
    assert not PodStart.looking


async def test_a_start_that_is_given_up_is_not_counted_any_more() -> None:
    cluster, looked = FakeCluster("lab"), asyncio.Event()
    pod = {"metadata": {"name": "server"}}
    runs(pod)
    cluster.put(pod)

    async def answers(_address: str) -> bool:
        looked.set()
        return False

    waiting = PodStart("server", cluster.watch, ClusterApi(cluster, "lab"), Telling(PROGRESS))
    start = asyncio.create_task(waiting.address(answers))
    await looked.wait()
    assert PodStart.looking == {waiting}
    start.cancel()
    await asyncio.wait([start])
    assert not PodStart.looking
