"""The demo lab on the cluster, installed once as `make cluster` installs it, and people in it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.cluster.lab.lab import ClusterLab, installed
from tests.support.people import Person

LogIn = Callable[[str, str], Person]


@pytest.fixture(scope="session")
def cluster_lab(cluster: str) -> ClusterLab:
    """The lab. With --keep-cluster, one that is there already is only brought up to date."""
    return installed()


@pytest.fixture
def person(cluster_lab: ClusterLab) -> Iterator[LogIn]:
    """Somebody who has logged in: `person("uni", "student1")`. Nothing of their servers is left afterwards."""
    with ExitStack() as stack:

        def login(institution: str, account: str) -> Person:
            somebody = Person(cluster_lab.url)
            stack.callback(somebody.close)
            somebody.login(institution, account)
            assert somebody.hub_name, f"{account} of {institution} is not logged in"
            stack.callback(cluster_lab.close_all, somebody)
            return somebody

        yield login
