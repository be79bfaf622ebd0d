"""What the chart is told: files of values as they are, then the catalogue's folders on top, checked before anything else."""

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from kirzl_lab.catalog.loader import CatalogueMistakes, load
from kirzl_lab.catalog.mistakes import meant
from kirzl_lab.cli.cluster.packing import pack, unpack
from kirzl_lab.cli.exits import Exit, Stop

Values = dict[str, Any]
PARTS = {"lab": "lab.yaml", "sizes": "sizes.yaml", "institutions": "institutions.yaml"}
_UNKNOWN = re.compile(r"at '(?P<at>[^']*)': additional properties (?P<keys>'.+') not allowed")


@dataclass(frozen=True)
class Site:
    """What whoever installs gave."""

    files: tuple[Path, ...] = ()
    hub_config: Path | None = None
    courses: Path | None = None

    def on_top(self, archive_there: str | None) -> Values:
        """What the folders say, as values. Without `courses` those stay that the lab has (`archive_there`).

        An install without courses would archive every course. Raises `Stop`.
        """
        found: Values = {}
        if self.hub_config:
            self._refuse_both()
            found |= {key: read(self.hub_config / name) for key, name in PARTS.items()}
        if self.courses:
            found["courses"] = {"archive": pack(self.courses)}
        elif archive_there and not given(merged(*map(read, self.files)), "courses", "archive"):
            found["courses"] = {"archive": archive_there}
        return found

    def _refuse_both(self) -> None:
        """Helm lays values over each other: a size that only a file of values has would stay, and nobody checks it."""
        for file in self.files:
            if both := [key for key in PARTS if read(file).get(key)]:
                raise Stop(
                    Exit.USAGE,
                    f"{file} has {' and '.join(both)}, and so has {self.hub_config}: take "
                    f"{'it' if len(both) == 1 else 'them'} out of the values, or leave out --hub-config.",
                )


def read(file: Path) -> Values:
    """A file of values. Raises `Stop`."""
    try:
        found = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Stop(Exit.CANNOT, f"{file} cannot be read: {error.strerror}.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise Stop(Exit.NO, f"{file} is no YAML:", tuple(str(error).splitlines())) from None
    if not isinstance(found or {}, dict):
        raise Stop(Exit.NO, f"{file} holds no keys with values.")
    return found or {}


def merged(*all_values: Mapping[str, Any]) -> Values:
    """Values on top of each other, as Helm does it: the later ones win, null takes a key away."""
    found: Values = {}
    for values in all_values:
        for key, value in values.items():
            if value is None:
                found.pop(key, None)
            elif isinstance(value, Mapping) and isinstance(found.get(key), Mapping):
                found[key] = merged(found[key], value)
            else:
                found[key] = merged(value) if isinstance(value, Mapping) else value
    return found


def check(site: Site, values: Values) -> None:
    """Read the catalogue in the values as the lab will. Raises `Stop` with every mistake."""
    with tempfile.TemporaryDirectory(prefix="kirzl-lab-") as folder:
        written, courses = Path(folder) / "values", Path(folder) / "courses"
        written.mkdir()
        courses.mkdir()
        for key, name in PARTS.items():
            with (written / name).open("w", encoding="utf-8") as stream:
                YAML(typ="safe").dump(values.get(key) or {}, stream)
        if archive := given(values, "courses", "archive"):
            unpack(archive, courses)
        try:
            load(site.hub_config or written, site.courses or courses)
        except CatalogueMistakes as found:
            lines = (str(mistake).replace(f"{folder}/", "") for mistake in found.mistakes)
            raise Stop(Exit.NO, "The catalogue has mistakes, so nothing was installed:", tuple(lines)) from None


def with_nearest(line: str, defaults: Mapping[str, Any]) -> str:
    """What Helm says of a key that the chart does not know, with the one that was probably meant; other lines as they are."""
    unknown = _UNKNOWN.search(line)
    if unknown is None:
        return line
    here = given(defaults, *filter(None, unknown["at"].split("/")))
    known = list(here) if isinstance(here, Mapping) else []
    keys = re.findall("'([^']+)'", unknown["keys"])
    close = [f"{found} for {key}" for key in keys if (found := meant(key, known))]
    return f"{line} (did you mean {', '.join(close)}?)" if close else line


def as_json(values: Values) -> str:
    """Values as a file that Helm reads."""
    return json.dumps(values, ensure_ascii=False, default=str)


def given(values: Mapping[str, Any], *keys: str) -> Any:
    """The value below these keys, None where there is none."""
    found: Any = values
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def files_of(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The files, each of which must be there. Raises `Stop`."""
    for path in paths:
        if not path.is_file():
            raise Stop(Exit.USAGE, f"There is no file of values {path}.")
    return tuple(paths)
