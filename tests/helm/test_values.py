"""The chart's values: each has a comment, a place in the schema, and the catalogue's own schema inside. Needs no helm."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from tools import chart

SCHEMA = json.loads(chart.SCHEMA.read_text(encoding="utf-8"))
VALUES = YAML(typ="safe").load((chart.CHART / "values.yaml").read_text(encoding="utf-8"))
PASSED_ON = ("/lab", "/sizes", "/institutions")
"""Files of the catalogue, which has tests of its own."""


def paths(values: dict[str, Any], at: str = "") -> Iterator[str]:
    """Every value by its path, like /hub/storage."""
    for key, value in values.items():
        here = f"{at}/{key}"
        yield here
        if isinstance(value, dict) and here not in PASSED_ON:
            yield from paths(value, here)


def declared(schema: dict[str, Any], at: str = "") -> Iterator[str]:
    """Every value that the schema names."""
    for key, part in schema.get("properties", {}).items():
        here = f"{at}/{key}"
        yield here
        yield from declared(part, here)


def open_places(schema: dict[str, Any], at: str = "") -> Iterator[str]:
    """Objects with named properties that would let others through."""
    if "properties" in schema and schema.get("additionalProperties") is not False:
        yield at
    for key, part in schema.get("properties", {}).items():
        yield from open_places(part, f"{at}/{key}")


def test_the_schema_has_the_catalogue_of_today() -> None:
    assert chart.SCHEMA.read_text(encoding="utf-8") == chart.schema_text(), "python -m tools.chart"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_defaults_fit_the_schema() -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(VALUES)


def test_every_value_of_the_schema_has_a_default_that_people_can_read() -> None:
    assert set(declared(SCHEMA)) - {"/global"} <= set(paths(VALUES))


def test_what_is_said_of_a_value_is_its_comment() -> None:
    text = "# -- a part ----\n\n# Of\n# one.\none:\n  # Of two.\n  two: 1\n  three: 2\n\n# Of nobody.\n\nfour: 3\n"
    assert chart.comments(text) == {"one": "Of one.", "one.two": "Of two."}
    assert SCHEMA["properties"]["storage"]["properties"]["homeClass"]["description"].startswith(
        "Class of people's homes"
    )


def test_every_value_is_described_by_itself_or_with_those_beside_it() -> None:
    described = {path for path, part in _parts(SCHEMA) if "description" in part}
    bare = {path for path, _ in _parts(SCHEMA) if path not in described and path.rpartition("/")[0] not in described}
    assert bare == set()


def test_unknown_keys_are_refused_everywhere() -> None:
    assert list(open_places(SCHEMA)) == []


@pytest.mark.parametrize("example", chart.EXAMPLES, ids=lambda path: path.stem)
def test_examples_name_values_that_there_are(example: Any) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(YAML(typ="safe").load(example.read_text(encoding="utf-8")))


def test_every_value_has_a_comment() -> None:
    lines = (chart.CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    bare = []
    for number, line in enumerate(lines):
        if not line or line.startswith((" ", "#", "-")):
            continue
        block = [line, *_inside(lines[number + 1 :])]
        above = number and lines[number - 1].startswith("#")
        if not above and not any("#" in inner for inner in block):
            bare.append(line)
    assert bare == []


def _parts(schema: dict[str, Any], at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for key, part in schema.get("properties", {}).items():
        yield f"{at}/{key}", part
        yield from _parts(part, f"{at}/{key}")


def _inside(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if line and not line.startswith(" "):
            return
        yield line
