"""The watch of pods: wake-ups, what is remembered of pods that are gone, and endurance. Fed as KubeSpawner feeds it."""

import asyncio
from typing import Any

import pytest
from kubespawner import KubeSpawner
from kubespawner.spawner import PodReflector

from kirzl_lab.spawning import watch
from tests.spawning.fake_cluster import FakeWatch


def a_pod(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "lab"}, **more}


@pytest.fixture
async def pods() -> FakeWatch:
    return FakeWatch("lab")


async def test_a_change_wakes_those_who_wait_for_that_pod(pods: FakeWatch) -> None:
    mine, other = pods.change("a"), pods.change("b")
    pods.resources["lab/a"] = a_pod("a")
    assert (mine.is_set(), other.is_set()) == (True, False)
    again = pods.change("a")
    assert not again.is_set()
    pods.resources.pop("lab/a", None)
    assert again.is_set()
    assert pods.now("a") is None


async def test_a_list_wakes_everybody_and_replaces_all(pods: FakeWatch) -> None:
    pods.resources["lab/a"] = a_pod("a")
    waiting = pods.change("a")
    pods.resources = {"lab/b": a_pod("b")}
    assert waiting.is_set()
    assert pods.all() == [a_pod("b")]
    # What is listed is what the next events change.
    after = pods.change("b")
    pods.resources["lab/b"] = a_pod("b", status={})
    assert after.is_set()


async def test_the_last_of_a_pod_is_kept_for_who_asks_whether_an_event_or_a_list_told_its_end(pods: FakeWatch) -> None:
    pods.resources = {"lab/a": a_pod("a", status=1), "lab/b": a_pod("b", status=2), "lab/c": a_pod("c")}
    pods.resources.pop("lab/a", None)
    pods.resources = {"lab/c": a_pod("c")}
    assert pods.last_seen("a") == a_pod("a", status=1)
    assert pods.last_seen("b") == a_pod("b", status=2)
    assert [pods.last_seen(name) for name in "abc"] == [None, None, None]


async def test_not_everything_is_kept_for_ever(pods: FakeWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "REMEMBERED", 2)
    pods.resources = {f"lab/{name}": a_pod(name) for name in "abc"}
    pods.resources = {}
    assert len([name for name in "abc" if pods.last_seen(name)]) == 2


async def test_a_watch_that_gave_up_begins_again(pods: FakeWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Semaphore(0)

    async def gives_up(_self: Any) -> None:
        begun.release()
        await asyncio.sleep(0)

    monkeypatch.setattr(PodReflector, "_watch_and_update", gives_up)
    running = asyncio.create_task(pods._watch_and_update())
    for _time in range(3):
        await asyncio.wait_for(begun.acquire(), 1)
    running.cancel()


async def test_one_watch_serves_all_and_one_that_could_not_begin_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(KubeSpawner, "reflectors", {})
    monkeypatch.setattr(watch, "connect", lambda: None)
    monkeypatch.setattr(watch, "PodWatch", lambda namespace, labels: FakeWatch(namespace))
    starts: list[bool] = [False, True]

    async def start(_self: Any) -> None:
        await asyncio.sleep(0)
        if not starts.pop(0):
            raise OSError("no route")

    monkeypatch.setattr(FakeWatch, "start", start, raising=False)
    first, *others = await asyncio.gather(*(watch.pods_of("lab") for _ in range(4)), return_exceptions=True)
    assert isinstance(first, OSError)
    assert len({id(found) for found in others}) == 1
    assert isinstance(others[0], FakeWatch)
    assert starts == []
