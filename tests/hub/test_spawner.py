"""What the hub's spawners add to those of laptop and cluster: the lab's decision, and the audit."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from kirzl_lab.hub import spawner as module
from kirzl_lab.hub.cluster_spawner import ClusterHubSpawner
from kirzl_lab.hub.pages import Refused
from kirzl_lab.hub.spawner import THE_LAB_SERVICE, LabServer, LaptopHubSpawner
from kirzl_lab.problems import LabDatabaseAway, SizeFull
from kirzl_lab.spawning.choice import Choice
from kirzl_lab.spawning.cluster import ClusterSpawner
from kirzl_lab.spawning.laptop import LaptopSpawner
from tests.spawning.samples import CHOICE


class FakeLab:
    def __init__(self) -> None:
        self.audit: list[tuple[str, ...]] = []
        self.problem: Exception | None = None

    async def decide(self, *_args: Any, **kwargs: Any) -> Choice:
        self.asked = kwargs
        if self.problem:
            raise self.problem
        return CHOICE

    async def started(self, choice: Choice) -> None:
        if self.problem:
            raise self.problem
        self.audit.append(("started", choice.space))

    async def stopped(self, hub_name: str, server_name: str, space: str, *, by: str) -> None:
        if self.problem:
            raise self.problem
        self.audit.append(("stopped", hub_name, server_name, space, by))


class Place:
    """Stands for the spawner of a laptop or a cluster."""

    choice: Choice | None = None
    last_end = None

    def __init__(self) -> None:
        self.user, self.name, self.user_options = SimpleNamespace(name="bcd234"), "mine", {}
        self.log, self._log_name = SimpleNamespace(warning=lambda *_: None), "bcd234:mine"

    async def start(self: Any) -> str:
        self.choice = await self.decide()
        return "http://10.244.0.7:8888"

    def get_state(self) -> dict[str, Any]:
        return {"pod_name": "x"}

    def load_state(self, state: Mapping[str, Any]) -> None:
        pass

    def run_post_stop_hook(self) -> None:
        pass


class Server(LabServer, Place):
    pass


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> FakeLab:
    made = FakeLab()
    monkeypatch.setattr(module, "the_lab", lambda: made)
    return made


def test_laptop_and_cluster_have_the_same_rules() -> None:
    assert ClusterHubSpawner.__mro__[1:3] == (LabServer, ClusterSpawner)
    assert LaptopHubSpawner.__mro__[1:3] == (LabServer, LaptopSpawner)


async def test_start_and_end_are_in_the_audit_once(lab: FakeLab) -> None:
    server = Server()
    assert await server.start() == "http://10.244.0.7:8888"
    assert lab.asked == {"bind": True, "starts": True}
    server.ended_by = "bcd234"
    await server.run_post_stop_hook()
    await server.run_post_stop_hook()
    assert lab.audit == [("started", "ml-101"), ("stopped", "bcd234", "mine", "ml-101", "bcd234")]


async def test_an_end_after_a_restart_of_the_hub_is_in_the_audit(lab: FakeLab) -> None:
    before, after = Server(), Server()
    await before.start()
    state = before.get_state()
    assert state == {"pod_name": "x", "kind": "course", "audited_space": "ml-101"}
    after.load_state(state)
    assert after.kind == "course"
    await after.run_post_stop_hook()
    assert lab.audit[-1] == ("stopped", "bcd234", "mine", "ml-101", "hub")
    assert "audited_space" not in after.get_state()


async def test_an_end_that_the_lab_service_asked_for_is_its_own_to_write_down(lab: FakeLab) -> None:
    server = Server()
    await server.start()
    server.ended_by = THE_LAB_SERVICE
    await server.run_post_stop_hook()
    assert lab.audit == [("started", "ml-101")]


async def test_a_start_that_failed_has_no_end(lab: FakeLab) -> None:
    server = Server()
    lab.problem = SizeFull(size="gpu", units=8, instead="try again later", cpu_sizes=())
    with pytest.raises(Refused) as refused:
        await server.start()
    assert refused.value.status_code == 409
    assert refused.value.problem is lab.problem
    await server.run_post_stop_hook()
    assert lab.audit == []


async def test_a_lab_database_that_is_away_stops_nothing(lab: FakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def decided(*_args: Any, **_kwargs: Any) -> Choice:
        return CHOICE

    monkeypatch.setattr(lab, "decide", decided)
    lab.problem = LabDatabaseAway()
    server = Server()
    assert await server.start()
    await server.run_post_stop_hook()
