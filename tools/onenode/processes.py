"""Starting the cluster's processes, and knowing whether they still run.

A process is known by its id and the moment it started: an id alone may by now be somebody else's. Each writes to a log
of its own. Nobody watches them all the time: `up` restarts what died.
"""

import contextlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tools.onenode import cgroups
from tools.onenode.network import ENTER
from tools.onenode.paths import LOGS, RUN
from tools.onenode.waiting import until


@dataclass(frozen=True)
class Component:
    """One process of the cluster."""

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    in_namespace: bool = True

    @property
    def log(self) -> Path:
        """Where its output goes; a restart adds to it."""
        return LOGS / f"{self.name}.log"

    @property
    def _record(self) -> Path:
        return RUN / f"{self.name}.json"

    def process(self) -> psutil.Process | None:
        """The running process, or None."""
        with contextlib.suppress(OSError, ValueError, KeyError, psutil.Error):
            record = json.loads(self._record.read_text(encoding="utf-8"))
            process = psutil.Process(record["pid"])
            if process.create_time() == record["created"] and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def same_as_started(self) -> bool:
        """Whether the running process was started with this command: a newer build or option asks for a restart."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            record = json.loads(self._record.read_text(encoding="utf-8"))
            return bool(record["command"] == self._words())
        return False

    def start(self) -> bool:
        """Starts it unless it runs already with this very command; returns whether it did."""
        process = self.process()
        if process is not None:
            if self.same_as_started():
                return False
            self.stop()
        words = self._words()
        # It enters the cluster's group first: whatever happens next, `down` finds it.
        script = f'echo $$ > {cgroups.entrance()}; exec "$@"'
        inside = [*ENTER, *words] if self.in_namespace else words
        with self.log.open("ab") as log:
            started = subprocess.Popen(  # noqa: S603 - our own commands
                ["/bin/sh", "-c", script, "sh", *inside],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**_environment(), **self.environment},
                cwd="/",
                start_new_session=True,
            )
        record = {
            "pid": started.pid,
            "created": psutil.Process(started.pid).create_time(),
            "command": words,
        }
        self._record.write_text(json.dumps(record), encoding="utf-8")
        _STARTED[self.name] = started
        return True

    def stop(self, within: float = 20) -> None:
        """Ends it, by force when it does not go by itself."""
        process = self.process()
        if process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
            try:
                until(self._ended, f"{self.name} to end", within)
            except TimeoutError:
                process.kill()
                until(self._ended, f"{self.name} to end", within)

    def _ended(self) -> bool:
        child = _STARTED.get(self.name)
        if child is not None:
            child.poll()  # collects it
        return self.process() is None

    def _words(self) -> list[str]:
        return [str(word) for word in self.command]


# Children of this very process: they must be collected when they end.
_STARTED: dict[str, "subprocess.Popen[bytes]"] = {}


def _environment() -> dict[str, str]:
    """What programs need of the environment, and no proxy setting or token of whoever called."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TZ") if name in os.environ}
    return {**kept, "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
