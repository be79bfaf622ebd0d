"""`kirzl-lab catalog apply`: the catalogue into the database of a data folder, whether a lab runs there or not."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from kirzl_lab.catalog.loader import CatalogueMistakes, load
from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.lab import database_url
from kirzl_lab.cli.prepare import apply_to
from kirzl_lab.cli.state import Folder, is_held, read_note
from kirzl_lab.problems import Problem
from kirzl_lab.store.apply import Change
from kirzl_lab.store.migrate import migrate


def changes_of(folder: Folder, hub_config: Path, courses: Path, *, dry_run: bool) -> list[Change]:
    """Apply the catalogue, or with `dry_run` only say what would change. Raises `Stop`."""
    try:
        catalogue = load(hub_config, courses)
    except CatalogueMistakes as found:
        lines = tuple(map(str, found.mistakes))
        raise Stop(Exit.NO, "The catalogue has mistakes, so nothing was applied:", lines) from None
    if dry_run and not (folder.path / "lab.sqlite").exists():
        raise Stop(
            Exit.CANNOT, f"There is no lab in {folder.path} yet to compare with: start one, or leave --dry-run out."
        )
    folder.create()
    note = read_note(folder) if is_held(folder) else None
    demo_url = f"http://localhost:{note.ports['demo']}" if note is not None and note.demo else None
    try:
        migrate(database_url(folder))
        now = datetime.now(UTC)
        return asyncio.run(apply_to(database_url(folder), catalogue, demo_url, now=now, dry_run=dry_run))
    except Problem as problem:
        raise Stop(Exit.CANNOT, problem.text()) from None
