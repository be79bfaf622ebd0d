"""The chart of Zero to JupyterHub for tests: found through `Z2JH_CHART`, made as its package is, with its schema."""

import json
import os
import shutil
from pathlib import Path

from ruamel.yaml import YAML

from tools import chart

OURS = chart.REPOSITORY / "helm" / "z2jh"
JUPYTERHUB = OURS / "jupyterhub.yaml"
LAB = OURS / "lab.yaml"


def their_chart(folder: Path) -> Path:
    """A copy of their chart in `folder`, with the values.schema.json that their packaging makes of the YAML."""
    there = Path(os.environ.get("Z2JH_CHART") or chart.REPOSITORY.parent / "shared" / "peers" / "z2jh")
    assert (there / "Chart.yaml").is_file(), f"no chart in {there}: name its folder in Z2JH_CHART"
    copy = folder / "jupyterhub"
    shutil.copytree(there, copy, copy_function=shutil.copyfile)
    for made in (copy, *copy.rglob("*")):
        made.chmod(0o755 if made.is_dir() else 0o644)
    schema = YAML(typ="safe").load((copy / "values.schema.yaml").read_text(encoding="utf-8"))
    (copy / "values.schema.json").write_text(json.dumps(schema), encoding="utf-8")
    return copy
