"""What an exchange is filled with in tests: packed assignments, over HTTP as people's servers send them."""

from pathlib import Path
from typing import Any

import httpx

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
