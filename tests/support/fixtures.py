"""One demo lab for the whole test run, and people in it.

What a person did is there for the tests that follow: the name of a server, once bound, stays. Tests start a space under
the name that the page would choose (the space's), or take an account that no other test starts anything with.
"""

from collections.abc import Callable, Iterator

import pytest

from kirzl_lab.cli.ports import free_port
from tests.support.people import Person
from tests.support.running_lab import RunningLab, lab


@pytest.fixture(scope="session")
def demo_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab with its demo institutions and the sample courses."""
    with lab(tmp_path_factory.mktemp("lab"), "--demo", "--port", str(free_port())) as running:
        yield running


@pytest.fixture
def person(demo_lab: RunningLab) -> Iterator[Callable[[str, str], Person]]:
    """Somebody who has logged in: `person("uni", "student1")`. Their servers are stopped afterwards."""
    people: list[Person] = []

    def login(institution: str, account: str) -> Person:
        somebody = Person(demo_lab.url)
        people.append(somebody)
        somebody.login(institution, account)
        assert somebody.hub_name, f"{account} of {institution} is not logged in"
        return somebody

    yield login
    for somebody in people:
        model = somebody.api("GET", f"/users/{somebody.hub_name}")
        for name in model.json().get("servers", {}) if model.status_code == 200 else ():
            somebody.api("DELETE", f"/users/{somebody.hub_name}/servers/{name}")
        somebody.close()
