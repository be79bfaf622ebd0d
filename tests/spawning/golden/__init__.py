"""Golden files: one for each shape of a server, with the pod and its volume claims; and in `all/` one for each kind of
space, with everybody who may have a server there, in every size: in what each differs from the first."""

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

FOLDER = Path(__file__).parent
ALL = FOLDER / "all"


def as_text(objects: Iterable[Any]) -> str:
    """YAML documents, sorted by key."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 4096
    text = io.StringIO()
    yaml.dump_all(list(objects), text)
    return text.getvalue()


def as_differences(asked: Mapping[str, list[dict[str, Any]]]) -> str:
    """The first in full, and of each other by path what it has otherwise; `null` for what it does not have."""
    first, *others = asked
    before = _flat_objects(asked[first])
    differences: dict[str, dict[str, Any]] = {}
    for name in others:
        now = _flat_objects(asked[name])
        paths = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
        differences[name] = {path: now.get(path) for path in paths}
    return as_text([{first: asked[first]}, differences])


def _flat_objects(objects: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in objects:
        # One pod, and claims that are told apart by what they are for.
        what = each["metadata"]["labels"].get("kirzl-lab/volume", "pod")
        found |= dict(_flat(each, what))
    return found


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}")
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            key = inner.get("name") or inner.get("key") or number if isinstance(inner, dict) else number
            yield from _flat(inner, f"{path}[{key}]")
    else:
        yield path, value
