"""The inner supervisor: starts the parts of a lab, watches them, and ends everything when one of them ends.

It is told what to run in one line of JSON on its standard input, and tells what happens in lines of JSON on its
standard output. When its standard input closes, or says `end`, it ends the lab (a second `end` means at once): whoever
started it cannot go without the lab going too. Where the machine allows it, it is process 1 of a PID namespace; the kernel then ends whatever is
left in there with it, processes in sessions of their own included. Nothing is ever restarted.
"""

import asyncio
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from kirzl_lab.cli.answers import answers
from kirzl_lab.cli.parts import Part, Plan

TAIL_LINES = 15
MOST_LINES = 2000
PR_SET_CHILD_SUBREAPER = 36


class Fell(Exception):  # noqa: N818 - not an error of this program
    """A part did not start, or ended while it should run."""

    def __init__(self, part: Part, why: str, code: int | None = None) -> None:
        super().__init__(f"{part.name} {why}")
        self.part = part
        self.why = why
        self.code = code


class Inner:
    """One lab from start to end."""

    def __init__(self, plan: Plan, tell: Callable[[dict[str, object]], None], *, tie: tuple[str, ...] = ()) -> None:
        """`tell` takes what happens; `tie` is put before each command so that it ends with this process."""
        self.plan = plan
        self.tell = tell
        self.tie = tie
        self.running: dict[int, Part] = {}
        self.codes: dict[str, int] = {}
        self.changed = asyncio.Event()
        self.asked_to_end = asyncio.Event()
        self.in_a_hurry = False
        self._processes: list[subprocess.Popen[bytes]] = []

    async def run(self) -> None:
        """Start everything, wait for the end, end everything. Returns when nothing is left."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.asked_to_end.set)
        work = asyncio.create_task(self._start_and_watch())
        asked = asyncio.create_task(self.asked_to_end.wait())
        await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
        try:
            if work.done():
                work.result()
        except* Fell as group:
            self._tell_fall(group)
        finally:
            work.cancel()
            asked.cancel()
            await self._end()
            self.tell({"event": "ended"})

    async def _start_and_watch(self) -> None:
        ready = {part.name: asyncio.Event() for part in self.plan.parts}
        deadline = asyncio.get_running_loop().time() + self.plan.start_limit_s
        try:
            async with asyncio.timeout_at(deadline), asyncio.TaskGroup() as group:
                for part in self.plan.parts:
                    group.create_task(self._bring_up(part, ready))
            async with asyncio.timeout_at(deadline):
                while self.plan.at_last and not await answers(self.plan.at_last):
                    self._look_for_a_fall()
                    await asyncio.sleep(self.plan.check_every_s)
        except TimeoutError:
            # When all parts answer but the whole does not, the part that is asked to end first holds it together.
            late = [part for part in self.plan.parts if not ready[part.name].is_set()]
            late += [part for part in self.plan.parts if part.name == self.plan.ends_first] or [self.plan.parts[-1]]
            raise Fell(late[0], f"did not answer within {self.plan.start_limit_s:.0f} seconds") from None
        self.tell({"event": "running"})
        while True:
            await self._until(lambda: any(part.check and part.name in self.codes for part in self.plan.parts))
            self._look_for_a_fall()

    def _look_for_a_fall(self) -> None:
        for part in self.plan.parts:
            if part.check and part.name in self.codes:
                raise Fell(part, _how(self.codes[part.name]), self.codes[part.name])

    async def _bring_up(self, part: Part, ready: dict[str, asyncio.Event]) -> None:
        for name in part.after:
            await ready[name].wait()
        began = time.monotonic()
        self._spawn(part)
        if part.check is None:
            await self._until(lambda: part.name in self.codes)
            if self.codes[part.name] != 0:
                raise Fell(part, _how(self.codes[part.name]), self.codes[part.name])
        else:
            while not await answers(part.check):
                if part.name in self.codes:
                    raise Fell(part, _how(self.codes[part.name]), self.codes[part.name])
                await asyncio.sleep(self.plan.check_every_s)
        ready[part.name].set()
        self.tell({"event": "ready", "part": part.name, "seconds": round(time.monotonic() - began, 2)})

    def _spawn(self, part: Part) -> None:
        try:
            with Path(part.log).open("ab") as log:
                process = subprocess.Popen(  # noqa: S603 - the plan is the outer supervisor's
                    [*self.tie, *part.argv],
                    cwd=part.folder,
                    env=dict(part.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise Fell(part, f"could not be started: {error}") from None
        self._processes.append(process)
        self.running[process.pid] = part
        self.tell({"event": "started", "part": part.name, "pid": process.pid})

    def _reap(self) -> bool:
        """Take the exit codes of children that have ended, our own and orphans. Whether any child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.changed.set()
                return False
            if pid == 0:
                self.changed.set()
                return True
            part = self.running.pop(pid, None)
            if part is not None:
                self.codes[part.name] = os.waitstatus_to_exitcode(status)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self.changed.wait()
            self.changed.clear()

    async def _end(self) -> None:
        first = next((pid for pid, part in self.running.items() if part.name == self.plan.ends_first), None)
        if first is not None:
            _signal(first, signal.SIGTERM)
            await self._within(self.plan.ends_first_limit_s, lambda: first not in self.running)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self._everyone():
                _signal(pid, number)
            if await self._within(self.plan.end_limit_s, lambda: not self._reap()):
                return

    async def _within(self, limit_s: float, condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + limit_s
        while not condition():
            if self.in_a_hurry or time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    def _everyone(self) -> list[int]:
        if os.getpid() == 1:
            return [-1]  # everybody in the namespace but process 1 itself
        import psutil  # noqa: PLC0415 - only here is it worth its memory

        return [process.pid for process in psutil.Process().children(recursive=True)]

    def _tell_fall(self, group: ExceptionGroup[Fell]) -> None:
        fall: BaseException = group
        while isinstance(fall, BaseExceptionGroup):
            fall = fall.exceptions[0]
        if isinstance(fall, Fell):
            self.tell(
                {
                    "event": "fell",
                    "part": fall.part.name,
                    "why": fall.why,
                    "code": fall.code,
                    # A part that runs once says little, and all of it is meant to be read.
                    "tail": tail(Path(fall.part.log), TAIL_LINES if fall.part.check else MOST_LINES),
                }
            )


def tail(log: Path, lines: int = TAIL_LINES) -> list[str]:
    """The last lines of a log, none when there is no log."""
    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip() for line in deque(file, maxlen=lines)]
    except OSError:
        return []


def _how(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _adopt_orphans() -> None:
    """Become the parent of orphans below us, as process 1 is anyway (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux" and os.getpid() != 1:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _tell(event: dict[str, object]) -> None:
    try:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever listened is gone; its end of our standard input is, too, and that ends the lab.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _main(tie: tuple[str, ...]) -> None:
    reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    line = await reader.readline()
    if not line.endswith(b"\n"):
        return
    inner = Inner(Plan.loads(line), _tell, tie=tie)

    async def listen() -> None:
        await reader.readline()  # `end`, or nothing when the pipe closes: both mean the same
        inner.asked_to_end.set()
        inner.in_a_hurry = bool(await reader.readline())

    listening = asyncio.create_task(listen())
    await inner.run()
    listening.cancel()


def main() -> None:
    """Run one lab; the arguments are what is put before each command to tie it to this process."""
    # What the lab writes is for whoever runs it alone, also in a folder that others may look into.
    os.umask(0o077)
    _adopt_orphans()
    asyncio.run(_main(tuple(sys.argv[1:])))


if __name__ == "__main__":
    main()
