"""What is generated from the models is what the repository holds, and says the same as the loader."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from kirzl_lab.catalog.models import LabFile, RosterRow
from kirzl_lab.catalog.schema import SCHEMAS, generated, json_schema, reference, write
from tests.catalog.conftest import COURSE, INSTITUTIONS, LAB, REPOSITORY, SIZES

SAMPLES = [
    ("lab", "hub_config/lab.yaml", LAB),
    ("sizes", "hub_config/sizes.yaml", SIZES),
    ("institutions", "hub_config/institutions.yaml", INSTITUTIONS),
    ("course", "courses/ml-101/course.yaml", COURSE),
    ("course", "courses/dl-201/course.yaml", COURSE),
]


def parsed(text: str) -> Any:
    # A schema knows JSON only, where a day is a text; editors hand it over like this.
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text), default=str))


@pytest.mark.parametrize("path", generated(), ids=str)
def test_generated_files_are_up_to_date(path: Any) -> None:
    there = (REPOSITORY / path).read_text(encoding="utf-8")
    assert there == generated()[path], "run: python -m kirzl_lab.catalog.schema"


def test_writing_makes_exactly_these_files(tmp_path: Any) -> None:
    write(tmp_path)

    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*.*")} == set(generated())


@pytest.mark.parametrize(("name", "path", "text"), SAMPLES)
def test_schemas_take_what_the_loader_takes(name: str, path: str, text: str) -> None:
    schema = json_schema(SCHEMAS[name])
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)

    validator.validate(parsed((REPOSITORY / path).read_text(encoding="utf-8")))
    validator.validate(parsed(text))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lab", LAB.replace("contact", "kontakt")),
        ("lab", LAB.replace("help@uni.example", "nobody")),
        ("sizes", SIZES.replace("  large:", "  Large--1:")),
        ("sizes", SIZES.replace("  large:", f"  {'l' * 25}:")),
        ("sizes", SIZES.replace("share: whole", "share: hole")),
        ("institutions", INSTITUTIONS.replace("[firm.example]", "[firm]")),
        ("course", COURSE.replace("storage_gib: 5", "storage_gib: 0")),
        ("course", COURSE.replace("default_size: small\n", "")),
    ],
)
def test_schemas_refuse_what_the_loader_refuses(name: str, text: str) -> None:
    assert not Draft202012Validator(json_schema(SCHEMAS[name])).is_valid(parsed(text))


@pytest.mark.parametrize(("name", "path", "text"), SAMPLES)
def test_samples_name_their_schema_in_the_first_line(name: str, path: str, text: str) -> None:
    file = REPOSITORY / path
    first = file.read_text(encoding="utf-8").splitlines()[0]

    assert first.startswith("# yaml-language-server: $schema=")
    schema = (file.parent / first.partition("=")[2]).resolve()
    assert schema == REPOSITORY / f"hub_config/schema/{name}.json"


def test_every_key_is_explained() -> None:
    page = reference()
    for model in (*SCHEMAS.values(), RosterRow):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            assert f"| `{name}` |" in page


def test_editors_are_told_in_plain_words() -> None:
    contact = json_schema(LabFile)["properties"]["contact"]
    assert contact["patternErrorMessage"] == "Expected an e-mail address, for example lab-help@uni.example."
