"""SIGKILL of the whole lab at 20 random moments, while it starts and while it is used: nothing is left over or lost."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from kirzl_lab.cli.state import Folder, is_held
from tests.laptop.conftest import Start, cgroups_of, left_of, running
from tests.support.people import Person
from tests.support.waiting import wait_until

MOMENTS = 20
START_S = 5.0
"""About how long a start takes: moments of a start are drawn from it."""
USE_S = 4.0

ACCOUNTS = (("uni", "student1"), ("uni", "student2"), ("uni", "student3"), ("uni", "lecturer"), ("uas", "student1"))

pytestmark = [pytest.mark.laptop, pytest.mark.node, pytest.mark.slow]


class Use:
    """People who log in and start servers until the lab is gone; remembers what the lab has confirmed to them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.persons: dict[tuple[str, str], str] = {}
        self.bindings: set[tuple[str, str]] = set()
        self.failures: list[Exception] = []

    def go_on(self, url: str, over: threading.Event) -> None:
        try:
            with suppress(httpx.HTTPError, json.JSONDecodeError):  # a lab that is killed, and nothing else
                while not over.is_set():
                    self._once(url, *self.random.choice(ACCOUNTS))
        except Exception as failure:
            self.failures.append(failure)

    def _once(self, url: str, institution: str, account: str) -> None:
        person = Person(url)
        try:
            person.login(institution, account)
            if person.hub_name:
                known = self.persons.setdefault((institution, account), person.hub_name)
                assert known == person.hub_name, "somebody has a new name"
                person.start("ml-101", "cpu-small")
                if person.server("ml-101") is not None:
                    self.bindings.add((person.hub_name, "ml-101"))
        finally:
            person.close()


class Work:
    """What people keep in their homes: written before a kill, and to be there after the next start."""

    def __init__(self, data: Path) -> None:
        self.homes = data / "homes"
        self.written: dict[Path, str] = {}

    def write(self, moment: int, bindings: set[tuple[str, str]]) -> None:
        for hub_name, space in bindings:
            home = self.homes / hub_name / space / "work"
            if home.is_dir():
                path = home / f"notes-{moment}.txt"
                self.written[path] = f"{hub_name} at moment {moment}\n"
                path.write_text(self.written[path])

    def is_there(self) -> None:
        assert {path: path.read_text() for path in self.written} == self.written


def kill(supervisor: "subprocess.Popen[str]", data: Path, *, everyone: bool, nobodys: bool) -> None:
    """SIGKILL to the supervisor, or to every process of the lab at once; `nobodys`: something may be left of it."""
    victims = [supervisor.pid]
    if everyone:
        victims += [child.pid for child in psutil.Process(supervisor.pid).children(recursive=True)]
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    supervisor.communicate()
    if not nobodys:
        wait_until(lambda: not left_of(data), "the end of every process", 20)
    assert not is_held(Folder.at(data))


def test_sigkill_at_random_moments(data: Path, start: Start) -> None:
    seed = int(os.environ.get("KIRZL_TEST_SEED") or random.randrange(2**32))
    print(f"seed {seed}: play this again with KIRZL_TEST_SEED={seed}")
    moments = random.Random(seed)
    use, work = Use(seed), Work(data)
    for moment in range(MOMENTS):
        plain = moments.random() < 0.5  # without a PID namespace, as on macOS
        everyone = moments.random() < 0.5
        supervisor = start(plain=plain)
        # A server that a plain hub starts while all are killed is nobody's: the next start ends it, as seen at the end.
        nobodys = plain and everyone
        if moments.random() < 0.5:
            time.sleep(moments.uniform(0, START_S))  # the moment is what is tested
            kill(supervisor, data, everyone=everyone, nobodys=nobodys)
            continue
        url = running(data, supervisor)
        work.is_there()
        over = threading.Event()
        people = [threading.Thread(target=use.go_on, args=(url, over)) for _ in range(2)]
        for thread in people:
            thread.start()
        time.sleep(moments.uniform(0, USE_S))  # the same
        work.write(moment, set(use.bindings))
        kill(supervisor, data, everyone=everyone, nobodys=nobodys)
        over.set()
        for thread in people:
            thread.join()
        if use.failures:
            raise use.failures[0]
    last = start()
    url = running(data, last)
    assert cgroups_of(data) == []
    assert use.persons, "nobody ever got in: the moments prove nothing"
    assert work.written, "nobody ever had a home: the moments prove nothing"
    work.is_there()
    for (institution, account), hub_name in use.persons.items():
        person = Person(url)
        person.login(institution, account)
        assert person.hub_name == hub_name
        person.close()
    last.send_signal(signal.SIGTERM)
    last.communicate(timeout=30)
    assert left_of(data) == []
    assert sorted(path.name for path in (data / "run").iterdir()) == ["lock", "ports.json"]
    with closing(sqlite3.connect(data / "lab.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        query = "SELECT p.hub_name, s.server_name FROM servers s JOIN persons p ON p.id = s.person_id"
        assert use.bindings <= set(database.execute(query).fetchall())
    with closing(sqlite3.connect(data / "hub.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
