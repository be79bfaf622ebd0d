"""ngshare, nbgrader's exchange as a service on JupyterHub: what `submit.py` compares with. Not a bench itself.

Its own server with its own SQLite, asked as its own client asks it, for the same hub as ours. Its client tries once: a
student whom it refuses, or whom it lets wait for longer than `PATIENCE_S`, has `failed`. When somebody has, the next
smaller class is tried, until nobody has. `lost` are students whom it told that all was well.
"""

import asyncio
import base64
import hashlib
import json
import os
import random
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from bench._figures import spread
from kirzl_lab.cli.ports import free_port
from tests.service.crowd import ASSIGNMENT, COURSE, TEACHER, content, student, token
from tests.service.fake_hub import OWN_TOKEN, FakeHub, on_loopback
from tests.support.running_lab import ROOT
from tests.support.waiting import wait_until

PYTHON = ROOT / ".venv" / "ngshare" / "bin" / "python"
PREFIX = "/services/ngshare/"
PATIENCE_S = 60
SMALLER = (1000, 300, 100, 30)
# By itself it listens on every network.
PROGRAM = """
from tornado.httpserver import HTTPServer
listen = HTTPServer.listen
HTTPServer.listen = lambda self, port, address: listen(self, port, "127.0.0.1")
from ngshare.ngshare import main
main()
"""


def measured(students: int, within_s: float) -> dict[str, object]:
    """Figures of the largest class that it serves."""
    if not PYTHON.exists():
        return {"not_run": "its environment is missing: `make bench` makes it"}
    tried: dict[str, object] = {}
    for number in [students, *(each for each in SMALLER if each < students)]:
        figures = _tried(number, within_s)
        if not figures["failed"]:
            return {"students": number, **figures, "too_many": tried}
        tried[str(number)] = figures
        print(f"  ngshare, {number} students: {figures}", flush=True)
    return {"not_run": "it failed at every load", "too_many": tried}


def _tried(students: int, within_s: float) -> dict[str, object]:
    hub = FakeHub()
    for name in [TEACHER, *map(student, range(students))]:
        hub.give_token(name, token(name))
    with tempfile.TemporaryDirectory() as folder, on_loopback(hub) as api:
        port = free_port()
        told = {
            "PATH": os.environ["PATH"],
            "JUPYTERHUB_API_URL": api,
            "JUPYTERHUB_API_TOKEN": OWN_TOKEN,
            "JUPYTERHUB_CLIENT_ID": "service-ngshare",
            "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}",
        }
        where = ["--database", f"sqlite:///{folder}/ngshare.db", "--storage", f"{folder}/files", "--admins", TEACHER]
        log = Path(folder) / "log"
        with log.open("wb") as output:
            server = subprocess.Popen([PYTHON, "-c", PROGRAM, *where], env=told, stdout=output, stderr=output)
        try:
            wait_until(lambda: _answers(port), "ngshare", 60)
            return asyncio.run(_measured(f"http://127.0.0.1:{port}{PREFIX}", students, within_s))
        finally:
            server.kill()
            server.wait(timeout=30)


async def _measured(url: str, students: int, within_s: float) -> dict[str, object]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S, limits=limits, trust_env=False) as client:
        people = [{"username": student(n), "first_name": "", "last_name": "", "email": ""} for n in range(students)]
        await _ask(client, TEACHER, f"course/{COURSE}", instructors=json.dumps([TEACHER]))
        try:
            await _ask(client, TEACHER, f"students/{COURSE}", students=json.dumps(people))
        except httpx.TimeoutException:
            return {"failed": students, "why": f"it did not take the roster within {PATIENCE_S} s"}
        await _ask(client, TEACHER, f"assignment/{COURSE}/{ASSIGNMENT}", files=_files({"sheet-1.ipynb": b"{}"}))
        loop, chance = asyncio.get_running_loop(), random.Random(students)

        async def one(number: int, wait_s: float) -> float | None:
            wanted = loop.time() + wait_s
            await asyncio.sleep(wait_s)
            files = _files({"data.bin": content(number), "sheet-1.ipynb": b'{"cells": []}'})
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await _ask(client, student(number), f"submission/{COURSE}/{ASSIGNMENT}", files=files)
            except (httpx.HTTPError, TimeoutError):
                return None
            return loop.time() - wanted

        times = await asyncio.gather(*(one(number, chance.uniform(0, within_s)) for number in range(students)))
        done = [number for number, taken in enumerate(times) if taken is not None]
        if len(done) < students:
            return {"failed": students - len(done), **spread([taken for taken in times if taken is not None])}
        listed = await _ask(client, TEACHER, f"submissions/{COURSE}/{ASSIGNMENT}")
        names = [each["student_id"] for each in listed["submissions"]]
        lost = [number for number in done if not await _is_there(client, number)]
        return {
            "failed": 0,
            "lost": len(lost),
            "doubled": len(names) - len(set(names)),
            **spread([taken for taken in times if taken is not None]),
        }


async def _is_there(client: httpx.AsyncClient, number: int) -> bool:
    try:
        answer = await _ask(client, TEACHER, f"submission/{COURSE}/{ASSIGNMENT}/{student(number)}")
    except httpx.HTTPStatusError:
        return False
    kept = {each["path"]: base64.b64decode(each["content"]) for each in answer["files"]}
    return kept.get("data.bin") == content(number)


async def _ask(client: httpx.AsyncClient, who: str, path: str, **form: str) -> dict[str, Any]:
    headers = {"Authorization": f"token {token(who)}"}
    if form:
        body = "&".join(f"{name}={_quoted(value)}" for name, value in form.items())
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await client.post(path, content=body.encode("ascii"), headers=headers | kind)
    else:
        answer = await client.get(path, headers=headers)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def _quoted(value: str) -> str:
    """As `urllib.parse.quote` does it, which takes so long for megabytes that the times would be ours."""
    for character in '%+/=&#\\"{}[]:, ':
        value = value.replace(character, quote(character, safe=""))
    return value


def _files(files: dict[str, bytes]) -> str:
    return json.dumps(
        [
            {
                "path": path,
                "content": base64.encodebytes(data).decode(),
                "checksum": hashlib.md5(data, usedforsecurity=False).hexdigest(),
            }
            for path, data in files.items()
        ]
    )


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False
