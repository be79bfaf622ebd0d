"""Ports: the same ones each time, and around whoever got there first."""

import json
import socket
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.ports import Ports, choose, free_port, is_free


def all_free(_port: int) -> bool:
    return True


def test_the_first_time_browsers_find_it_at_8000(tmp_path: Path) -> None:
    assert choose(tmp_path / "ports.json", None, all_free).public == 8000


def test_remembers(tmp_path: Path) -> None:
    first = choose(tmp_path / "ports.json", 8123, all_free)
    assert choose(tmp_path / "ports.json", None, all_free) == first
    assert first.public == 8123


def test_a_wanted_port_wins_over_the_remembered_one(tmp_path: Path) -> None:
    first = choose(tmp_path / "ports.json", 8123, all_free)
    second = choose(tmp_path / "ports.json", 8124, all_free)
    assert second.public == 8124
    assert (second.hub, second.demo) == (first.hub, first.demo)


def test_walks_around_a_busy_port(tmp_path: Path) -> None:
    assert choose(tmp_path / "ports.json", 8000, lambda port: port not in (8000, 8001)).public == 8002


@pytest.mark.parametrize(("wanted", "expected"), [(None, 8000), (8123, 8123)])
def test_a_port_that_was_walked_to_does_not_stick(tmp_path: Path, wanted: int | None, expected: int) -> None:
    first = choose(tmp_path / "ports.json", wanted, lambda port: port != expected)
    second = choose(tmp_path / "ports.json", None, all_free)
    assert (first.public, second.public) == (expected + 1, expected)
    assert second.demo == first.demo


def test_says_so_when_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="No port from 8000 to 8099 is free") as stop:
        choose(tmp_path / "ports.json", None, lambda _port: False)
    assert stop.value.code == Exit.CANNOT


def test_stops_at_the_last_port_there_is(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="No port from 65530 to 65535 is free"):
        choose(tmp_path / "ports.json", 65530, lambda _port: False)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"public": "8001"}', '{"public": true}', '{"public": 70000}'])
def test_a_file_that_makes_no_sense_is_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "ports.json").write_text(text)
    assert choose(tmp_path / "ports.json", None, all_free).public == 8000


@given(
    remembered=st.dictionaries(st.sampled_from(list(Ports.__annotations__)), st.integers(8000, 8020)),
    busy=st.sets(st.integers(8000, 8020)),
    wanted=st.none() | st.integers(8000, 8020),
)
def test_ports_are_always_free_and_different(
    tmp_path_factory: pytest.TempPathFactory, remembered: dict[str, int], busy: set[int], wanted: int | None
) -> None:
    file = tmp_path_factory.mktemp("ports") / "ports.json"
    file.write_text(json.dumps(remembered))
    ports = asdict(choose(file, wanted, lambda port: port not in busy)).values()
    assert len(set(ports)) == len(Ports.__annotations__)
    assert not busy.intersection(ports)
    assert json.loads(file.read_text()).keys() == Ports.__annotations__.keys()


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0")])
def test_a_port_that_somebody_listens_on_is_not_free(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family) as server:
        server.bind((address, 0))
        server.listen()
        assert not is_free(server.getsockname()[1])


def test_a_port_that_nobody_listens_on_is_free() -> None:
    assert is_free(free_port())


def test_a_port_is_free_again_right_after_its_server_ended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # which sets SO_REUSEADDR, as servers do
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()  # we close first: the connection stays in TIME_WAIT
    assert is_free(port)
