"""Prepare, finish and feedback for the lab: each runs in a process of its own, so that nothing here blocks or breaks with it."""

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from kirzl_lab.grading.logs import end_of
from kirzl_lab.grading.program import GO
from kirzl_lab.grading.records import Score, ToGrade
from kirzl_lab.problems import (
    GradebookAway,
    GradeReplaced,
    GradingBroke,
    GradingOvertaken,
    NotGradable,
    Phrase,
    Problem,
    ResultRefused,
    SubmissionRefused,
)

LIMIT_S: Final = 300
"""For one step, waiting for its turn included."""

KEPT: Final = (
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
)
"""Variables of the lab that a step gets as well, besides those of PostgreSQL's client library."""

PROBLEMS: Final[Mapping[str, type[Problem]]] = {
    kind.__name__: kind for kind in (GradebookAway, GradeReplaced, NotGradable, ResultRefused, SubmissionRefused)
}


async def prepare(of: ToGrade, files: Path, prepared: Path, *, source: Path | None = None) -> str:
    """Make the folder `prepared` from what was handed in, `files`: nbgrader's autograde up to execution. Its log.

    `prepared` must not exist, its parent must. `source` is the folder of the assignment's own files; its notebooks are
    not read. The gradebook must exist and have the assignment; nothing is changed there. Raises `SubmissionRefused`,
    `NotGradable`, `GradebookAway`, `GradingBroke`, each with the end of the log in its field `log`.
    """
    paths = {"files": files, "prepared": prepared, "source": source}
    _done, log = await _step("prepare", of, paths, prepared.parent, _always)
    return log


async def finish(
    of: ToGrade, prepared: Path, executed: Path, autograded: Path, *, still_wanted: Callable[[], Awaitable[bool]]
) -> tuple[Score, str]:
    """Grade what came back, `executed`, of what was sent, `prepared`: the rest of nbgrader's autograde. Score and log.

    Scores go to the gradebook, files to the folder `autograded`, which is replaced. `still_wanted` is asked once
    nobody else can grade this submission until this is over, so an older attempt can be told from the newest there.
    Can be repeated at any time. Raises `GradingOvertaken` when it is not wanted, `ResultRefused` before anything was
    changed, and what `prepare` raises, each with the end of the log in its field `log`.
    """
    paths = {"prepared": prepared, "executed": executed, "autograded": autograded}
    done, log = await _step("finish", of, paths, autograded.parent, still_wanted)
    return Score(**done), log


async def feedback(
    of: ToGrade, graded: Path, pages: Path, *, still_wanted: Callable[[], Awaitable[bool]] | None = None
) -> str:
    """Make the folder `pages`, one in HTML for each notebook of `graded`, nbgrader's `autograded` folder. Its log.

    Scores and comments are those of the gradebook at this moment. `pages` must not exist, its parent must. Raises
    `GradingOvertaken` when it is not wanted any more, `GradeReplaced`, `NotGradable`, `GradebookAway` and
    `GradingBroke`, each with the end of the log in its field `log`.
    """
    _done, log = await _step("feedback", of, {"graded": graded, "pages": pages}, pages.parent, still_wanted or _always)
    return log


async def _always() -> bool:
    return True


async def _step(
    name: str,
    of: ToGrade,
    paths: Mapping[str, Path | None],
    beside: Path,
    still_wanted: Callable[[], Awaitable[bool]],
) -> tuple[dict[str, Any], str]:
    work = await asyncio.to_thread(_workplace, name, beside)
    request = {"of": of.to_json(), "work": str(work / "course")}
    request |= {key: str(path) for key, path in paths.items() if path}
    try:
        answer = await _ask(name, request, work / "log", still_wanted)
        return answer, await asyncio.to_thread(end_of, work / "log")
    except Problem as problem:
        problem.fields["log"] = await asyncio.to_thread(end_of, work / "log")
        raise
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, work, ignore_errors=True))


def _workplace(name: str, beside: Path) -> Path:
    beside.mkdir(parents=True, exist_ok=True)
    work = Path(mkdtemp(prefix=f".{name}-", dir=beside)).absolute()
    (work / "course").mkdir()
    return work


async def _ask(
    name: str, request: Mapping[str, Any], log: Path, still_wanted: Callable[[], Awaitable[bool]]
) -> dict[str, Any]:
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", f"kirzl_lab.grading.{name}"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=log.parent,
            env=environment(os.environ),
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(LIMIT_S):
            return await _talk(process, request, still_wanted)
    except (TimeoutError, OSError, json.JSONDecodeError) as error:
        raise GradingBroke from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())


async def _talk(
    process: asyncio.subprocess.Process, request: Mapping[str, Any], still_wanted: Callable[[], Awaitable[bool]]
) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None  # noqa: S101 - both are pipes, for mypy
    process.stdin.write(json.dumps(request).encode() + b"\n")
    await process.stdin.drain()
    locked = json.loads(await process.stdout.readline())
    if "problem" in locked:
        raise _problem(locked)
    if not await still_wanted():
        raise GradingOvertaken
    process.stdin.write(f"{GO}\n".encode())
    await process.stdin.drain()
    answer = json.loads(await process.stdout.readline())
    if "problem" in answer:
        raise _problem(answer)
    done: dict[str, Any] = answer["done"]
    return done


def _problem(answer: Mapping[str, Any]) -> Problem:
    fields = dict(answer["fields"])
    if "found" in fields:
        fields["found"] = Phrase(**fields["found"])
    return PROBLEMS[answer["problem"]](**fields)


def environment(lab: Mapping[str, str]) -> dict[str, str]:
    """What a step is told: nothing of the lab's own secrets. `alembic` must be found, which nbgrader starts."""
    kept = {name: value for name, value in lab.items() if name in KEPT or name.startswith("PG")}
    return kept | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), lab.get("PATH", os.defpath)])}
