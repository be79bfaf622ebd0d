"""What `prepare` tells of a catalogue that it applied: its output is a log. And how it ends when it cannot."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kirzl_lab.catalog.loader import load
from kirzl_lab.cli import prepare as preparing
from kirzl_lab.cli.exits import Exit
from kirzl_lab.cli.prepare import prepare, told
from kirzl_lab.settings import Settings
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


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A lab that nobody prepared yet."""
    monkeypatch.setenv("KIRZL_LAB_DATA", str(tmp_path))
    monkeypatch.setenv("KIRZL_LAB_HUB_CONFIG", str(ROOT / "hub_config"))
    monkeypatch.setenv("KIRZL_LAB_COURSES", str(ROOT / "courses"))
    monkeypatch.setenv("KIRZL_LAB_PUBLIC_URL", "http://localhost:8000")
    monkeypatch.setenv("KIRZL_LAB_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/lab.sqlite")
    monkeypatch.setattr(preparing, "DATABASE_PATIENCE_S", 0)
    return Settings.from_environment()


def test_mistakes_in_the_catalogue_end_with_1(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KIRZL_LAB_HUB_CONFIG", str(tmp_path / "none"))
    assert prepare(Settings.from_environment()) == Exit.NO == 1


def test_a_database_that_does_not_answer_is_no_mistake_in_the_catalogue(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A cluster tries again after every end but 1, so a database that comes up slowly fails no install.
    monkeypatch.setenv("KIRZL_LAB_DATABASE_URL", "postgresql+psycopg://lab@127.0.0.1:1/lab")
    assert prepare(Settings.from_environment()) == Exit.FELL_OVER
    said = capsys.readouterr().out
    assert "The lab database does not answer (" in said
    assert "Traceback" not in said


def test_a_mistake_of_the_lab_is_no_mistake_in_the_catalogue(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(url: str) -> None:
        raise KeyError("a mistake of the lab")

    monkeypatch.setattr(preparing, "migrate", broken)
    assert prepare(settings) == Exit.FELL_OVER
    assert "a mistake of the lab" in capsys.readouterr().err
