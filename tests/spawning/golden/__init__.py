"""Golden files: one for each shape of a server, with the pod and its volume claims."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

FOLDER = Path(__file__).parent


def as_text(objects: Iterable[Mapping[str, Any]]) -> str:
    """YAML documents, sorted by key."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 4096
    text = io.StringIO()
    yaml.dump_all(list(objects), text)
    return text.getvalue()
