"""The supervisor with stand-ins for the parts of a lab: it starts them in order, and nothing outlives it."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from typing import Any

import psutil
import pytest

from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.parts import Check, Plan
from kirzl_lab.cli.processes import Launcher, end_leftovers
from kirzl_lab.cli.state import Folder, Note, read_note
from kirzl_lab.cli.supervisor import supervise
from tests.cli.conftest import MakePart, left_of
from tests.support.waiting import wait_until


class Watcher:
    """Hears what happens, and does something once the lab runs."""

    def __init__(self, folder: Folder, when_running: Any) -> None:
        self.folder = folder
        self.when_running = when_running
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        if event["event"] == "running":
            note = read_note(self.folder)
            assert note is not None
            wait_until(lambda: any("sleep 1234" in line for line in left_of(self.folder)), "the grandchild", 10)
            self.when_running(note)

    def order(self, kind: str) -> list[str]:
        return [event["part"] for event in self.events if event["event"] == kind]


def end_it(_note: Note) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_starts_in_order_and_ends_when_asked_to(plan: Plan, launcher: Launcher, folder: Folder, note: Note) -> None:
    watcher = Watcher(folder, end_it)
    supervise(plan, launcher, folder, note, watcher)
    assert set(watcher.order("started")[:2]) == {"prepare", "proxy"}
    assert watcher.order("started")[2] == "hub"
    assert watcher.order("ready")[-1] == "hub"
    assert watcher.events[-1] == {"event": "ending"}
    assert left_of(folder) == []
    assert read_note(folder) is None


def test_the_note_has_the_numbers_of_the_processes(plan: Plan, launcher: Launcher, folder: Folder, note: Note) -> None:
    seen: dict[str, list[str]] = {}

    def look(note: Note) -> None:
        seen.update({name: psutil.Process(pid).cmdline() for name, pid in note.pids.items()})
        end_it(note)

    supervise(plan, launcher, folder, note, Watcher(folder, look))
    assert set(seen) == {"supervisor", "proxy", "hub"}
    for part in plan.parts[1:]:
        assert seen[part.name] == list(part.argv)


@pytest.mark.parametrize("victim", ["hub", "proxy"])
def test_one_part_killed_ends_all(victim: str, plan: Plan, launcher: Launcher, folder: Folder, note: Note) -> None:
    watcher = Watcher(folder, lambda note: os.kill(note.pids[victim], signal.SIGKILL))
    with pytest.raises(Stop) as stop:
        supervise(plan, launcher, folder, note, watcher)
    assert stop.value.code == Exit.FELL_OVER
    assert stop.value.sentence.startswith(f"The {victim} was ended by SIGKILL, so the lab ends.")
    assert stop.value.lines[0] == "one of the last lines"
    assert left_of(folder) == []


def test_inner_supervisor_killed_ends_all(plan: Plan, launcher: Launcher, folder: Folder, note: Note) -> None:
    def kill_inner(note: Note) -> None:
        parent = psutil.Process(note.pids["hub"]).parent()
        assert parent is not None and "kirzl_lab.cli.inner" in parent.cmdline()
        parent.kill()

    with pytest.raises(Stop) as stop:
        supervise(plan, launcher, folder, note, Watcher(folder, kill_inner))
    assert "was killed" in stop.value.sentence
    assert left_of(folder) == []


def test_a_stubborn_part_is_killed(part: MakePart, launcher: Launcher, folder: Folder, note: Note) -> None:
    plan = Plan(
        parts=(part("hub", "stubborn", "with-grandchild"),), ends_first="hub", ends_first_limit_s=0.2, end_limit_s=0.2
    )
    supervise(plan, launcher, folder, note, Watcher(folder, end_it))
    assert left_of(folder) == []


def test_asked_twice_it_ends_at_once(part: MakePart, launcher: Launcher, folder: Folder, note: Note) -> None:
    plan = Plan(
        parts=(part("hub", "stubborn", "with-grandchild"),), ends_first="hub", ends_first_limit_s=60, end_limit_s=60
    )

    def ask_twice(note: Note) -> None:
        end_it(note)
        end_it(note)

    class Impatient(Watcher):
        def __call__(self, event: dict[str, Any]) -> None:
            super().__call__(event)
            if event["event"] == "ending":
                end_it(note)

    began = time.monotonic()
    supervise(plan, launcher, folder, note, Impatient(folder, end_it))
    assert time.monotonic() - began < 30
    assert left_of(folder) == []


@pytest.mark.parametrize(("code", "exit_"), [(1, Exit.NO), (3, Exit.CANNOT), (7, Exit.FELL_OVER)])
def test_a_failed_preparation_says_all_it_found(
    *, code: int, exit_: Exit, part: MakePart, launcher: Launcher, folder: Folder, note: Note
) -> None:
    script = f"[print('mistake', n) for n in range(40)]; raise SystemExit({code})"
    plan = Plan(
        parts=(part("prepare", argv=(sys.executable, "-c", script), once=True), part("hub", after=("prepare",)))
    )
    watcher = Watcher(folder, end_it)
    with pytest.raises(Stop) as stop:
        supervise(plan, launcher, folder, note, watcher)
    assert stop.value.code == exit_
    assert stop.value.lines == tuple(f"mistake {n}" for n in range(40))
    assert watcher.order("started") == ["prepare"]


def test_a_part_that_never_answers(part: MakePart, launcher: Launcher, folder: Folder, note: Note) -> None:
    deaf = replace(part("hub"), check=Check("http://127.0.0.1:1/"))
    with pytest.raises(Stop, match="hub did not answer within 1 seconds"):
        supervise(Plan(parts=(deaf,), start_limit_s=1), launcher, folder, note, Watcher(folder, end_it))
    assert left_of(folder) == []


def test_a_whole_that_never_answers(plan: Plan, launcher: Launcher, folder: Folder, note: Note) -> None:
    walled = replace(plan, at_last=Check("http://127.0.0.1:1/"), start_limit_s=4)
    with pytest.raises(Stop, match="hub did not answer within 4 seconds"):
        supervise(walled, launcher, folder, note, Watcher(folder, end_it))
    assert left_of(folder) == []


def test_what_parts_write_is_for_their_owner_alone(
    part: MakePart, launcher: Launcher, folder: Folder, note: Note
) -> None:
    once = part("prepare", argv=(sys.executable, "-c", "open('new', 'w'); raise SystemExit(1)"), once=True)
    with pytest.raises(Stop):
        supervise(Plan(parts=(once,)), launcher, folder, note, Watcher(folder, end_it))
    assert (folder.path / "new").stat().st_mode & 0o777 == 0o600


def test_a_part_that_ends_before_it_answers(part: MakePart, launcher: Launcher, folder: Folder, note: Note) -> None:
    plan = Plan(parts=(part("proxy"), part("hub", argv=(sys.executable, "-c", "raise SystemExit('no port')"))))
    with pytest.raises(Stop, match="hub ended with exit code 1") as stop:
        supervise(plan, launcher, folder, note, Watcher(folder, end_it))
    assert stop.value.lines == ("no port",)


def test_a_command_that_is_not_there(part: MakePart, folder: Folder, note: Note) -> None:
    plan = Plan(parts=(part("proxy", argv=("/nowhere/node",)),))
    with pytest.raises(Stop, match=r"proxy could not be started: .*No such file"):
        supervise(plan, Launcher("plain-processes"), folder, note, Watcher(folder, end_it))


def test_the_log_of_the_last_start_is_kept(plan: Plan, launcher: Launcher, folder: Folder, note: Note) -> None:
    (folder.logs / "hub.log").write_text("yesterday")
    supervise(plan, launcher, folder, note, Watcher(folder, end_it))
    assert (folder.logs / "hub.log.1").read_text() == "yesterday"
    assert "yesterday" not in (folder.logs / "hub.log").read_text()


OUTER = """
import json, sys
from pathlib import Path
from kirzl_lab.cli.parts import Plan
from kirzl_lab.cli.processes import Launcher
from kirzl_lab.cli.state import Folder, Note, holding
from kirzl_lab.cli.supervisor import supervise
plan, launcher, folder, note = sys.stdin.readline(), *map(json.loads, sys.stdin.readline().split("|"))
folder = Folder(Path(folder))
with holding(folder):
    supervise(Plan.loads(plan), Launcher(**launcher), folder, Note(**note), lambda event: print(json.dumps(event), flush=True))
"""


def test_sigkill_of_the_supervisor(plan: Plan, launcher: Launcher, folder: Folder, note: Note) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OUTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as outer:
        assert outer.stdin is not None and outer.stdout is not None
        rest = "|".join(map(json.dumps, (asdict(launcher), str(folder.path), asdict(note))))
        outer.stdin.write(f"{plan.dumps()}\n{rest}\n")
        outer.stdin.flush()
        wait_until(lambda: json.loads(outer.stdout.readline())["event"] == "running", "a running lab", 30)
        wait_until(lambda: any("sleep 1234" in line for line in left_of(folder)), "the grandchild", 10)
        outer.kill()
    # By the kernel in a PID namespace; by the inner supervisor, whose input closes, elsewhere.
    wait_until(lambda: not left_of(folder), "the end of everything", 10)
    assert end_leftovers(folder.path) == []


def test_sigkill_of_both_supervisors_leaves_what_the_next_start_ends(plan: Plan, folder: Folder, note: Note) -> None:
    """Without a PID namespace and without a kernel that ties children to parents, as on macOS."""
    with subprocess.Popen(
        [sys.executable, "-c", OUTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as outer:
        assert outer.stdin is not None and outer.stdout is not None
        rest = "|".join(map(json.dumps, (asdict(Launcher("plain-processes")), str(folder.path), asdict(note))))
        outer.stdin.write(f"{plan.dumps()}\n{rest}\n")
        outer.stdin.flush()
        wait_until(lambda: json.loads(outer.stdout.readline())["event"] == "running", "a running lab", 30)
        wait_until(lambda: any("sleep 1234" in line for line in left_of(folder)), "the grandchild", 10)
        inner = psutil.Process(outer.pid).children()[0]
        inner.suspend()
        outer.kill()
        inner.kill()
    assert any("sleep 1234" in line for line in left_of(folder))
    assert "sleep" in end_leftovers(folder.path)
    assert left_of(folder) == []
