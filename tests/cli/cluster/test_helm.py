"""Helm's notes of what is under way, and the sentence where there is no Helm."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kirzl_lab.cli.cluster import install as installing
from kirzl_lab.cli.cluster.helm import CUT_OFF_AFTER, VARIABLE, Helm
from kirzl_lab.cli.cluster.install import Plan
from kirzl_lab.cli.cluster.progress import Progress
from kirzl_lab.cli.cluster.values import Site
from kirzl_lab.cli.exits import Exit, Stop


class FakeCluster:
    namespace, context, kubeconfig = "kirzl-lab", "here", None

    def __init__(self, *releases: tuple[str, timedelta]) -> None:
        now = datetime.now(UTC)
        self.releases = {
            f"v{number}": {
                "metadata": {
                    "name": f"v{number}",
                    "labels": {"status": status},
                    "creationTimestamp": (now - age).isoformat(timespec="seconds").replace("+00:00", "Z"),
                }
            }
            for number, (status, age) in enumerate(releases, 1)
        }

    def at(self, rest: str) -> str:
        return rest

    def items(self, path: str, selector: str) -> list[dict[str, Any]]:
        assert (path, selector) == ("secrets", "owner=helm,name=lab")
        return list(self.releases.values())

    def delete(self, path: str) -> None:
        del self.releases[path.removeprefix("secrets/")]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "helm").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "helm"))


def helm(*releases: tuple[str, timedelta]) -> tuple[Helm, Any]:
    cluster: Any = FakeCluster(*releases)
    return Helm(cluster), cluster


def test_without_helm_one_is_told_where_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(Stop, match=VARIABLE) as stop:
        helm()
    assert stop.value.code == Exit.CANNOT
    monkeypatch.setenv(VARIABLE, "/nowhere/helm")
    with pytest.raises(Stop, match=VARIABLE):
        helm()


def test_an_install_that_is_under_way_is_not_disturbed(program: None) -> None:
    at_work, cluster = helm(("deployed", timedelta(days=1)), ("pending-upgrade", timedelta(minutes=1)))
    with pytest.raises(Stop, match="Another install is at work") as stop:
        at_work.clear_pending()
    assert stop.value.code == Exit.RUNS_ALREADY
    assert len(cluster.releases) == 2


def test_one_that_was_cut_off_is_forgotten(program: None) -> None:
    cut_off, cluster = helm(("deployed", timedelta(days=1)), ("pending-upgrade", CUT_OFF_AFTER + timedelta(minutes=1)))
    cut_off.clear_pending()
    assert list(cluster.releases) == ["v1"]


def test_whoever_only_looks_forgets_nothing(program: None) -> None:
    cut_off, cluster = helm(("deployed", timedelta(days=1)), ("pending-upgrade", CUT_OFF_AFTER + timedelta(minutes=1)))
    with pytest.raises(Stop, match="was cut off"):
        installing.install(cluster, cut_off, Plan("chart", Site(), {}, {}), Progress(quiet=True), dry_run=True)
    assert list(cluster.releases) == ["v1", "v2"]


def test_with_nothing_under_way_nothing_is_forgotten(program: None) -> None:
    idle, cluster = helm(("superseded", timedelta(days=2)), ("failed", timedelta(days=1)))
    assert idle.pending_since() is None
    idle.clear_pending()
    idle.refuse_pending()
    assert len(cluster.releases) == 2
