"""Where the files of servers are on a laptop, below the lab's data folder.

Guarantees: every folder is computed from the parts of a `Choice`, and a part that is no plain name (a slash, a dot,
nothing at all) is refused, so that no folder lies outside the data folder. Homes are closed to other people (0700).
"""

import re
from pathlib import Path

from kirzl_lab.spawning.choice import Choice

PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
MATERIALS = "materials"
"""Name of a course's materials beside the work."""
COURSE = "course"
"""Name of nbgrader's course folder beside the work of people who run a course."""


def home(data: Path, choice: Choice) -> Path:
    """The folder in which this person works in this space for this purpose: HOME of the server, and its root."""
    return data / "homes" / _part(choice.hub_name) / _part(choice.space) / _part(choice.purpose)


def materials_copy(data: Path, choice: Choice) -> Path:
    """The folder with the copy of the space's materials that students read."""
    return data / "spaces" / _part(choice.space) / MATERIALS


def course(data: Path, choice: Choice) -> Path:
    """The course folder of nbgrader that all who run the course share."""
    return data / "spaces" / _part(choice.space) / COURSE


def gradebook(data: Path, choice: Choice) -> Path:
    """The course's gradebook."""
    return data / "gradebooks" / _part(choice.space) / "gradebook.db"


def log_file(data: Path, choice: Choice) -> Path:
    """What the server writes to its terminal. The file of the start before has the suffix `.1`."""
    return data / "logs" / "servers" / f"{_part(choice.hub_name)}.{_part(choice.server_name)}.log"


def last_words_file(data: Path, hub_name: str, server_name: str) -> Path:
    """Where a server leaves why it ended by itself; the file is there only after such an end."""
    return data / "logs" / "servers" / f"{_part(hub_name)}.{_part(server_name)}.ended"


def make_private(folder: Path, data: Path) -> None:
    """Make `folder` and what is missing between it and `data`, and close all of it to other people (0700)."""
    below = folder.relative_to(data)
    for count in range(1, len(below.parts) + 1):
        step = data.joinpath(*below.parts[:count])
        step.mkdir(mode=0o700, parents=True, exist_ok=True)
        step.chmod(0o700)


def _part(name: str) -> str:
    if not PART.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a folder")
    return name
