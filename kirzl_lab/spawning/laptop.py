"""Servers as processes of this machine: from a `Choice` to a running JupyterLab.

All servers run as whoever runs the lab: this is for trying and authoring, not for strangers. What is promised
nevertheless: nothing secret of the hub reaches a server's environment, the folder is computed from the `Choice` and
never from a request, a server is kept to its size where the machine can do that, and when a server ends, everything
that it started ends with it.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import psutil
from jupyterhub.spawner import SimpleLocalProcessSpawner
from traitlets import Unicode, default

from kirzl_lab.problems import Phrase, SizeUnavailable
from kirzl_lab.spawning import folders, gpu, last_words, limits, materials, processes, server_environment, server_log
from kirzl_lab.spawning.answering import answers
from kirzl_lab.spawning.choice import Choice
from kirzl_lab.spawning.endings import ENDED_ITSELF, NOT_READY, NOT_STARTED, OUT_OF_MEMORY
from kirzl_lab.spawning.not_started import NotStartedError
from kirzl_lab.spawning.telling import Telling

READY_POLL_S = 0.05
"""Between two looks at a server that starts."""

STRAGGLER_PATIENCE_S = 1.0
"""For what a server leaves running when it ends: kernels notice that themselves, background jobs do not."""


class Step(StrEnum):
    """What a start is doing, in words (English message ids)."""

    FOLDER = "Preparing the folder"
    MATERIALS = "Bringing the materials up to date"
    STARTING = "Starting JupyterLab"
    ANSWERS = "JupyterLab answers"


PROGRESS: Mapping[Step, int] = {Step.FOLDER: 10, Step.MATERIALS: 20, Step.STARTING: 40, Step.ANSWERS: 90}


class LaptopSpawner(SimpleLocalProcessSpawner):
    """One server as a process; the wiring subclass decides what may start."""

    data_folder = Unicode(config=True, help="The lab's state. By default what KIRZL_LAB_DATA says.")

    last_end: Phrase | None = None
    """Why the last server under this name ended, where nobody stopped it."""

    choice: Choice | None = None
    """What runs, or ran last, since this spawner was made."""

    _held_gpus: ClassVar[dict[str, str]] = {}

    def __init__(self, **kwargs: Any) -> None:
        self._telling = Telling(PROGRESS)
        self._starting = False
        self._born: float = 0.0
        self._mark: str = ""
        self._limits_name: str | None = None
        self._stopping = False
        super().__init__(**kwargs)

    @default("data_folder")
    def _default_data_folder(self) -> str:
        return os.environ["KIRZL_LAB_DATA"]

    @default("env_keep")
    def _env_keep_default(self) -> list[str]:
        return list(server_environment.KEPT)

    @default("ip")
    def _default_ip(self) -> str:
        return "127.0.0.1"

    @default("default_url")
    def _default_default_url(self) -> str:
        return "/lab"

    @default("poll_interval")
    def _default_poll_interval(self) -> int:
        return 5  # seconds; asking a child of ours costs nothing

    @default("interrupt_timeout")
    def _default_interrupt_timeout(self) -> int:
        return 8

    @default("term_timeout")
    def _default_term_timeout(self) -> int:
        return 3

    @property
    def data(self) -> Path:
        """The lab's data folder."""
        return Path(self.data_folder).absolute()

    @property
    def _last_words(self) -> Path:
        return folders.last_words_file(self.data, self.user.name, self.name)

    async def decide(self) -> Choice:
        """What starts now: the last check, with the membership of this moment. Raises `HTTPError`s for refusals."""
        raise NotImplementedError

    # -- start -------------------------------------------------------------------------------------------------

    async def start(self) -> tuple[str, int]:
        """Start the server and wait until it answers; its address and port.

        Raises what `decide` raises, and `NotStartedError` in plain words when JupyterLab does not come up.
        """
        self.choice = choice = await self.decide()
        self.last_end, self._stopping, self._starting = None, False, True
        self._telling.begin()
        try:
            async with asyncio.timeout(max(1, self.start_timeout - 2)):
                return await self._start(choice)
        except TimeoutError:
            await self._say_why(choice, f"no answer within {self.start_timeout - 2} s")
            await self._abandon()
            raise NotStartedError(NOT_READY, reason="timeout", status=504) from None
        except BaseException:  # a cancelled start as well: what began must end
            await self._abandon()
            raise
        finally:
            self._starting = False
            self._telling.end()

    async def _start(self, choice: Choice) -> tuple[str, int]:
        self._telling.tell(Step.FOLDER)
        home = folders.home(self.data, choice)
        await asyncio.to_thread(folders.make_private, home, self.data)
        if choice.materials_source is not None:
            self._telling.tell(Step.MATERIALS)
        seal = await self._lay_out_materials(choice, home)
        await asyncio.to_thread(self._lay_out_course, choice, home)
        self._telling.tell(Step.STARTING)
        self._hold_gpu(choice)
        limit = await self._limit(choice)
        self._mark = uuid4().hex
        self.port = 0  # a free one, also when this spawner has started a server before
        self.notebook_dir = str(home).replace("{", "{{").replace("}", "}}")  # JupyterHub formats it
        self.home_dir = str(home)
        # -P: a file called json.py in the person's folder must not become the server's json module.
        self.cmd = [*limit, *seal, sys.executable, "-P", "-m", "kirzl_lab.spawning.server"]
        self.args = ["--allow-root"] if os.geteuid() == 0 else []
        with await asyncio.to_thread(server_log.open_new, folders.log_file(self.data, choice), self.data) as log:
            self._last_words.unlink(missing_ok=True)
            self.popen_kwargs = {"cwd": str(home), "stdout": log, "stderr": log, "stdin": subprocess.DEVNULL}
            address: tuple[str, int] = await super().start()
        self._born = processes.started(self.pid) or 0.0
        await self._wait_until_it_answers(choice, *address)
        self._telling.tell(Step.ANSWERS)
        return address

    async def _lay_out_materials(self, choice: Choice, home: Path) -> list[str]:
        """Put the materials beside the work; the words before the command that keep the copy from being written."""
        copy = None if choice.staff else folders.materials_copy(self.data, choice)
        try:
            if not await asyncio.to_thread(materials.lay_out, home, choice.materials_source, copy):
                self.log.warning("%s has an own file called materials: the course's are not shown", self._log_name)
        except OSError:
            # Yesterday's materials, or none, are better than no server.
            self.log.exception("The materials of %s could not be brought up to date", choice.space)
        return await asyncio.to_thread(materials.sealed, copy) if copy and copy.is_dir() else []

    def _lay_out_course(self, choice: Choice, home: Path) -> None:
        """Show the course folder beside the work of people who run the course, and to nobody else."""
        shown = None
        if choice.kind == "course" and choice.staff:
            shown = folders.course(self.data, choice)
            folders.make_private(shown, self.data)
            folders.make_private(folders.gradebook(self.data, choice).parent, self.data)
        if not materials.beside(home, shown, folders.COURSE):
            self.log.warning("%s has an own file called course: the course's folder is not shown", self._log_name)

    async def _limit(self, choice: Choice) -> list[str]:
        limiter = await asyncio.to_thread(limits.detect)
        if limiter.describe() == "none":
            return []
        name = limits.name_of(self.data, choice.hub_name, choice.server_name)
        cpus, memory = limits.limits_of(choice.size)
        self._limits_name = name
        self.cpu_limit, self.mem_limit = cpus, memory  # told to the server, for extensions that show them
        return await asyncio.to_thread(limiter.enter, name, cpus, memory)

    def _hold_gpu(self, choice: Choice) -> None:
        if choice.flavour is None:
            return
        unit = gpu.free_unit(choice.flavour, gpu.detect(), self._held_gpus.values())
        if unit is None:
            problem = SizeUnavailable(size=choice.size_name, reason=Phrase(gpu.ALL_TAKEN))
            raise NotStartedError(problem.text(), reason="gpu", status=problem.status)
        self._held_gpus[self._log_name] = unit

    async def _wait_until_it_answers(self, choice: Choice, ip: str, port: int) -> None:
        """JupyterHub waits for the same answer afterwards, but looks less often and does not notice an early death."""
        base = self.server.base_url if self.server else "/"
        while not await answers(f"http://{ip}:{port}{base}api"):
            status = await self.poll()
            if status is not None:
                await self._say_why(choice, f"it ended with status {status}")
                why = self.last_end.message if self.last_end else NOT_STARTED
                raise NotStartedError(why, reason="server", status=500)
            await asyncio.sleep(READY_POLL_S)

    async def _say_why(self, choice: Choice, what: str) -> None:
        file = folders.log_file(self.data, choice)
        lines = await asyncio.to_thread(server_log.end_of, file)
        self.log.error("%s did not start: %s. The end of %s:\n%s", self._log_name, what, file, lines)

    # -- what a server gets to know ----------------------------------------------------------------------------

    def make_preexec_fn(self, name: str) -> Callable[[], None] | None:
        """Nothing runs between fork and exec: that would be a copy of the hub."""
        return None

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """The environment of the server: JupyterHub's own variables, the kept ones, and ours."""
        if self.choice is None:
            return env
        hub_home = (self.public_hub_url or self.hub.base_url).rstrip("/") + "/home"
        inside = os.environ.get(server_environment.SERVICE_URL, "")
        service = server_environment.service_address(inside, self.hub.base_url) if inside else ""
        ours = server_environment.of(self.choice, Path(self.home_dir), hub_home, service, os.environ)
        unit = self._held_gpus.get(self._log_name)
        words = {last_words.VARIABLE: str(self._last_words)}
        if self.choice.kind == "course" and self.choice.staff:
            words["KIRZL_LAB_GRADEBOOK"] = f"sqlite:///{folders.gradebook(self.data, self.choice)}"
        return env | ours | gpu.environment(unit) | words | {processes.MARK: self._mark}

    # -- progress ----------------------------------------------------------------------------------------------

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What the start does, as it does it; each message is one of `Step`."""
        async for message in self._telling.messages():
            yield message

    # -- end ---------------------------------------------------------------------------------------------------

    async def poll(self) -> int | None:
        """None while the server runs, its exit status once it has ended (0 when it is not known)."""
        if self.proc is not None:
            status: int | None = self.proc.poll()
        else:
            status = None if processes.is_same(self.pid, self._born) else 0
        if status is not None and (self.pid or self._limits_name):
            await self._ended(status)
        return status

    async def stop(self, now: bool = False) -> None:
        """End the server and all that it started: SIGINT, SIGTERM, SIGKILL. Returns when nothing is left."""
        self._stopping = True
        if not now and await self.poll() is None:
            await self._signal(signal.SIGINT)
            await self.wait_for_death(self.interrupt_timeout)
        if await self.poll() is None:
            await self._end_family(self.term_timeout)
            await self.wait_for_death(self.kill_timeout)
        if await self.poll() is None:
            self.log.error("Process %i of %s does not end", self.pid, self._log_name)

    async def _signal(self, sig: int) -> bool:
        """Send a signal to the server's process, when it still is that process."""
        if not processes.is_same(self.pid, self._born):
            return False
        with suppress(psutil.Error):
            psutil.Process(self.pid).send_signal(sig)
        return True

    async def _ended(self, status: int) -> None:
        name, self._limits_name = self._limits_name, None
        limiter = limits.detect()
        starved = name is not None and await asyncio.to_thread(limiter.out_of_memory, name)
        if status and not self._stopping:
            self.last_end = Phrase(OUT_OF_MEMORY) if starved else None if self._starting else Phrase(ENDED_ITSELF)
        elif not self._stopping:
            self.last_end = await asyncio.to_thread(last_words.left_in, self._last_words)
        await self._end_family(STRAGGLER_PATIENCE_S)
        if name is not None:
            await asyncio.to_thread(limiter.leave, name)
        self._held_gpus.pop(self._log_name, None)
        self.proc = None
        self.clear_state()

    async def _end_family(self, patience_s: float) -> None:
        pid, born, mark = self.pid, self._born, self._mark
        await asyncio.to_thread(lambda: processes.end(processes.family(pid, born, mark), patience_s))

    async def _abandon(self) -> None:
        await asyncio.shield(self.stop(now=True))
        self._held_gpus.pop(self._log_name, None)

    # -- state -------------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """What JupyterHub remembers: pid, start time, mark and limits of the server, and how the last one ended."""
        state: dict[str, Any] = super().get_state()
        if self.pid:
            state |= {"born": self._born, "mark": self._mark, "limits": self._limits_name}
        return state | last_words.remember(self.last_end)

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what JupyterHub remembered."""
        super().load_state(state)
        self._born = float(state.get("born", 0.0))
        self._mark = str(state.get("mark", ""))
        self._limits_name = state.get("limits")
        self.last_end = last_words.remembered(state)

    def clear_state(self) -> None:
        """Forget the server; how it ended is kept until the next start."""
        super().clear_state()
        self._born, self._mark = 0.0, ""
