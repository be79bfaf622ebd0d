"""The chart `helm/kirzl-lab` for those who work on it: render it, and write what is generated from it.

`python -m tools.chart` writes the catalogue's schemas and the comments of `values.yaml` into `values.schema.json`, and
the golden renders in `tests/helm/golden`; tests fail when either is not what it should be.
"""

# ruff: noqa: S603 - it starts helm, which is what it is for

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kirzl_lab.catalog.models import InstitutionsFile, LabFile, SizesFile
from kirzl_lab.catalog.schema import json_schema
from tools.onenode.build import BuildError, binary

REPOSITORY = Path(__file__).parents[1]
CHART = REPOSITORY / "helm" / "kirzl-lab"
SCHEMA = CHART / "values.schema.json"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
GOLDEN = REPOSITORY / "tests" / "helm" / "golden"
FILES = (LabFile, SizesFile, InstitutionsFile)
MADE_BY_CHANCE = re.compile(r"^(  [A-Z_]+): [A-Za-z0-9+/=]{88}$", re.MULTILINE)
"""A secret that the chart makes anew at each render: 64 hexadecimal digits in base64."""


class RefusedError(Exception):
    """Helm refused; the message is what it said."""


def helm() -> str:
    """The machine's own helm, or the one that `tools/onenode` builds; raises `BuildError` where there is neither."""
    if found := shutil.which("helm"):
        return found
    built = binary("helm")
    if not built.exists():
        raise BuildError("Helm is missing: `make tools` builds it.")
    return str(built)


def run_helm(*arguments: str | Path) -> str:
    """What helm prints; raises `RefusedError`."""
    done = subprocess.run([helm(), *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(f"{done.stdout}{done.stderr}".strip())
    return done.stdout


def render(values: Path, *options: str | Path, namespace: str = "kirzl-lab") -> str:
    """What the chart makes of a file of values; raises `RefusedError`."""
    return run_helm("template", "lab", CHART, f"--namespace={namespace}", f"--values={values}", *options)


def masked(rendered: str) -> str:
    """A render without what changes each time: the secrets that were made for it."""
    return MADE_BY_CHANCE.sub(r"\1: (made by chance)", rendered)


def golden(example: Path) -> str:
    """What the golden file of an example must hold: the install, then what an upgrade does before it."""
    hooks = run_helm("template", "lab", CHART, "--namespace=kirzl-lab", f"--values={example}", "--is-upgrade",
                     "--show-only=templates/prepare.yaml")  # fmt: skip
    return masked(f"{render(example)}\n# == before an upgrade ==\n{hooks}")


def with_catalogue(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of the values with the catalogue's schemas as they are now; names of models begin in upper case."""
    own = {name: part for name, part in schema["$defs"].items() if not name[0].isupper()}
    models: dict[str, Any] = {}
    for model in FILES:
        described = json_schema(model)
        models |= described.pop("$defs", {})
        del described["$schema"]
        models[model.__name__] = described
    return schema | {"$defs": own | dict(sorted(models.items()))}


def comments(text: str) -> dict[str, str]:
    """What stands right above each key of a YAML file of blocks, by the key's path, like hub.storage; only where something does."""
    found: dict[str, str] = {}
    above: list[str] = []
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        words = line.strip()
        if words.startswith("# ") and not words.startswith("# --"):
            above.append(words[2:])
            continue
        if key := re.match(r"( *)([A-Za-z0-9]+):", line):
            indent = len(key[1])
            path = [*(step for step in path if step[0] < indent), (indent, key[2])]
            if above:
                found[".".join(name for _, name in path)] = " ".join(above)
        above = []
    return found


def with_comments(schema: dict[str, Any], told: Mapping[str, str], at: str = "") -> dict[str, Any]:
    """A schema in which each value is described as its comment describes it."""
    described = {
        name: with_comments(
            part | ({"description": told[f"{at}{name}"]} if f"{at}{name}" in told else {}), told, f"{at}{name}."
        )
        for name, part in schema.get("properties", {}).items()
    }
    return schema | ({"properties": described} if described else {})


def schema_text() -> str:
    """What `values.schema.json` must hold."""
    schema = with_catalogue(json.loads(SCHEMA.read_text(encoding="utf-8")))
    schema = with_comments(schema, comments((CHART / "values.yaml").read_text(encoding="utf-8")))
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write everything that is generated; returns the exit status."""
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    try:
        for example in EXAMPLES:
            GOLDEN.mkdir(parents=True, exist_ok=True)
            (GOLDEN / example.name).write_text(golden(example), encoding="utf-8")
    except (BuildError, RefusedError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
