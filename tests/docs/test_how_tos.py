"""How-tos for a lab on a cluster: their values and snippets are taken by the lab, their figures are the lab's own."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from kirzl_lab.catalog.models import InstitutionsFile, SizesFile
from kirzl_lab.cli.cluster.values import Site, check, merged, read
from kirzl_lab.spawning import pod
from kirzl_lab.store.database import Store
from tests.cluster.lab import test_how_to, test_monitoring, test_network
from tests.docs.pages import CLUSTER, REPOSITORY, Block, blocks, commands
from tools import chart

SCHEMA = json.loads(chart.SCHEMA.read_text(encoding="utf-8"))
DEFAULTS = read(chart.CHART / "values.yaml")
UNIVERSITY = chart.CHART / "examples" / "university.yaml"
HUB_CONFIG = "my-site/hub_config/"
SNIPPETS = [(page.name, block) for page in sorted(CLUSTER.glob("*.md")) for block in blocks(page) if block.language == "yaml"]  # fmt: skip


def parsed(block: Block) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(block.text)
    return found


def snippets(kind: str) -> Any:
    """The snippets of a kind, for a test each: `values`, `catalogue` or `object`."""
    found = [(page, block) for page, block in SNIPPETS if _kind(block) == kind]
    assert found, kind
    return pytest.mark.parametrize("block", [pytest.param(block, id=page) for page, block in found])


def _kind(block: Block) -> str:
    if block.file.startswith(HUB_CONFIG):
        return "catalogue"
    return "object" if "apiVersion" in parsed(block) else "values"


@snippets("values")
def test_values_fit_a_university(block: Block) -> None:
    assert block.file in {"", "my-site/values.yaml"}
    values = merged(read(UNIVERSITY), parsed(block))
    jsonschema.Draft202012Validator(SCHEMA).validate(values)
    check(Site(), merged(DEFAULTS, values))


@pytest.mark.cluster  # needs helm
@snippets("values")
def test_the_chart_takes_the_values(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(block.text, encoding="utf-8")
    assert chart.render(UNIVERSITY, f"--values={file}")


@snippets("catalogue")
def test_the_catalogue_takes_its_snippets(block: Block) -> None:
    name = block.file.removeprefix(HUB_CONFIG)
    if name == "institutions.yaml":  # as it stands: the institutions that come with the lab are taken out
        InstitutionsFile.model_validate(parsed(block))
        return
    assert name == "sizes.yaml"
    found = SizesFile.model_validate(merged(read(REPOSITORY / "hub_config" / name), parsed(block)))
    assert {size.gpu for size in found.sizes.values() if size.gpu} <= set(found.flavours)


@snippets("object")
def test_objects_are_applied_by_a_command(block: Block) -> None:
    typed = [line for page in CLUSTER.glob("*.md") for line in commands(page)]
    assert any(f"--filename={block.file}" in line for line in typed)


def test_every_command_is_in_a_test() -> None:
    pages = {page.name: commands(page) for page in CLUSTER.glob("*.md") if commands(page)}
    elsewhere = {module.HOW_TO.name for module in (test_network, test_monitoring)}
    assert set(pages) == {*test_how_to.PAGES, *elsewhere}
    # Those two take commands from their pages in their own way; it must be all of them.
    assert all(line.startswith("kubectl --namespace kirzl-lab ") for line in pages["network.md"])
    assert test_monitoring.commands(test_monitoring.HOW_TO) == pages["watching.md"]


# -- figures -----------------------------------------------------------------------------------------------------

INSTALL = (CLUSTER / "install.md").read_text(encoding="utf-8")
STORAGE = (CLUSTER / "storage.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("part", ["hub", "proxy", "service", "postgres", "egress"])
def test_what_parts_ask_for_is_what_the_chart_says(part: str) -> None:
    (row,) = re.findall(rf"^\| {part} \|(.*)\|$", INSTALL, re.MULTILINE)
    about = DEFAULTS[part]
    requests, limits = about["resources"]["requests"], about["resources"]["limits"]
    said = [requests["cpu"], requests["memory"], limits["memory"], about.get("storage", "")]
    assert [cell.strip() for cell in row.split("|")] == said


def test_what_servers_are_sure_of_is_what_their_size_says() -> None:
    ((number, size, cores, gib),) = re.findall(
        r"(\d+) servers of `([\w-]+)` at once are sure of (\d+) cores and (\d+) GiB", " ".join(INSTALL.split())
    )
    sizes = SizesFile.model_validate(read(REPOSITORY / "hub_config" / "sizes.yaml")).sizes
    cpus, memory = pod.guarantees_of(sizes[size])
    assert (cpus * int(number), memory * int(number) / pod.GIB) == (int(cores), int(gib))


def test_connections_to_the_lab_database() -> None:
    pool: Any = Store("postgresql+psycopg://lab@localhost/lab").engine.pool
    assert f"hold at most {pool.size() + pool._max_overflow} connections" in " ".join(INSTALL.split())


def test_volumes_have_the_sizes_that_are_said() -> None:
    assert f"up to {pod.SCRATCH_GIB} GiB of `/tmp`" in " ".join(INSTALL.split())
    assert re.findall(r"`(?:materials|course)--<course>`.*\| (\d+) GiB \|", STORAGE) == [str(pod.SHARED_GIB)] * 2
