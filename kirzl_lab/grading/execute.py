"""`python -P -m kirzl_lab.grading.execute IN OUT`: run the notebooks of a prepared submission. Hostile code runs here.

nbgrader's Execute step and nothing else: no gradebook, no credential, no address of the lab. Copies the folder IN to
OUT and runs its notebooks there one after the other, each in a kernel of its own that stands in OUT, as nbgrader does.
Ends with 0 when every cell was run or timed out, else with a status of `outcomes.EXIT_STATUS`.

It shares a user with the code that it runs, so whatever it leaves is checked by who takes it (`returned.py`), and
its limits are those of whoever is not hostile; a pod, or `laptop.py`, holds the others.
"""

import argparse
import contextlib
import logging
import os
import resource
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

# jsonschema would load a grammar of web addresses for 1.7 s; no schema of a notebook has such addresses.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

import psutil
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert.exporters import NotebookExporter
from nbgrader.preprocessors import Execute
from traitlets.config import Config

from kirzl_lab.grading.outcomes import EXIT_STATUS, Limits, Reason


def main(arguments: Sequence[str] | None = None) -> int:
    """Run IN in OUT; the status to end with."""
    given = _parse(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    lay_out(given.prepared, given.executed)
    _limit_this_process(given)
    signal.signal(signal.SIGALRM, lambda *_: end(Reason.TIME, f"not done within {given.total_s} s"))
    signal.alarm(given.total_s)
    try:
        run(given.prepared, given.executed, given.cell_s, given.output_bytes)
    except CellTimeoutError as error:  # nbgrader gives up as well where a kernel does not even tell its outputs
        end(Reason.TIME, str(error))
    except DeadKernelError as error:
        end(Reason.KILLED, str(error))
    except MemoryError:  # here, where outputs are held; in a kernel it is an error of its cell
        end(Reason.MEMORY, "its outputs do not fit into memory")
    signal.alarm(0)
    return 0


def lay_out(prepared: Path, executed: Path) -> None:
    """Make the folder `executed`: `prepared` without its notebooks, so that the code of one cannot find the next."""
    shutil.copytree(prepared, executed, symlinks=True, ignore=lambda here, names: _notebooks(prepared, here, names))


def _notebooks(prepared: Path, here: str, names: list[str]) -> set[str]:
    return {name for name in names if Path(here) == prepared and name.endswith(".ipynb")}


def run(prepared: Path, executed: Path, cell_s: int, output_bytes: int) -> None:
    """Run all notebooks of the folder `prepared` in the folder `executed`, which is laid out.

    Raises what nbclient raises when a kernel ends by itself or does not answer. `output_bytes` ends the process.
    """
    config = Config()
    config.Exporter.default_preprocessors = []
    config.Execute.timeout = cell_s
    exporter = NotebookExporter(config=config)
    exporter.register_preprocessor(_bounded(output_bytes))
    os.environ["NBGRADER_EXECUTION"] = "autograde"
    for one in sorted(prepared.glob("*.ipynb")):
        file = executed / one.name
        _put(file, one.read_text("utf-8"))
        notebook, _resources = exporter.from_filename(str(file))
        _put(file, notebook)


def end(reason: Reason, why: str) -> NoReturn:
    """Say why, end what this process started, and end it at once."""
    sys.stderr.write(f"{reason}: {why}\n")
    sys.stderr.flush()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    os._exit(EXIT_STATUS[reason])


def _bounded(output_bytes: int) -> type[Execute]:
    """nbgrader's step, which ends this process when cells write more than `output_bytes`: it would hold all of it."""
    written = 0

    class Bounded(Execute):  # type: ignore[misc] # nbgrader has no types
        def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
            nonlocal written
            written += len(str(msg["content"]))
            if written > output_bytes:
                end(Reason.OUTPUT, f"cells wrote more than {output_bytes} bytes")
            return super().process_message(msg, cell, cell_index)

    return Bounded


def _put(file: Path, text: str) -> None:
    """Write the file anew: what is there under its name may be a link that the code made."""
    draft = file.with_name(f".{file.name}.draft")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    with draft.open("x", encoding="utf-8") as stream:
        stream.write(text)
    draft.replace(file)


def _limit_this_process(given: argparse.Namespace) -> None:
    """Limits that kernels inherit and cannot raise again (but root can)."""
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: given.cpu_s,
        resource.RLIMIT_DATA: given.memory_bytes,
        resource.RLIMIT_FSIZE: given.output_bytes,
        resource.RLIMIT_NOFILE: given.open_files,
        resource.RLIMIT_NPROC: given.processes,
    }
    for kind, value in wanted.items():
        if value is not None:
            _soft, hard = resource.getrlimit(kind)
            ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (ceiling, ceiling))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    usual = Limits()
    parser = argparse.ArgumentParser(prog="kirzl_lab.grading.execute")
    parser.add_argument("prepared", type=Path, metavar="IN")
    parser.add_argument("executed", type=Path, metavar="OUT")
    parser.add_argument("--cell-s", type=int, default=usual.cell_s)
    parser.add_argument("--total-s", type=int, default=usual.total_s)
    parser.add_argument("--output-bytes", type=int, default=usual.output_bytes)
    parser.add_argument("--cpu-s", type=int, help="for each process; a container has limits of its own, as for these")
    parser.add_argument("--memory-bytes", type=int)
    parser.add_argument("--processes", type=int, help="of the user, whoever started them")
    parser.add_argument("--open-files", type=int)
    given = parser.parse_args(arguments)
    given.prepared, given.executed = given.prepared.absolute(), given.executed.absolute()
    return given


if __name__ == "__main__":
    sys.exit(main())
