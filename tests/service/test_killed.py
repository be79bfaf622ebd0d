"""The service is killed while people hand in; they try again, and nothing is lost or there twice."""

import asyncio
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from kirzl_lab.cli.ports import free_port
from kirzl_lab.courses.receipts import Receipt, verify
from kirzl_lab.store.blob_folder import SPOOL
from tests.service.handed_in import COURSE, archive, release, submit
from tests.service.sample import ASSISTANT, COLLEAGUE, INSTRUCTOR, STUDENT
from tests.service.test_loops import until

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PEOPLE = (STUDENT, COLLEAGUE, ASSISTANT, INSTRUCTOR)
EACH, AT_ONCE, KILLS = 10, 3, 2


class Process:
    """The service, which can be killed and started again on the same address."""

    def __init__(self, folder: Path) -> None:
        self._words = [sys.executable, "-m", "tests.service.serving", str(folder), str(port := free_port())]
        self.url = f"http://127.0.0.1:{port}"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._words, cwd=ROOT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(timeout=20)

    async def answers(self) -> None:
        async with asyncio.timeout(60), httpx.AsyncClient(base_url=self.url) as client:
            while True:
                with suppress(httpx.TransportError):
                    if (await client.get("/services/lab/health")).is_success:
                        return
                assert self._process.poll() is None
                await asyncio.sleep(0.02)


async def hand_in(client: httpx.AsyncClient, body: bytes, key: str, service: Process) -> dict[str, str]:
    """As people's servers do it: the same key until there is an answer."""
    async with asyncio.timeout(120):
        while True:
            with suppress(httpx.TransportError):
                answer = await submit(client, body, key)
                assert answer.status_code in (200, 201), answer.text
                given: dict[str, str] = answer.json()
                return given
            await service.answers()


async def test_killed_again_and_again(courses_template: Path, tmp_path: Path) -> None:
    shutil.copyfile(courses_template, tmp_path / "lab.sqlite")
    work = [
        (who, f"{who}-{number:016}", archive(tmp_path, {"ps1.ipynb": os.urandom(1_000_000)}))
        for number in range(EACH)
        for who in PEOPLE
    ]
    service = Process(tmp_path)
    try:
        await service.answers()
        done: dict[str, dict[str, str]] = {}
        clients = {
            who: httpx.AsyncClient(base_url=service.url, headers={"Authorization": f"Bearer token-{who}"}, timeout=30)
            for who in PEOPLE
        }
        assert (await release(clients[INSTRUCTOR], work[0][2])).status_code == 204
        turns = {who: asyncio.Semaphore(AT_ONCE) for who in PEOPLE}

        async def one(who: str, key: str, body: bytes) -> None:
            async with turns[who]:
                done[key] = await hand_in(clients[who], body, key, service)

        tasks = [asyncio.create_task(one(*each)) for each in work]
        for kill in range(1, KILLS + 1):
            await until(partial(lambda enough: len(done) >= enough, kill * len(work) // (KILLS + 1)), "submissions")
            await asyncio.to_thread(service.kill)
            service.start()
        await asyncio.gather(*tasks)

        keys = (await clients[STUDENT].get("/services/lab/api/receipts/key")).json()
        listed = (await clients[INSTRUCTOR].get(f"{COURSE}/submissions?per_page=200")).json()
        assert listed["total"] == len(work), "lost, or there twice"
        assert {each["id"] for each in listed["submissions"]} == {given["id"] for given in done.values()}
        receipts: dict[str, Receipt] = {key: verify(given["receipt"], keys) for key, given in done.items()}
        for who, key, body in work:
            assert (receipts[key].student, receipts[key].sha256) == (who, sha256(body).hexdigest())
            files = await clients[INSTRUCTOR].get(f"{COURSE}/submissions/{done[key]['id']}/files")
            assert files.content == body
        for client in clients.values():
            await client.aclose()
        whole = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file() and path.parent.name != SPOOL]
        assert all(sha256(path.read_bytes()).hexdigest() == path.name for path in whole), "torn"
    finally:
        service.kill()
