"""`python -m tests.spawning.golden`: write what the API server would be asked for, for people to read and git to keep."""

import asyncio

from tests.spawning.golden import ALL, FOLDER, as_differences, as_text
from tests.spawning.shapes import KINDS, SHAPES, all_of, asked_for


async def main() -> None:
    for old in FOLDER.rglob("*.yaml"):
        old.unlink()
    for name, (choice, site) in SHAPES.items():
        FOLDER.joinpath(f"{name}.yaml").write_text(as_text(await asked_for(choice, site)))
    ALL.mkdir(exist_ok=True)
    for kind in KINDS:
        asked = {name: await asked_for(choice) for name, choice in all_of(kind).items()}
        ALL.joinpath(f"{kind}.yaml").write_text(as_differences(asked))


if __name__ == "__main__":
    asyncio.run(main())
