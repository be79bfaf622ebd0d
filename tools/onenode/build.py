"""Builds the programs that are missing: `python -m tools.onenode.build [PROGRAM ...]`.

A program's folder in the cache is named after the content of its Go module, how it is built and the Go version, so a
folder that is there is right and never changes. It appears by a rename when all of it is written: a build that is
killed leaves a `.partial-` folder, which the next one removes.
"""

# ruff: noqa: S603, S607 - it starts the go command of the machine, which is what it is for

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path

import psutil

from tools.onenode.paths import cache as cache_folder
from tools.onenode.programs import BY_NAME, PROGRAMS, Program

MEMORY_OF_A_BUILD = 4 << 30  # bytes; linking the kubelet takes most


class BuildError(Exception):
    """A program could not be built; the message says which and shows the end of its log."""


@cache
def go_version() -> str:
    """The version of the Go compiler, such as `go1.26.8`; raises `BuildError` where there is none."""
    if shutil.which("go") is None:
        raise BuildError("Go is missing: install Go 1.26 or newer and put it on the PATH.")
    return _go(["env", "GOVERSION"], Path.cwd()).strip()


def folder_of(program: Program) -> Path:
    """Where the program is, or will be once it is built."""
    digest = hashlib.sha256()
    for file in sorted(path for path in program.folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(program.folder)}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    how = [sorted(program.commands.items()), sorted(program.copies.items()), program.linker_flags, program.tags]
    digest.update(json.dumps([how, go_version()]).encode())
    return cache_folder() / f"{program.name}-{program.version}-{digest.hexdigest()[:16]}"


def binary(command: str) -> Path:
    """The file of a built command, such as `kubectl`; raises `KeyError` for a command that nobody builds."""
    return _folder_of_command(command) / command


@cache
def _folder_of_command(command: str) -> Path:
    owner = {name: program for program in PROGRAMS for name in program.commands}
    return folder_of(owner[command])


def missing(programs: Sequence[Program] = PROGRAMS) -> list[Program]:
    """Those of the programs that are not built yet, in the order given."""
    return [program for program in programs if not folder_of(program).is_dir()]


def build(programs: Sequence[Program] = PROGRAMS) -> None:
    """Builds what is missing, at once as far as memory allows; raises `BuildError` for the first that cannot be."""
    wanted = missing(programs)
    if not wanted:
        return
    cache_folder().mkdir(parents=True, exist_ok=True)
    _remove_partials()
    at_once = max(1, min(os.cpu_count() or 1, psutil.virtual_memory().available // MEMORY_OF_A_BUILD))
    progress = _Progress(wanted)
    with ThreadPoolExecutor(at_once) as pool:
        futures = {pool.submit(_build_one, program, progress): program for program in wanted}
        try:
            _watch(futures, progress)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _watch(futures: dict["Future[None]", Program], progress: "_Progress") -> None:
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=1, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
            progress.finished(futures[future])
        progress.show()


def _build_one(program: Program, progress: "_Progress") -> None:
    target = folder_of(program)
    with _lock(target):
        if target.is_dir():  # somebody else built it while we waited
            return
        progress.started(program)
        partial = Path(tempfile.mkdtemp(prefix=f".partial-{os.getpid()}-", dir=cache_folder()))
        log = cache_folder() / f"{program.name}.log"
        _compile(program, partial, log)
        _copy(program, partial)
        partial.chmod(0o755)
        partial.rename(target)


def _compile(program: Program, into: Path, log: Path) -> None:
    shared = ["-buildvcs=false", "-trimpath", "-ldflags", program.linker_flags, "-tags", ",".join(program.tags)]
    # One command gets its name from us; several are built in one go and are named after their packages.
    output = into / next(iter(program.commands)) if len(program.commands) == 1 else f"{into}/"
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            ["go", "build", *shared, "-o", output, *program.commands.values()],
            cwd=program.folder,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"},
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        end = "\n".join(log.read_text(encoding="utf-8").splitlines()[-20:])
        raise BuildError(f"{program.name} {program.version} could not be built:\n{end}")


def _copy(program: Program, into: Path) -> None:
    """Files of the module that are needed as well, such as a chart; the module's folder is read-only, the copy not."""
    if not program.copies:
        return
    module = Path(_go(["list", "-m", "-f", "{{.Dir}}", program.requires], program.folder).strip())
    for name, source in program.copies.items():
        shutil.copytree(module / source, into / name, copy_function=shutil.copyfile)
        for folder in [into / name, *(path for path in (into / name).rglob("*") if path.is_dir())]:
            folder.chmod(0o755)


def _go(arguments: list[str], folder: Path) -> str:
    return subprocess.run(["go", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def _lock(target: Path) -> Iterator[None]:
    with (target.parent / f".lock-{target.name}").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_partials() -> None:
    for partial in cache_folder().glob(".partial-*"):
        pid = int(partial.name.split("-")[1])
        if pid != os.getpid() and not psutil.pid_exists(pid):
            shutil.rmtree(partial, ignore_errors=True)


class _Progress:
    """One line on a terminal; elsewhere one for each change and each minute."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._expected = sum(program.expected for program in programs)
        self._begin = time.monotonic()
        self._running: dict[str, float] = {}
        self._done = 0
        self._all = len(programs)
        self._shown = ("", 0.0)

    def started(self, program: Program) -> None:
        self._running[program.name] = time.monotonic()

    def finished(self, program: Program) -> None:
        self._running.pop(program.name, None)
        self._done += 1

    def show(self) -> None:
        now = time.monotonic()
        doing = ", ".join(
            f"{name} {_clock(now - since)} of about {_clock(BY_NAME[name].expected)}"
            for name, since in sorted(self._running.items())
        )
        head = f"tools: {self._done} of {self._all} built"
        line = f"{head} after {_clock(now - self._begin)} of about {_clock(self._expected)}; {doing or 'done'}"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{line}" + ("" if self._running else "\n"))
            sys.stderr.flush()
            return
        state = f"{head} {sorted(self._running)}"
        if state != self._shown[0] or now - self._shown[1] >= 60:
            print(line, file=sys.stderr, flush=True)
            self._shown = (state, now)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def main(names: Sequence[str]) -> int:
    """Builds the programs of these names, or all; returns the exit status."""
    try:
        unknown = [name for name in names if name not in BY_NAME]
        if unknown:
            raise BuildError(f"No such program: {', '.join(unknown)}. There are: {', '.join(BY_NAME)}.")
        build([BY_NAME[name] for name in names] or PROGRAMS)
    except BuildError as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
