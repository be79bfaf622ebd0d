"""`python -m tests.spawning.golden`: write what the API server would be asked for, for people to read and git to keep."""

import asyncio

from tests.spawning.golden import FOLDER, as_text
from tests.spawning.shapes import SHAPES, asked_for


async def main() -> None:
    for old in FOLDER.glob("*.yaml"):
        old.unlink()
    for name, (choice, site) in SHAPES.items():
        FOLDER.joinpath(f"{name}.yaml").write_text(as_text(await asked_for(choice, site)))


if __name__ == "__main__":
    asyncio.run(main())
