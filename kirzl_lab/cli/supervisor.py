"""`kirzl-lab up`: the outer supervisor. It gets a data folder ready, starts the inner supervisor and stays with it.

Guarantees: one lab for each data folder; what an earlier lab left behind, however it ended, is ended or mended first;
when this process ends, however it ends, the lab ends.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kirzl_lab.cli import node
from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.keys import keys_in
from kirzl_lab.cli.lab import Options, plan_for, settings_for
from kirzl_lab.cli.parts import Plan
from kirzl_lab.cli.ports import asked_port, choose
from kirzl_lab.cli.processes import MARKER, Launcher, best_launcher, end_leftovers, outside_pids
from kirzl_lab.cli.state import Folder, Note, holding, write_note

INNER = (sys.executable, "-P", "-m", "kirzl_lab.cli.inner")
LONGEST_EVENT = 16 * 1024 * 1024
"""Bytes of one line of the inner supervisor; the last lines of a log may be long."""

Event = dict[str, Any]
Listener = Callable[[Event], None]


def up(options: Options, listen: Listener, launcher: Launcher | None = None) -> None:
    """Run a lab until it is told to end (SIGINT, SIGTERM, SIGHUP). Raises `Stop` when it could not start or fell over.

    Without a `launcher` the best one that this machine allows is taken.
    `listen` hears what happens: `port` when another one than the asked one was taken, `started` and `ready` with a `part`, `running` with the `note`, `ending`.
    """
    _check_folders(options)
    with holding(options.folder):
        end_leftovers(options.folder.path)
        found = node.find_node()
        node.need_modules(demo=options.demo)
        ports = choose(options.folder.ports, options.port)
        asked = asked_port(options.folder.ports, options.port)
        if ports.public != asked:
            listen({"event": "port", "asked": asked, "taken": ports.public})
        plan = plan_for(options, ports, keys_in(options.folder.secrets), found)
        launcher = launcher or best_launcher()
        settings = settings_for(options, ports)
        note = Note(
            pid=os.getpid(),
            state="starting",
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            url=settings.public_url,
            data=str(options.folder.path),
            demo=options.demo,
            mode=launcher.mode,
            ports=asdict(ports),
            checks={part.name: (part.check.url, part.check.accept) for part in plan.parts if part.check},
        )
        supervise(plan, launcher, options.folder, note, listen)


def supervise(plan: Plan, launcher: Launcher, folder: Folder, note: Note, listen: Listener) -> None:
    """Run the plan on a folder whose lock is held. Raises `Stop` when a part of it falls over."""
    for part in plan.parts:
        _set_aside(Path(part.log))
    write_note(folder, note)
    try:
        asyncio.run(_Outer(plan, launcher, folder, note, listen).run())
    finally:
        end_leftovers(folder.path)
        folder.note.unlink(missing_ok=True)


class _Outer:
    def __init__(self, plan: Plan, launcher: Launcher, folder: Folder, note: Note, listen: Listener) -> None:
        self.plan = plan
        self.launcher = launcher
        self.folder = folder
        self.note = note
        self.listen = listen
        self.pids: dict[str, int] = {}
        self.ending = False

    async def run(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self.launcher.prefix,
            *INNER,
            *self.launcher.tie,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST_EVENT,
            env={**os.environ, MARKER: str(self.folder.path)},
            # Ctrl-C reaches us alone; the order in which things end is ours.
            start_new_session=True,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._end, process)
        assert process.stdin is not None and process.stdout is not None  # noqa: S101 - both are pipes, for the type checker
        process.stdin.write(_marked(self.plan, self.folder).dumps().encode() + b"\n")
        fall: Stop | None = None
        ended = False
        async for line in process.stdout:
            event = json.loads(line)
            fall = self._fell(event) or fall
            ended = ended or event["event"] == "ended"
            self._hear(event, process.pid)
        await process.wait()
        if fall is not None:
            raise fall
        if not ended:
            raise Stop(Exit.FELL_OVER, "The lab's supervisor was killed, and the lab with it: start it again.")

    def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(b"end\n")  # the second one means: at once
        if not self.ending:
            self.ending = True
            self.listen({"event": "ending"})

    def _hear(self, event: Event, pid: int) -> None:
        if event["event"] == "started":
            self.pids[event["part"]] = event["pid"]
        if event["event"] == "running":
            inside = {part.name: self.pids[part.name] for part in self.plan.parts if part.check}
            outside = outside_pids(pid, inside) if self.launcher.prefix else inside
            self.note = replace(self.note, state="running", pids={"supervisor": os.getpid(), **outside})
            write_note(self.folder, self.note)
            event = {**event, "note": asdict(self.note)}
        if event["event"] in ("started", "ready", "running"):
            self.listen(event)

    def _fell(self, event: Event) -> Stop | None:
        if event["event"] != "fell" or self.ending:
            return None
        part, tail = event["part"], tuple(event["tail"])
        if part == "prepare" and event["code"] == Exit.NO:
            return Stop(Exit.NO, "The catalogue has mistakes:", tail)
        if part == "prepare" and event["code"] == Exit.CANNOT:
            return Stop(Exit.CANNOT, "The lab cannot start:", tail)
        log = self.folder.logs / f"{part}.log"
        return Stop(Exit.FELL_OVER, f"The {part} {event['why']}, so the lab ends. The last lines of {log}:", tail)


def _check_folders(options: Options) -> None:
    for folder, option in ((options.hub_config, "--hub-config"), (options.courses, "--courses")):
        if not folder.is_dir():
            raise Stop(Exit.CANNOT, f"There is no folder {folder} here: say where it is with {option}.")


def _marked(plan: Plan, folder: Folder) -> Plan:
    """The plan with parts that can be found again once nobody is left who knows their numbers."""
    mark = {MARKER: str(folder.path)}
    return replace(plan, parts=tuple(replace(part, environment={**part.environment, **mark}) for part in plan.parts))


def _set_aside(log: Path) -> None:
    """Begin a new log; the one of the last start stays beside it."""
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
