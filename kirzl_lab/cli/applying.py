"""`kirzl-lab catalog apply`: the catalogue into the database of a data folder, whether a lab runs there or not."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic.script import ScriptDirectory

from kirzl_lab.catalog.loader import CatalogueMistakes, load
from kirzl_lab.catalog.models import Catalogue
from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.lab import database_url
from kirzl_lab.cli.prepare import apply_to, refuse_damaged
from kirzl_lab.cli.state import Folder, is_held, read_note
from kirzl_lab.problems import NewerDatabase, Problem
from kirzl_lab.store.apply import Change
from kirzl_lab.store.migrate import FOLDER as MIGRATIONS
from kirzl_lab.store.migrate import migrate


def changes_of(folder: Folder, hub_config: Path, courses: Path, *, dry_run: bool) -> list[Change]:
    """Apply the catalogue, or with `dry_run` only say what would change. Raises `Stop`.

    Where there is no lab yet, a dry run applies it to a folder that is thrown away: everything is new.
    """
    try:
        catalogue = load(hub_config, courses)
    except CatalogueMistakes as found:
        lines = tuple(map(str, found.mistakes))
        details = {"mistakes": [mistake.as_json() for mistake in found.mistakes]}
        raise Stop(Exit.NO, "The catalogue has mistakes, so nothing was applied:", lines, details) from None
    if dry_run and not (folder.path / "lab.sqlite").exists():
        with TemporaryDirectory() as empty:
            return _changes(Folder.at(Path(empty)), catalogue, dry_run=False)
    if not dry_run:
        folder.create()
    return _changes(folder, catalogue, dry_run=dry_run)


def _changes(folder: Folder, catalogue: Catalogue, *, dry_run: bool) -> list[Change]:
    note = read_note(folder) if is_held(folder) else None
    demo_url = f"http://localhost:{note.ports['demo']}" if note is not None and note.demo else None
    try:
        refuse_damaged(folder.path)
        if dry_run:
            _refuse_older(folder.path / "lab.sqlite")
        else:
            migrate(database_url(folder))
        now = datetime.now(UTC)
        return asyncio.run(apply_to(database_url(folder), catalogue, demo_url, now=now, dry_run=dry_run))
    except Problem as problem:
        raise Stop(Exit.CANNOT, problem.text()) from None
    except ValueError as damaged:
        raise Stop(Exit.CANNOT, str(damaged)) from None


def _refuse_older(file: Path) -> None:
    """Raise `Stop` or `NewerDatabase` unless the database is at the step of this version of the lab. Changes nothing."""
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            found = {step for (step,) in connection.execute("SELECT version_num FROM alembic_version")}
        except sqlite3.OperationalError:
            found = set()  # not a table in it yet
    scripts = ScriptDirectory(str(MIGRATIONS))
    if found == set(scripts.get_heads()):
        return
    if unknown := sorted(found - {script.revision for script in scripts.walk_revisions()}):
        raise NewerDatabase(step=", ".join(unknown))
    raise Stop(
        Exit.CANNOT,
        f"The database in {file} is of an older version of the lab: start the lab once, or leave --dry-run out.",
    )
