"""Whether policies hold is asked from inside, until they do or for a while; what came of it is said."""

import socket
import subprocess
import sys
from itertools import count
from typing import Any

import pytest

from kirzl_lab.cli.cluster import walls
from kirzl_lab.cli.cluster.walls import judged, tried


@pytest.mark.parametrize(
    ("said", "ok", "needed", "found"),
    [
        ("yes no no no", True, True, "they hold"),
        ("yes yes yes yes", False, True, "nobody enforces them"),
        ("yes yes no no", False, True, "nobody enforces them"),
        ("yes no yes yes", False, True, "outgoing ones do not"),
        ("yes no no yes", False, False, "reaches the API server"),
        ("no no no no", False, True, "does not reach the hub"),
        ("no yes yes yes", False, True, "does not reach the hub"),
        ("", True, False, "could not be tried"),
    ],
)
def test_what_was_tried_from_inside_is_judged(said: str, ok: bool, needed: bool, found: str) -> None:
    finding = judged(said)
    assert (finding.ok, finding.needed) == (ok, needed)
    assert found in finding.found
    assert finding.advice or ok


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the tries print, one after the other; the last for ever."""
    said: list[str] = []
    monkeypatch.setattr(walls, "ready_pod", lambda cluster, component: f"{component}-1")
    monkeypatch.setattr(walls, "execute", lambda *words: (said.pop(0) if len(said) > 1 else said[0]).encode())
    return said


def looked() -> Any:
    seconds = count()
    cluster: Any = None
    return tried(cluster, clock=lambda: float(next(seconds)), pause=lambda seconds: None)


def test_walls_that_stand_a_moment_later_hold(answers: list[str]) -> None:
    answers += ["yes yes yes yes", "yes no yes yes", "yes no no no"]
    assert looked().ok


def test_walls_that_never_stand_are_told(answers: list[str]) -> None:
    answers += ["yes yes yes yes"]
    finding = looked()
    assert not finding.ok
    assert "nobody enforces them" in finding.found


def test_the_try_tells_open_ways_from_closed_ones() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_server(("127.0.0.1", 0)) as other:
        ways = [f"127.0.0.1:{each.getsockname()[1]}" for each in (listening, other)]
        other.close()
        said = subprocess.run([sys.executable, "-c", walls._TRY, *ways], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["yes", "no"]
