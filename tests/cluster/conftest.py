"""One cluster for all tests here: it is made from nothing, since what `down` leaves is counted against before."""

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import traces
from tests.cluster.space import Space, onenode
from tools.onenode import api, host, images, paths


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts what kills the cluster and ends it behind everything else, or leaves it out with --keep-cluster."""
    ends_it = [item for item in items if item.path == Path(__file__).with_name("test_lifecycle.py")]
    items[:] = [item for item in items if item not in ends_it]
    if config.getoption("--keep-cluster"):
        config.hook.pytest_deselected(items=ends_it)
    else:
        items += ends_it


@pytest.fixture(scope="session")
def before(request: pytest.FixtureRequest) -> traces.Traces:
    """What there was on the machine before the cluster."""
    if not request.config.getoption("--keep-cluster"):
        onenode("down")
    host.prepare()  # `up` would install what the look needs, nft and ipset, too late; packages stay and are no trace
    return traces.now()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, before: traces.Traces) -> Iterator[str]:
    """A cluster with the probe's image in it; what `up` printed."""
    said = onenode("up")
    images.load_programs((images.PROBE,))
    yield said
    if not request.config.getoption("--keep-cluster"):
        onenode("down")


@pytest.fixture
def make_space(cluster: str) -> Iterator[Callable[..., Space]]:
    """Makes namespaces that go at the end of the test."""
    made: list[str] = []

    def make(**labels: str) -> Space:
        name = f"test-{secrets.token_hex(4)}"
        metadata = {"name": name, "labels": labels}
        api.kubectl(
            "create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        )
        made.append(name)
        return Space(name)

    yield make
    for name in made if paths.KUBECONFIG.exists() else []:  # else the test ended the cluster, and them with it
        api.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture
def space(make_space: Callable[..., Space]) -> Space:
    return make_space()
