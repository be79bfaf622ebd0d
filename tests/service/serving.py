"""`python -m tests.service.serving FOLDER PORT`: the service as a process, on the lab database in a folder."""

import asyncio
import sys
from pathlib import Path

import uvicorn

from kirzl_lab.store.database import Store
from tests.service.conftest import opened_service


async def serve(folder: Path, port: int) -> None:
    """Serve until the process ends."""
    store = Store(f"sqlite+aiosqlite:///{folder / 'lab.sqlite'}")
    async with opened_service(folder, store) as service:
        config = uvicorn.Config(service.app, host="127.0.0.1", port=port, log_level="warning", lifespan="off")
        await uvicorn.Server(config).serve()
    await store.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
