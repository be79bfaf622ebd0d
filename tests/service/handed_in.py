"""What an exchange is filled with in tests: packed assignments, over HTTP as people's servers send them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from kirzl_lab.cli.ports import free_port
from kirzl_lab.store.archives import pack
from tests.service.conftest import Service
from tests.service.sample import INSTRUCTOR, STUDENT

COURSE = "/services/lab/api/courses/ml-101"
PS1 = f"{COURSE}/assignments/ps1"
GZIP = {"Content-Type": "application/gzip"}
KEY = "0123456789abcdef"


def archive(folder: Path, files: dict[str, bytes | str]) -> bytes:
    """The files, packed."""
    made = folder / f"packed-{len(list(folder.iterdir()))}"
    for name, content in files.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(content.encode() if isinstance(content, str) else content)
    packed = made.with_suffix(".tar.gz")
    pack(made, packed)
    return packed.read_bytes()


async def release(client: httpx.AsyncClient, body: bytes, query: str = "") -> httpx.Response:
    """Release `ps1`."""
    return await client.put(f"{PS1}/release{query}", content=body, headers=GZIP)


async def submit(client: httpx.AsyncClient, body: bytes, key: str = KEY) -> httpx.Response:
    """Hand `ps1` in."""
    return await client.post(f"{PS1}/submissions", content=body, headers=GZIP | {"Idempotency-Key": key})


async def fill_exchange(service: Service, folder: Path) -> dict[str, Any]:
    """Release `ps1`, with its source, and let `STUDENT` hand it in; what they were answered."""
    body = archive(folder, {"ps1.ipynb": "{}"})
    async with service.with_token(INSTRUCTOR) as teacher, service.with_token(STUDENT) as student:
        assert (await teacher.put(f"{PS1}/source", content=body, headers=GZIP)).status_code == 204
        assert (await release(teacher, body)).status_code == 204
        answer = await submit(student, archive(folder, {"ps1.ipynb": '{"mine": 1}'}))
        assert answer.status_code == 201, answer.text
        submission: dict[str, Any] = answer.json()
        return submission


@asynccontextmanager
async def listening(service: Service) -> AsyncIterator[str]:
    """The application on a loopback port, for what only a real connection shows."""
    server = uvicorn.Server(
        uvicorn.Config(service.app, host="127.0.0.1", port=free_port(), log_level="warning", lifespan="off")
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done(), "the service did not start"
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.config.port}"
    finally:
        server.should_exit = True
        await serving


def kept_files(service: Service) -> set[str]:
    """Every file of the blob store and its drafts, by name."""
    return {path.name for path in Path(service.state.settings.blobs).rglob("*") if path.is_file()}
