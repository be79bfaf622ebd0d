"""What `prepare` tells of a catalogue that it applied: its output is a log."""

from datetime import UTC, datetime
from pathlib import Path

from kirzl_lab.catalog.loader import load
from kirzl_lab.cli.prepare import told
from kirzl_lab.store.apply import apply
from kirzl_lab.store.database import Store

ROOT = Path(__file__).parents[2]


async def test_people_of_rosters_are_counted_not_named(store: Store) -> None:
    catalogue = load(ROOT / "hub_config", ROOT / "courses")
    issuers = {name: f"http://localhost:9400/{name}" for name in catalogue.institutions}
    changes = await apply(store, catalogue, issuers, now=datetime(2026, 11, 24, tzinfo=UTC))
    lines = told(changes)
    assert "space-created: course ml-101" in lines
    assert f"roster-added: {len(catalogue.courses['ml-101'].roster)} of ml-101" in lines
    assert f"roster-added: {len(catalogue.lab.operators)} of the lab" in lines
    promises = [row.value for course in catalogue.courses.values() for row in course.roster]
    for value in (*promises, *(row.value for row in catalogue.lab.operators)):
        assert value not in "\n".join(lines)
