from datetime import UTC, datetime
from pathlib import Path

from kirzl_lab.catalog.loader import load
from kirzl_lab.store.apply import apply
from kirzl_lab.store.database import Store

REPO = Path(__file__).parents[2]
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


async def test_the_sample_catalogue_comes_in_once(any_store: Store) -> None:
    catalogue = load(REPO / "hub_config", REPO / "courses")
    dry = await apply(any_store, catalogue, {}, now=NOW, dry_run=True)
    changes = await apply(any_store, catalogue, {}, now=NOW)
    assert changes == dry
    print("\n".join(map(str, changes)))
    assert await apply(any_store, catalogue, {}, now=NOW) == []
