"""A class hands in 2 MB each within a minute, ours beside nbgrader's file exchange and ngshare, in one run.

Ours: the lab service in one process, over real HTTP, on SQLite and a folder; with `--postgres` also on PostgreSQL and
an S3 server. Every receipt is verified and every byte read back: `lost` and `doubled` are students. Times are from the
moment that a student wants to hand in until they have a receipt; moments are spread at random. The peers get the same
content at the same moments: see `_file_exchange.py` and `_ngshare.py`. The last line is one JSON object.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from bench import _file_exchange, _ngshare
from bench._figures import spread
from kirzl_lab.settings import Settings
from kirzl_lab.store.blob_store import open_blobs
from kirzl_lab.store.blobs import Blobs
from kirzl_lab.store.migrate import migrate
from tests.service.crowd import HandedIn, all_hand_in, fill, release, tally
from tests.service.fake_hub import FakeHub, on_loopback
from tests.service.running import RunningService, running, settings_in
from tests.support.postgres import running_postgres
from tests.support.s3 import running_s3

LIMIT_S = 600


def ours(students: int, within_s: float, *, postgres: bool) -> dict[str, object]:
    """Figures of the lab service."""
    hub = FakeHub()
    with (
        tempfile.TemporaryDirectory() as folder,
        on_loopback(hub) as api,
        _stores(Path(folder), postgres) as (settings, blobs, more),
    ):
        migrate(settings.database_url)
        asyncio.run(fill(settings, hub, students))
        with running(RunningService(settings, api, Path(folder) / "log", more)) as service:
            return asyncio.run(_measured(service, blobs, students, within_s))


async def _measured(service: RunningService, blobs: Blobs, students: int, within_s: float) -> dict[str, object]:
    await release(service.url)
    before = psutil.Process(service.pid).cpu_times()
    had: list[HandedIn] = []
    told = asyncio.create_task(_tell(had, students))
    await all_hand_in(service.url, students, within_s, had, LIMIT_S)
    told.cancel()
    used = psutil.Process(service.pid).cpu_times()
    peak = round(service.peak_mib)
    found = await tally(service.url, blobs, students, had)
    return {
        "lost": len(found.lost),
        "doubled": len(found.doubled),
        **spread([each.seconds for each in had]),
        "again": sum(each.tries > 1 for each in had),
        "cpu_s": round(used.user + used.system - before.user - before.system, 1),
        "service_rss_mib": peak,
    }


async def _tell(had: list[HandedIn], students: int) -> None:
    while True:
        await asyncio.sleep(10)
        print(f"  {len(had)} of {students} have a receipt", flush=True)


@contextmanager
def _stores(folder: Path, postgres: bool) -> Iterator[tuple[Settings, Blobs, Mapping[str, str]]]:
    """Settings for a lab database and a blob store, that store, and the variables that go with them."""
    if not postgres:
        settings = settings_in(folder, f"sqlite+aiosqlite:///{folder / 'lab.sqlite'}")
        yield settings, open_blobs(settings), {}
        return
    with ExitStack() as stack:
        database = stack.enter_context(running_postgres())
        s3 = stack.enter_context(running_s3())
        url = database.url(database.create())
        settings = settings_in(folder, url, f"s3://{s3.bucket()}/lab")
        os.environ.update(s3.environment)
        yield settings, open_blobs(settings), s3.environment


def main() -> None:
    """Run ours and the peers, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=1000)
    parser.add_argument("--within", type=float, default=60, help="seconds in which all of them want to hand in")
    parser.add_argument("--postgres", action="store_true", help="ours on PostgreSQL and S3, too: Debian's, and Go's")
    chosen = parser.parse_args()
    shape = {"students": chosen.students, "within_s": chosen.within}
    print("kirzl-lab on SQLite and a folder", flush=True)
    mine = ours(chosen.students, chosen.within, postgres=False)
    print(" ", mine, flush=True)
    cluster: dict[str, dict[str, object]] = {}
    if chosen.postgres:
        print("kirzl-lab on PostgreSQL and S3", flush=True)
        cluster = {"postgres": ours(chosen.students, chosen.within, postgres=True)}
        print(" ", cluster["postgres"], flush=True)
    print("nbgrader's file exchange", flush=True)
    peers = {"file_exchange": _file_exchange.measured(chosen.students, chosen.within)}
    print(" ", peers["file_exchange"], flush=True)
    print("ngshare", flush=True)
    peers["ngshare"] = _ngshare.measured(chosen.students, chosen.within)
    print(" ", peers["ngshare"], flush=True)
    print(json.dumps({**shape, **mine, **cluster, "peers": peers}))
    if any(figures["lost"] or figures["doubled"] for figures in (mine, *cluster.values())):
        sys.exit("A submission was lost, or is there twice.")


if __name__ == "__main__":
    main()
