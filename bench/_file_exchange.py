"""nbgrader's own exchange, a folder that all students write to: what `submit.py` compares with. Not a bench itself.

Each student calls nbgrader's `ExchangeSubmit` on a folder of their own, without the second or two that its command
takes to start. It gives no receipt; a submission counts when the call has returned.
"""

import asyncio
import hashlib
import multiprocessing
import random
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench._figures import spread
from tests.service.crowd import ASSIGNMENT, COURSE, content, student

AT_ONCE = 4
"""Students who submit in the same moment: it is their processor and the disk that they wait for."""


def measured(students: int, within_s: float) -> dict[str, object]:
    """Figures of so many students who submit within that time."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("inbound", "outbound"):
            (root / "exchange" / COURSE / name).mkdir(parents=True)
        (root / "exchange" / COURSE / "inbound").chmod(0o733)  # as `nbgrader release_assignment` has it
        _write(root / "exchange" / COURSE / "outbound" / ASSIGNMENT, b"")
        for number in range(students):
            _write(root / "homes" / student(number) / ASSIGNMENT, content(number))
        with ProcessPoolExecutor(AT_ONCE, multiprocessing.get_context("spawn")) as pool:
            list(pool.map(_ready, range(AT_ONCE)))
            times = asyncio.run(_all(pool, root, students, within_s))
        found = Counter(
            hashlib.sha256(file.read_bytes()).digest()
            for file in (root / "exchange" / COURSE / "inbound").glob("*/data.bin")
        )
    there = [found[hashlib.sha256(content(number)).digest()] for number in range(students)]
    return {
        "lost": sum(times == 0 for times in there),
        "doubled": sum(times > 1 for times in there),
        **spread(times),
    }


async def _all(pool: ProcessPoolExecutor, root: Path, students: int, within_s: float) -> list[float]:
    loop, chance = asyncio.get_running_loop(), random.Random(students)

    async def one(number: int, wait_s: float) -> float:
        wanted = loop.time() + wait_s
        await asyncio.sleep(wait_s)
        await loop.run_in_executor(pool, _submit, root, number)
        return loop.time() - wanted

    return await asyncio.gather(*(one(number, chance.uniform(0, within_s)) for number in range(students)))


def _ready(_: int) -> None:
    from nbgrader.exchange.default import ExchangeSubmit  # noqa: F401, PLC0415 - takes a second, once a process


def _submit(root: Path, number: int) -> None:
    from nbgrader.auth import Authenticator  # noqa: PLC0415
    from nbgrader.coursedir import CourseDirectory  # noqa: PLC0415 - as above
    from nbgrader.exchange.default import ExchangeSubmit  # noqa: PLC0415
    from traitlets.config import Config  # noqa: PLC0415

    home = root / "homes" / student(number)
    config = Config()
    config.CourseDirectory.course_id = COURSE
    config.CourseDirectory.root = str(home)
    config.CourseDirectory.assignment_id = ASSIGNMENT
    config.Exchange.root = str(root / "exchange")
    config.Exchange.assignment_dir = str(home)
    config.Exchange.cache = str(home / "cache")
    who = Authenticator(config=config)
    ExchangeSubmit(coursedir=CourseDirectory(config=config), authenticator=who, config=config).start()


def _write(folder: Path, data: bytes) -> None:
    folder.mkdir(parents=True)
    (folder / "sheet-1.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    (folder / "data.bin").write_bytes(data)
