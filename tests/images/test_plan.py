"""Which images are built, in which order, and that each has what the plan says."""

import ast
import json

import pytest

from images.plan import (
    BY_NAME,
    DEBIAN,
    IMAGES,
    INSIDE_GRADERS,
    INSIDE_SERVERS,
    REPOSITORY,
    Choices,
    UnknownImageError,
    in_order,
)


def test_each_image_comes_after_the_one_it_stands_on() -> None:
    seen = {DEBIAN}
    for image in in_order():
        assert image.parent in seen
        seen.add(image.name)
    assert seen == {DEBIAN, *BY_NAME}


def test_names_bring_what_they_stand_on_and_nothing_else() -> None:
    assert [image.name for image in in_order(["notebook-gpu"])] == ["base", "notebook", "notebook-gpu"]
    assert [image.name for image in in_order(["proxy", "base"])] == ["base", "proxy"]


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(UnknownImageError, match=r"no image called hubb.*notebook-gpu"):
        in_order(["hubb"])


def test_a_build_argument_reaches_only_the_images_that_know_it() -> None:
    choices = Choices(arguments={"JAX": "cuda"})
    assert choices.arguments_of(BY_NAME["notebook-gpu"]) == {"JAX": "cuda"}
    assert choices.arguments_of(BY_NAME["notebook"]) == {}


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_a_containerfile_copies_what_the_plan_says_and_nothing_else(image) -> None:  # noqa: ANN001 - see ids
    text = (REPOSITORY / "images" / image.name / "Containerfile").read_text("utf-8")
    copied: set[str] = set()
    for line in text.splitlines():
        if line.startswith("COPY ") and "--from=" not in line:
            copied.update(line.split()[1:-1])
    expanded = {
        one
        for name in copied
        for one in ([name.replace("${JAX}", j) for j in ("cpu", "cuda")] if "$" in name else [name])
    }
    assert expanded == set(image.files)


def test_what_runs_inside_servers_needs_nothing_of_the_rest_of_the_lab() -> None:
    files = [
        path.relative_to(REPOSITORY).as_posix()
        for name in (*INSIDE_SERVERS, *INSIDE_GRADERS)
        for path in ([REPOSITORY / name] if name.endswith(".py") else (REPOSITORY / name).rglob("*.py"))
    ]
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files}
    for name in files:
        if not name.endswith("nbgrader_config.py"):
            tree = ast.parse((REPOSITORY / name).read_text("utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kirzl_lab"):
                    needed = {f"{node.module}.{alias.name}" for alias in node.names}
                    assert needed <= modules or node.module in modules, name
                if isinstance(node, ast.Import):
                    needed = {alias.name for alias in node.names if alias.name.startswith("kirzl_lab")}
                    assert needed <= modules, name


def test_servers_read_their_configuration_from_where_the_image_has_it() -> None:
    settings = json.loads((REPOSITORY / "kirzl_lab/spawning/jupyter/jupyter_server_config.json").read_text("utf-8"))
    manager = settings["ServerApp"]["contents_manager_class"].rpartition(".")[0]
    assert f"{manager.replace('.', '/')}.py" in INSIDE_SERVERS


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_a_containerfile_ends_as_the_user_of_all_images(image) -> None:  # noqa: ANN001 - see ids
    text = (REPOSITORY / "images" / image.name / "Containerfile").read_text("utf-8")
    final = text[text.rindex("FROM ") :]
    users = [line for line in final.splitlines() if line.startswith("USER ")]
    assert not users or users[-1] == "USER 1000:1000"
    assert "ARG BASE\nFROM ${BASE}" in text


def test_locks_name_no_registry() -> None:
    locks = sorted((REPOSITORY / "images" / "requirements").glob("*.txt"))
    assert len(locks) == 4
    for lock in locks:
        text = lock.read_text("utf-8")
        assert "://" not in text
        assert "--hash=sha256:" in text
