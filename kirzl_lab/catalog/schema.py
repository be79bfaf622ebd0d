"""JSON Schema for editors and the reference page, both generated from the models.

`python -m kirzl_lab.catalog.schema` writes them; a test fails when they are not what the models say.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kirzl_lab.catalog.explain import Slot, bare, in_range
from kirzl_lab.catalog.models import SCOPED_CLAIMS, CourseFile, InstitutionsFile, LabFile, RosterRow, SizesFile
from kirzl_lab.catalog.values import MEANING, SPACE_NAME

REPOSITORY = Path(__file__).parents[2]
SCHEMAS: Mapping[str, type[BaseModel]] = {
    "lab": LabFile,
    "sizes": SizesFile,
    "institutions": InstitutionsFile,
    "course": CourseFile,
}

INTRODUCTION = """\
# What a site writes

<!-- Generated from kirzl_lab/catalog/models.py by `python -m kirzl_lab.catalog.schema`. Edit the models, not this. -->

Three files in `hub_config/` say how the lab is set up, and a folder for each course in `courses/` says what is taught
and to whom. `kirzl-lab catalog check` tells every mistake in them with its file and line,
`kirzl-lab catalog apply --dry-run` tells what would change, and `kirzl-lab catalog apply` brings it into the lab.

Editors that know JSON Schema (VS Code with its YAML extension, for example) explain the keys as you type: each file
names its schema in its first line.

Only the plain part of YAML is used: no anchors, aliases, merge keys or tags. Files are UTF-8. A key without a default
must be there.
"""

NAMES = f"""\
## Names

Sizes, flavours, institutions and courses have short names, from which addresses and the names of servers and volumes
are derived: {MEANING[SPACE_NAME].removeprefix("a name of ")}.
The name of a course is the name of its folder.
"""

SCOPES = f"""\
## Whose word counts

A person counts as who an institution says they are, so a roster row or an operator names the institution, one of the
`claims` that it may assert, and the value. An e-mail address counts only when the institution says that it has
verified it. Values of these claims end in a domain, and count only when it is one of the institution's `domains`:

{chr(10).join(f"- `{claim}`" for claim in sorted(SCOPED_CLAIMS))}
"""

FOLDER = """\
## A course's folder

| | |
|---|---|
| `course.yaml` | what the course is |
| `roster.csv` | who is in it; with nothing but its first line when nobody is yet |
| `materials/` | what students find in it (may be left out) |
| `source/` | its assignments as nbgrader has them, with solutions, one folder each (may be left out); students get the release that nbgrader makes of it |

A course whose folder goes away is archived: nobody can open it, and nobody's work is deleted.
"""

ROSTER = """\
## `roster.csv`

One line for each person, in the course's folder. The first line names the columns. Comma, semicolon and tab are
recognised as separators, so the file can come from a spreadsheet; save it as UTF-8. Format the column `value` as text,
or the spreadsheet shortens long numbers.
"""

PLAIN: Mapping[type, str] = {bool: "true or false", date: "day, for example 2026-10-01"}
"""Types without constraints, in words."""


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a file, with hints for editors."""
    schema = model.model_json_schema()
    for part in _parts(schema):
        if part.get("pattern") in MEANING:
            part["patternErrorMessage"] = f"Expected {MEANING[part['pattern']]}."
        if "patternProperties" in part:
            part["additionalProperties"] = False
        # Titles that only repeat the key are noise in an editor's hints.
        if isinstance(part.get("title"), str):
            del part["title"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def reference() -> str:
    """The reference page, in Markdown."""
    parts = [INTRODUCTION, NAMES, SCOPES]
    seen: set[type[BaseModel]] = set()
    for model in SCHEMAS.values():
        parts += _sections(model, seen, "##")
    return "\n".join([*parts, FOLDER, ROSTER, _table(RosterRow)])


def generated() -> dict[Path, str]:
    """Every generated file, relative to the repository, and what it must hold."""
    schemas = {
        Path(f"hub_config/schema/{name}.json"): json.dumps(json_schema(model), indent=2, ensure_ascii=False) + "\n"
        for name, model in SCHEMAS.items()
    }
    return schemas | {Path("docs/reference/catalogue.md"): reference()}


def write(repository: Path = REPOSITORY) -> None:
    """Write every generated file below `repository`."""
    for path, text in generated().items():
        target = repository / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def _parts(schema: object) -> Iterator[dict[str, Any]]:
    """Every object of a schema, the maps of properties included, which hold no keyword but names."""
    if isinstance(schema, dict):
        yield schema
        for part in list(schema.values()):
            yield from _parts(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _parts(part)


def _sections(model: type[BaseModel], seen: set[type[BaseModel]], level: str) -> Iterator[str]:
    """The table of a model, then those of the models inside it, each once."""
    if model in seen:
        return
    seen.add(model)
    about = " ".join((model.__doc__ or "").split())
    name, colon, rest = about.partition(": ")
    if colon and name.startswith("`"):
        yield f"{level} {name}\n\n{rest[:1].upper()}{rest[1:]}\n"
    else:
        yield f"{level} {model.__name__}\n\n{about}\n"
    yield _table(model)
    for field in model.model_fields.values():
        for inner in _models(field.annotation):
            yield from _sections(inner, seen, "###")


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _table(model: type[BaseModel]) -> str:
    rows = ["| key | value | default | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        inner = bare(field.annotation)
        slot = Slot(inner.type, (*field.metadata, *inner.constraints))
        cells = (f"`{name}`", _words(slot), _default(field), field.description or "")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _words(slot: Slot) -> str:
    """A type in words."""
    arguments = get_args(slot.type)
    if arguments:
        origin = get_origin(slot.type)
        if origin in (tuple, dict):
            inner = _words(bare(arguments[-1] if origin is dict else arguments[0]))
            return f"{'for each name' if origin is dict else 'list'}: {inner}"
        return "one of " + ", ".join(f"`{choice}`" for choice in arguments)
    if slot.type in (int, float):
        return ("whole number" if slot.type is int else "number") + in_range(slot)
    if slot.type is str:
        patterns = (getattr(constraint, "pattern", None) for constraint in slot.constraints)
        return next((MEANING[pattern].partition(":")[0] for pattern in patterns if pattern in MEANING), "text")
    if issubclass(slot.type, StrEnum):
        return "one of " + ", ".join(f"`{choice}`" for choice in slot.type)
    name: str = slot.type.__name__
    return PLAIN.get(slot.type) or f"[{name}](#{name.lower()})"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    if value is None or value in ("", (), {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`[{', '.join(value)}]`" if isinstance(value, tuple) else f"`{value}`"


if __name__ == "__main__":
    write()
