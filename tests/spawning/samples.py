"""Choices for tests of spawners."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from kirzl_lab.catalog.models import NetworkReach, Role, Size, Text
from kirzl_lab.spawning.choice import Choice

SMALL = Size(title=Text(de="Klein", en="Small"), cpus=1.5, memory_gib=1)
CHOICE = Choice(
    hub_name="bcd234",
    server_name="ml-101",
    space="ml-101",
    title=Text(de="Maschinelles Lernen", en="Machine learning"),
    kind="course",
    purpose="work",
    role=Role.STUDENT,
    size_name="cpu-small",
    size=SMALL,
    flavour=None,
    institution="uni",
    image="notebook",
    storage_gib=5,
    network_reach=NetworkReach.NONE,
    idle_hours=2,
    timezone="Europe/Berlin",
    materials_source=None,
)


def a_choice(**changes: Any) -> Choice:
    return replace(CHOICE, **changes)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file below the folder with its content; folders have None."""
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in folder.rglob("*")}
