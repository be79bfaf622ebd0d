"""Validate a notebook: run it and tell which of the tests fail that its maker can see.

nbgrader's validator changes directory and environment of its process while the notebook runs, for minutes perhaps: it
has a process of its own, `python -m kirzl_lab.courses.in_server.validating NOTEBOOK`, which prints the answer as JSON.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

LIMIT_S = 600.0
"""nbgrader ends each cell after 30 s unless the notebook's people say otherwise."""

TOO_LONG = "The notebook did not end within ten minutes. Look for a cell that waits for something."
OUTSIDE = "This notebook is not in your own folder."
MISSING = "There is no such notebook here: save it, then validate it again."
BROKEN = "The notebook could not be validated. Restart its kernel, run all cells and look where they stop."
OLD = "This notebook has nbgrader metadata of an old version. Keep a copy of it, then run in a terminal: nbgrader update {name}"
NEW = "This notebook has nbgrader metadata of a newer version than this server knows."


async def validated(root: str, path: str, log: Any) -> dict[str, Any]:
    """The answer for the notebook at `path` below `root`, as nbgrader's page expects it."""
    folder, notebook = await asyncio.to_thread(_found, root, path)
    if not notebook.is_relative_to(folder):
        return _refused(OUTSIDE)
    if not await asyncio.to_thread(notebook.is_file):
        return _refused(MISSING)
    # -P: a file called json.py beside the notebook must not become a module of the validator.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "kirzl_lab.courses.in_server.validating", str(notebook)),
        cwd=notebook.parent,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            printed, said = await process.communicate()
    except TimeoutError:
        return _refused(TOO_LONG)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        answer: dict[str, Any] = json.loads(printed.splitlines()[-1])
    except (ValueError, IndexError):
        log.error("%s could not be validated:\n%s", notebook, said.decode(errors="replace")[-4000:])
        return _refused(BROKEN)
    return answer


def validate(notebook: str) -> dict[str, Any]:
    """The answer, made in this process."""
    from nbgrader.apps import NbGrader  # noqa: PLC0415 - a server imports this module, and no nbgrader
    from nbgrader.nbgraderformat import SchemaTooNewError, SchemaTooOldError  # noqa: PLC0415
    from nbgrader.validator import Validator  # noqa: PLC0415

    app = NbGrader()
    app.load_config_file()
    try:
        return {"success": True, "value": Validator(config=app.config).validate(notebook)}
    except SchemaTooOldError:
        return _refused(OLD.format(name=Path(notebook).name))
    except SchemaTooNewError:
        return _refused(NEW)


def _found(root: str, path: str) -> tuple[Path, Path]:
    folder = Path(root).resolve()
    return folder, (folder / path.lstrip("/")).resolve()


def _refused(words: str) -> dict[str, Any]:
    return {"success": False, "value": words}


if __name__ == "__main__":
    print("\n" + json.dumps(validate(sys.argv[1])))
