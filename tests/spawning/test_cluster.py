"""Starts and ends of a server against an API server in memory: what is left, what is said, what is waited for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from jupyterhub import orm
from kubespawner import KubeSpawner

from kirzl_lab.problems import Phrase
from kirzl_lab.spawning import capacity, cluster, cluster_api, cluster_capacity, cluster_end, endings, troubles
from kirzl_lab.spawning.choice import Choice
from kirzl_lab.spawning.cluster_start import Step
from kirzl_lab.spawning.not_started import NotStartedError
from tests.spawning.fake_cluster import Change, FakeCluster, ends, refusal, runs, waits
from tests.spawning.shapes import SITE, SLICED, ShapeSpawner, shape, spawner_for

POD = "server-bcd234fgh--ml-101"


class FakeSpawner(ShapeSpawner):
    """Decides as it is told, and takes the answer of a server for granted unless it is told otherwise."""

    deciding: Choice
    ready: Callable[[str], bool] = staticmethod(lambda _url: True)

    async def decide(self) -> Choice:
        return self.deciding

    async def answers(self, url: str) -> bool:
        return self.ready(url)


@pytest.fixture
async def fake(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeCluster]:
    made = FakeCluster(SITE.namespace)
    made.on_create = runs
    monkeypatch.setitem(KubeSpawner.reflectors, ("pods", SITE.namespace), made.watch)
    monkeypatch.setattr(cluster_end, "LOOK_S", 0.05)
    monkeypatch.setattr(cluster_api, "PATIENCE_S", 0.2)
    monkeypatch.setattr(cluster_api, "AGAIN_S", 0.01)
    monkeypatch.setattr(troubles, "PATIENCE_S", dict.fromkeys(troubles.Reason, 0.05))
    cluster_capacity.capacity_of.cache_clear()
    yield made
    cluster_capacity.capacity_of.cache_clear()


@pytest.fixture
async def server(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeSpawner:
    return await a_server(fake, monkeypatch, shape())


async def a_server(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, choice: Choice) -> FakeSpawner:
    monkeypatch.setattr("tests.spawning.shapes.ShapeSpawner", FakeSpawner)
    spawner = spawner_for(choice)
    assert isinstance(spawner, FakeSpawner)
    fake.api_client = spawner.api.api_client
    spawner.api, spawner.deciding, spawner.choice = fake, choice, None
    spawner.start_timeout = 30
    return spawner


async def told(server: FakeSpawner) -> list[str]:
    return [message["message"] async for message in server.progress()]


async def test_a_start_makes_the_volumes_and_the_pod_and_tells_its_steps(
    server: FakeSpawner, fake: FakeCluster
) -> None:
    assert await server.start() == "http://10.244.0.7:8888"
    assert set(fake.claims) == {"home-bcd234fgh--ml-101", "materials--ml-101"}
    assert await told(server) == [Step.PLACE, Step.STARTING, Step.ANSWERS]
    assert await server.poll() is None
    assert server.get_state() == {"pod_name": POD}


async def test_every_change_of_the_pod_wakes_the_start(server: FakeSpawner, fake: FakeCluster) -> None:
    fake.on_create = lambda _pod: None
    start = asyncio.create_task(server.start())
    steps = [
        {"conditions": [{"type": "PodScheduled", "status": "True"}]},
        {
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "PodReadyToStartContainers", "status": "True"},
            ]
        },
    ]
    messages = server.progress()
    for status, step in zip([{}, *steps], (Step.PLACE, Step.VOLUME, Step.IMAGE), strict=True):
        if status:
            fake.change(POD, lambda pod, status=status: pod["status"].update(status))  # type: ignore[misc]
        assert (await anext(messages))["message"] == step
        await fake.made.wait()
    fake.change(POD, runs)
    assert [message["message"] async for message in messages] == [Step.STARTING, Step.ANSWERS]
    await start


async def test_volumes_that_are_there_stay(server: FakeSpawner, fake: FakeCluster) -> None:
    await server.start()
    before = dict(fake.claims)
    await server.stop()
    await server.delete_forever()
    await server.start()
    assert fake.claims == before
    assert all(fake.claims[name] is claim for name, claim in before.items())


async def test_a_server_answers_before_it_counts_as_started(server: FakeSpawner, fake: FakeCluster) -> None:
    asked: list[str] = []

    def third(url: str) -> bool:
        asked.append(url)
        return len(asked) == 3

    server.ready = third
    await server.start()
    assert asked == ["http://10.244.0.7:8888/api"] * 3


@pytest.mark.parametrize(
    ("change", "words", "status"),
    [
        (waits("ErrImageNeverPull"), endings.NO_IMAGE, 500),
        (waits("ImagePullBackOff"), endings.NO_IMAGE, 500),
        (waits("CreateContainerConfigError"), endings.NOT_SET_UP, 500),
        (ends(137, "OOMKilled"), endings.OUT_OF_MEMORY, 400),
        (ends(1), endings.NOT_STARTED, 500),
    ],
)
async def test_a_start_that_fails_says_why_and_leaves_nothing(
    server: FakeSpawner, fake: FakeCluster, change: Any, words: str, status: int
) -> None:
    fake.on_create = change
    with pytest.raises(NotStartedError) as failed:
        await server.start()
    assert (failed.value.message, failed.value.status_code) == (words, status)
    assert fake.watch.all() == []
    assert await server.poll() is not None
    assert await told(server)
    # My spaces tells it as well, until the next start.
    assert server.get_state() == {"last_end": words}
    fake.on_create = runs
    await server.start()
    assert server.get_state() == {"pod_name": POD}


async def test_what_mends_itself_in_time_is_no_failure(server: FakeSpawner, fake: FakeCluster) -> None:
    fake.on_create = waits("ErrImagePull")
    start = asyncio.create_task(server.start())
    await fake.made.wait()
    fake.change(POD, runs)
    await start


async def test_a_pod_that_is_deleted_during_its_start_is_told(server: FakeSpawner, fake: FakeCluster) -> None:
    server.ready = lambda _url: fake.remove(POD) or False  # type: ignore[func-returns-value]
    with pytest.raises(NotStartedError, match="removed from the cluster"):
        await server.start()


async def test_a_start_that_takes_too_long_tells_what_is_known(server: FakeSpawner, fake: FakeCluster) -> None:
    fake.on_create = lambda _pod: None
    fake.events = [{"type": "Warning", "reason": "FailedMount", "message": "timed out", "lastTimestamp": "x"}]
    server.start_timeout = 3
    with pytest.raises(NotStartedError) as failed:
        await server.start()
    assert failed.value.message == endings.NO_VOLUME
    assert fake.watch.all() == []


async def test_a_volume_that_nobody_makes_is_told_when_the_time_is_over(server: FakeSpawner, fake: FakeCluster) -> None:
    home = "home-bcd234fgh--ml-101"
    fake.on_create = lambda _pod: None
    fake.claim_statuses[home] = {"phase": "Pending"}
    said = "waiting for a volume to be created by the external provisioner"
    fake.events = [
        {"of": ("PersistentVolumeClaim", home), "type": "Normal", "reason": "ExternalProvisioning", "message": said}
    ]
    server.start_timeout = 3
    with pytest.raises(NotStartedError) as failed:
        await server.start()
    assert (failed.value.message, failed.value.reason) == (endings.NO_VOLUME, "volume")


async def test_a_cancelled_start_leaves_nothing(server: FakeSpawner, fake: FakeCluster) -> None:
    fake.on_create = lambda _pod: None
    start = asyncio.create_task(server.start())
    await fake.made.wait()
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    await server.stop()
    assert fake.watch.all() == []


async def test_a_cancelled_start_ends_at_once_and_stop_waits_for_its_pod(
    server: FakeSpawner, fake: FakeCluster
) -> None:
    fake.on_create, fake.on_delete = (lambda _pod: None), (lambda _name: False)  # a kubelet that takes its time
    start = asyncio.create_task(server.start())
    await fake.made.wait()
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(start, 0.1)
    assert await server.poll() is None
    stop = asyncio.create_task(server.stop())
    done, _pending = await asyncio.wait([stop], timeout=0.05)
    assert not done
    fake.remove(POD)
    await stop
    assert await server.poll() is not None


async def test_what_is_left_of_one_start_does_not_end_the_next(
    server: FakeSpawner, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.start()
    fake.on_delete = lambda _name: False
    stop = asyncio.create_task(server.stop())
    await asyncio.sleep(0)
    fake.remove(POD)  # and before the stop looks again, there is a new one
    await (again := await a_server(fake, monkeypatch, shape())).start()
    await stop
    assert await again.poll() is None
    assert {grace for _name, grace in fake.deleted} <= {10}


async def test_an_api_server_that_is_away_is_said(server: FakeSpawner, fake: FakeCluster) -> None:
    fake.broken = aiohttp.ClientConnectionError("refused")
    with pytest.raises(NotStartedError) as failed:
        await server.start()
    assert (failed.value.message, failed.value.status_code) == (endings.CLUSTER_AWAY, 503)


async def test_an_api_server_that_is_away_for_a_moment_is_not(server: FakeSpawner, fake: FakeCluster) -> None:
    fake.broken = refusal(503)
    start = asyncio.create_task(server.start())
    await asyncio.sleep(0.05)
    fake.broken = None
    await start


async def test_a_quota_is_told_unless_the_volume_is_there(server: FakeSpawner, fake: FakeCluster) -> None:
    async def full(*_args: Any) -> None:
        raise refusal(403, "exceeded quota: people")

    await server.start()
    await server.stop()
    fake.create_namespaced_persistent_volume_claim = full  # type: ignore[method-assign]
    await server.start()
    await server.stop()
    fake.claims.clear()
    with pytest.raises(NotStartedError) as failed:
        await server.start()
    assert (failed.value.message, failed.value.status_code) == (endings.QUOTA, 409)


async def test_a_pod_that_an_earlier_start_left_makes_way(server: FakeSpawner, fake: FakeCluster) -> None:
    await server.start()
    server.clear_state()  # a hub that lost its memory
    await server.start()
    assert [name for name, _grace in fake.deleted] == [POD]


def on_node(name: str) -> Change:
    return lambda pod: (runs(pod), pod["spec"].update(nodeName=name))


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_end, "SHORT_GRACE_S", 0)
    monkeypatch.setattr(cluster, "SHORT_GRACE_S", 0)


@pytest.mark.usefixtures("no_grace")
async def test_a_pod_of_a_lost_node_is_deleted_by_force(server: FakeSpawner, fake: FakeCluster) -> None:
    known(1)
    fake.on_create = on_node("lost")
    await server.start()
    fake.on_delete = lambda _name: len(fake.deleted) == 2
    await server.stop(now=True)
    assert fake.deleted == [(POD, 0), (POD, 0)]
    assert fake.watch.all() == []
    assert await server.poll() == 0


@pytest.mark.usefixtures("no_grace")
@pytest.mark.parametrize("nodes_known", [True, False])
async def test_a_pod_on_a_node_that_is_ready_is_left_to_end_and_the_next_start_does_not_begin_beside_it(
    server: FakeSpawner, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, nodes_known: bool
) -> None:
    found = known(1)
    if not nodes_known:
        found._nodes = None
    fake.on_create, fake.on_delete = on_node("a"), lambda _name: False
    await server.start()
    await server.stop(now=True)
    assert len(fake.deleted) == 1
    again = await a_server(fake, monkeypatch, shape())
    with pytest.raises(NotStartedError) as failed:
        await again.start()
    assert (failed.value.message, failed.value.status_code) == (endings.STILL_ENDING, 409)
    assert [pod["metadata"]["uid"] for pod in fake.watch.all()] == ["uid-1"]
    fake.on_delete = lambda _name: True
    await again.start()
    assert [pod["metadata"]["uid"] for pod in fake.watch.all()] == ["uid-2"]


async def test_a_stop_gives_the_server_time(server: FakeSpawner, fake: FakeCluster) -> None:
    await server.start()
    await server.stop()
    assert fake.deleted == [(POD, 10)]
    assert server.last_end is None


# -- ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        (ends(137, "OOMKilled"), 137, endings.OUT_OF_MEMORY),
        (ends(1), 1, endings.ENDED_ITSELF),
        (ends(0), 0, None),
        (
            ends(0, "Completed", "idle 2"),
            0,
            "Your server had nothing to do for 2 hours and was ended. Your files are kept.",
        ),
    ],
)
async def test_a_server_that_ended_says_why_and_its_pod_goes(
    server: FakeSpawner, fake: FakeCluster, change: Any, status: int, words: str | None
) -> None:
    await server.start()
    fake.change(POD, change)
    assert [await server.poll(), await server.poll()] == [status, status]
    assert (server.last_end.text() if server.last_end else None) == words
    assert fake.watch.all() == []
    server.clear_state()
    assert ("last_end" in server.get_state()) is (words is not None)
    await server.start()
    assert server.last_end is None


async def test_a_pod_that_is_gone_is_a_server_that_ended(server: FakeSpawner, fake: FakeCluster) -> None:
    await server.start()
    fake.remove(POD)
    assert await server.poll() == 1
    assert server.last_end == Phrase(endings.REMOVED)


async def test_a_pod_on_a_lost_node_does_not_run_for_ever(server: FakeSpawner, fake: FakeCluster) -> None:
    await server.start()
    fake.change(
        POD, lambda pod: pod["metadata"].update(deletionTimestamp="x") or pod["status"].update(reason="NodeLost")
    )
    assert await server.poll() == 1
    assert server.last_end == Phrase(endings.NODE_LOST)


async def test_a_watch_that_is_behind_ends_no_server(server: FakeSpawner, fake: FakeCluster) -> None:
    await server.start()
    pod = fake.watch.now(POD)
    assert pod is not None
    fake.remove(POD)

    async def there(*_args: Any) -> Any:
        return pod

    fake.read_namespaced_pod = there  # type: ignore[method-assign]
    assert await server.poll() is None


async def test_a_server_is_left_alone_while_the_api_server_is_away(server: FakeSpawner, fake: FakeCluster) -> None:
    await server.start()
    fake.remove(POD)
    fake.broken = aiohttp.ClientConnectionError("refused")
    assert await server.poll() is None
    fake.broken = None
    assert await server.poll() == 1


async def test_a_pod_that_is_being_drained_keeps_its_grace(server: FakeSpawner, fake: FakeCluster) -> None:
    await server.start()
    fake.change(POD, lambda pod: pod["metadata"].update(deletionTimestamp="x"))
    assert await server.poll() == 1
    assert fake.deleted == []
    assert [pod["metadata"]["name"] for pod in fake.watch.all()] == [POD]


async def test_a_server_to_which_no_way_could_be_opened_says_so(server: FakeSpawner, fake: FakeCluster) -> None:
    await server.start()
    server._proxy_pending = True  # as JupyterHub has it when it ends a server that its proxy does not know
    await server.stop()
    server._proxy_pending = False
    server.clear_state()
    assert server.get_state() == {"last_end": endings.NO_ROUTE}
    assert fake.watch.all() == []


# -- a hub that restarts ---------------------------------------------------------------------------------------------


async def restarted(
    server: FakeSpawner, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, **state: Any
) -> FakeSpawner:
    again = await a_server(fake, monkeypatch, shape())
    again.orm_spawner.server = orm.Server(proto="http", ip="10.244.0.7", port=8888, base_url="/", cookie_name="x")
    again.load_state(server.get_state() | state)
    return again


async def test_a_server_that_runs_is_found_again(
    server: FakeSpawner, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.start()
    again = await restarted(server, fake, monkeypatch)
    assert await again.poll() is None
    assert await again.get_url() == "http://10.244.0.7:8888/"
    fake.change(POD, ends(137, "OOMKilled"))
    assert await again.poll() == 137
    assert again.last_end == Phrase(endings.OUT_OF_MEMORY)


async def test_a_start_goes_on(server: FakeSpawner, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.on_create = lambda _pod: None
    start = asyncio.create_task(server.start())
    await fake.made.wait()
    again = await restarted(server, fake, monkeypatch)
    assert await again.poll() is None
    where = asyncio.create_task(again.get_url())
    await asyncio.sleep(0)
    fake.change(POD, runs)
    assert await where == "http://10.244.0.7:8888/"
    start.cancel()


async def test_a_start_that_fails_afterwards_is_told(
    server: FakeSpawner, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.on_create = lambda _pod: None
    start = asyncio.create_task(server.start())
    await fake.made.wait()
    again = await restarted(server, fake, monkeypatch)
    fake.change(POD, waits("ErrImageNeverPull"))
    assert await again.get_url() == again.server.url
    assert await again.poll() is not None
    assert again.last_end == Phrase(endings.NO_IMAGE)
    start.cancel()


async def test_a_start_that_had_no_pod_yet_is_told(
    server: FakeSpawner, fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = await restarted(server, fake, monkeypatch)
    assert await again.poll() is not None
    assert again.last_end == Phrase(endings.LOST_START)


# -- room ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("memory_gib", "words"), [(4, endings.NO_ROOM), (64, endings.TOO_LARGE)])
async def test_no_room_at_the_moment_is_not_no_room_ever(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, memory_gib: float, words: str
) -> None:
    known(1)
    said = "0/1 nodes are available: 1 Insufficient memory."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}
    fake.on_create = lambda pod: pod["status"].update(conditions=[condition])
    size = shape().size.model_copy(update={"memory_gib": memory_gib, "guaranteed_memory_gib": None})
    server = await a_server(fake, monkeypatch, shape(size=size))
    with pytest.raises(NotStartedError) as failed:
        await server.start()
    assert (failed.value.message, failed.value.reason, failed.value.status_code) == (words, "room", 409)


# -- GPUs ------------------------------------------------------------------------------------------------------------


def nodes(units: int) -> list[dict[str, Any]]:
    ready = {"type": "Ready", "status": "True"}
    has = {"cpu": "3920m", "memory": "16Gi", "nvidia.com/mig-1g.10gb": str(units)}
    status = {"allocatable": has, "conditions": [ready]}
    return [{"metadata": {"name": "a"}, "spec": {}, "status": status}]


def known(units: int) -> cluster_capacity.ClusterCapacity:
    found = cluster_capacity.capacity_of(SITE.namespace)
    found._nodes, found._asked_at = nodes(units), float("inf")
    return found


async def test_two_starts_cannot_take_the_same_unit(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    known(1)
    servers = [
        await a_server(fake, monkeypatch, shape(hub_name=name, cpu_sizes=("cpu-small",), **SLICED))
        for name in ("bcd234fgh", "xyz234fgh")
    ]
    answers = await asyncio.gather(*(server.start() for server in servers), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, cluster.NoUnitError)]
    assert len(refused) == 1
    assert refused[0].status_code == 409
    assert "(1 of 1): take cpu-small now" in refused[0].message
    assert refused[0].problem.slug == "size-full"
    assert len(fake.watch.all()) == 1


async def test_a_unit_is_free_again_after_a_start_that_failed(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = known(1)
    server = await a_server(fake, monkeypatch, shape(**SLICED))
    fake.on_create = ends(1)
    for _try in range(2):
        with pytest.raises(NotStartedError, match="JupyterLab ended"):
            await server.start()
    assert held._starting == {}


async def test_what_the_scheduler_finds_taken_is_full_and_not_failed(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(8)
    message = "0/1 nodes are available: 1 Insufficient nvidia.com/mig-1g.10gb."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    fake.on_create = lambda pod: pod["status"].update(conditions=[condition])
    server = await a_server(fake, monkeypatch, shape(**SLICED))
    with pytest.raises(cluster.NoUnitError, match=r"8 of 8"):
        await server.start()
    assert fake.watch.all() == []


async def test_a_cluster_that_does_not_answer_refuses_nobody(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_self: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr(cluster_capacity.ClusterCapacity, "_refresh", away)
    found = cluster_capacity.capacity_of(SITE.namespace)
    choice = shape(**SLICED)
    sizes, flavours = {"gpu-slice": choice.size}, {"slice": choice.flavour}
    assert choice.flavour is not None
    assert await found.now(sizes, {"slice": choice.flavour}) == capacity.Availability()
    assert flavours
    found._nodes = nodes(0)
    await found.hold(choice, POD)
    assert found._starting == {POD: choice.flavour}


async def test_availability_counts_pods_of_now_beside_starts(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = known(1)
    choice = shape(**SLICED)
    assert choice.flavour is not None
    sizes, flavours = {"gpu-slice": choice.size, "cpu-small": shape().size}, {"slice": choice.flavour}
    assert await found.now(sizes, flavours) == capacity.Availability()
    await (await a_server(fake, monkeypatch, choice)).start()
    assert (await found.now(sizes, flavours)).full == {"gpu-slice": 1}
    assert (await found.now(sizes, flavours, POD)).full == {}
