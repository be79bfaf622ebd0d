"""What happens before the hub starts: check the catalogue, migrate the lab database, apply the catalogue to it.

Runs as a process of its own (`python -m kirzl_lab.cli.prepare`), so that the supervisor, which lives as long as the
lab, need not carry what only this needs. Exit code 1: mistakes in the catalogue, each on a line of its own. Nothing
else ends with it: in a cluster every other end is tried again.
"""

import asyncio
import os
import sqlite3
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import OperationalError

from kirzl_lab.catalog.loader import CatalogueMistakes, load
from kirzl_lab.catalog.models import Catalogue
from kirzl_lab.cli.exits import Exit
from kirzl_lab.cli.lab import NOBODY
from kirzl_lab.federation.institutions import login_institutions
from kirzl_lab.problems import Problem
from kirzl_lab.settings import Settings
from kirzl_lab.spawning.limits import forget_leftovers
from kirzl_lab.spawning.site import site_of
from kirzl_lab.store.apply import Change, apply
from kirzl_lab.store.database import Store
from kirzl_lab.store.migrate import migrate

DATABASE_PATIENCE_S = 60


def issuers(catalogue: Catalogue, demo_url: str | None) -> dict[str, str]:
    """The issuer of every institution that people can log in with now."""
    return {
        name: f"{demo_url}/{name}" if found.demo else str(found.issuer)
        for name, found in catalogue.institutions.items()
        if demo_url or not found.demo
    }


async def apply_to(
    database_url: str, catalogue: Catalogue, demo_url: str | None, *, now: datetime, dry_run: bool = False
) -> list[Change]:
    """Bring the catalogue into the database at that address, or with `dry_run` only tell the difference."""
    store = Store(database_url)
    try:
        return await apply(store, catalogue, issuers(catalogue, demo_url), now=now, dry_run=dry_run)
    finally:
        await store.close()


def told(changes: Sequence[Change]) -> list[str]:
    """The changes as lines for a log: rows of rosters are counted, since they name people."""
    rows = Counter((change.action, change.space) for change in changes if "claim" in change.detail)
    return [
        *(str(change) for change in changes if "claim" not in change.detail),
        *(f"{action}: {number} of {space or 'the lab'}" for (action, space), number in rows.items()),
    ]


def refuse_damaged(data: Path) -> None:
    """Raise `ValueError`, in plain words, when a database in the data folder cannot be read."""
    for name in ("lab.sqlite", "hub.sqlite"):
        file = data / name
        if file.exists() and _is_damaged(file):
            raise ValueError(f"The database in {file} is damaged: put back a copy of it from your backup.")


def _is_damaged(file: Path) -> bool:
    if not file.is_file():
        return True
    try:
        with closing(sqlite3.connect(file)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",))
    except sqlite3.OperationalError:
        return False  # locked, or no right to read: whoever uses it next says so
    except sqlite3.DatabaseError:
        return True


def migrate_when_it_answers(url: str, *, pause: Callable[[float], None] = time.sleep) -> None:
    """Migrate; a PostgreSQL that starts at the same time as we do gets `DATABASE_PATIENCE_S` to answer."""
    for left in range(DATABASE_PATIENCE_S, -1, -1):
        try:
            migrate(url)
            return
        except OperationalError as error:
            if left == 0 or url.startswith("sqlite"):
                raise
            if left % 10 == 0:
                print(f"The lab database does not answer yet ({said_by(error)}).", flush=True)
            pause(1)


def said_by(error: OperationalError) -> str:
    """What the database or its driver said, in one line."""
    return (str(error.orig).strip().splitlines() or [type(error.orig).__name__])[0]


def prepare(settings: Settings) -> int:
    """Do it, and say what changed or what is wrong. The exit code."""
    try:
        catalogue = load(settings.hub_config, settings.courses)
        institutions = login_institutions(
            catalogue.institutions, settings.demo_url, os.environ, public_url=settings.public_url
        )
        refuse_damaged(settings.data)
        if site_of() is None:
            forget_leftovers(settings.data)
        migrate_when_it_answers(settings.database_url)
        now = datetime.now(UTC)
        changes = asyncio.run(apply_to(settings.database_url, catalogue, settings.demo_url, now=now))
    except CatalogueMistakes as mistakes:
        print(mistakes)
        return Exit.NO
    except (Problem, ValueError) as problem:
        print(problem)
        return Exit.CANNOT
    except OperationalError as error:
        print(f"The lab database does not answer ({said_by(error)}): look after it, then try again.")
        return Exit.FELL_OVER
    except Exception:  # a mistake of the lab: Python would end with 1, as mistakes in the catalogue do
        traceback.print_exc()
        return Exit.FELL_OVER
    print("\n".join(told(changes)) or "The lab knows this catalogue already.")
    if not institutions:
        print(NOBODY)
    return Exit.OK


if __name__ == "__main__":
    sys.exit(prepare(Settings.from_environment()))
