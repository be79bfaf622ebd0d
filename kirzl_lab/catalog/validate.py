"""From nodes to a model: each thing that Pydantic refuses becomes a mistake at its place."""

import json
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from kirzl_lab.catalog.explain import Loc, Refusal, expected, fields_at, missing
from kirzl_lab.catalog.mistakes import meant, one_of_or_meant, shown
from kirzl_lab.catalog.yaml_file import Node, YamlFile

M = TypeVar("M", bound=BaseModel)


def validate(file: YamlFile, model: type[M]) -> M | None:
    """What the file says, or None; what is wrong is added to the file's mistakes."""
    if file.root is None:
        return None
    try:
        return strictly(model, file.root.plain())
    except ValidationError as error:
        refusals = refusals_of(error)
    renamed = _renamed(refusals)
    for refusal in refusals:
        if refusal.type != "missing" or refusal.loc not in renamed.values():
            _add(file, file.root, model, refusal, renamed.get(refusal.loc))
    return None


def strictly(model: type[M], plain: Any) -> M:
    """The model of plain values, without conversions that people do not expect. Raises Pydantic's `ValidationError`.

    By way of JSON, in which a list stands for a tuple and a text for a date, but "5" for no number.
    """
    return model.model_validate_json(json.dumps(plain), strict=True)


def refusals_of(error: ValidationError) -> list[Refusal]:
    """What Pydantic refused, one by one."""
    return [
        Refusal(entry["type"], entry["loc"], entry.get("ctx", {}), entry["msg"])
        for entry in error.errors(include_url=False, include_input=False)
    ]


def _renamed(refusals: Iterable[Refusal]) -> dict[Loc, Loc]:
    """Unknown keys that are most likely missing keys with a typing error: told once, not twice."""
    absent = [refusal.loc for refusal in refusals if refusal.type == "missing"]
    found: dict[Loc, Loc] = {}
    for refusal in refusals:
        if refusal.type == "extra_forbidden":
            *parent, key = refusal.loc
            near = [str(loc[-1]) for loc in absent if loc[:-1] == tuple(parent)]
            if close := meant(str(key), near):
                found[refusal.loc] = (*parent, close)
    return found


def _add(file: YamlFile, root: Node, model: type[BaseModel], refusal: Refusal, renamed: Loc | None) -> None:
    loc = (*refusal.loc, refusal.context["index"]) if "index" in refusal.context else refusal.loc
    if refusal.type == "missing":
        file.add(*place(root, loc[:-1]), f"no {loc[-1]}{_inside(loc[:-1])}", missing(model, loc))
    elif refusal.type == "extra_forbidden":
        file.add(*key_place(root, loc), f"the key {shown(str(loc[-1]))}", _instead(model, loc, renamed))
    elif loc and loc[-1] == "[key]":
        file.add(*key_place(root, loc[:-1]), f"the name “{shown(str(loc[-2]))}”", expected(model, refusal))
    else:
        node = root.at(*loc)
        if refusal.type == "too_short" and node is not None and node.entries:
            # Pydantic counts only the entries that are good; those that are not were told.
            return
        value = node.value if node else None
        file.add(*place(root, loc), _found(node, loc), expected(model, refusal, value))


def _found(node: Node | None, loc: Loc) -> str:
    if node is None:
        # A rule over several keys speaks at one of them, which may be left out.
        return f"no issuer{_inside(loc[:-1])}" if loc[-1] == "demo" else f"no {loc[-1]}{_inside(loc[:-1])}"
    if loc and loc[-1] == "client_secret_env":
        return "something else (not shown here, it may be a secret)"
    return node.shown()


def _instead(model: type[BaseModel], loc: Loc, renamed: Loc | None) -> str:
    if loc[-1] == "client_secret":
        return "client_secret_env with the name of an environment variable: no secret goes into this file"
    return f"the key {renamed[-1]}" if renamed else one_of_or_meant(str(loc[-1]), fields_at(model, loc[:-1]))


def _inside(loc: Loc) -> str:
    path = ".".join(str(part + 1) if isinstance(part, int) else shown(part) for part in loc)
    return f" in {path}" if path else ""


def place(root: Node, loc: Loc) -> tuple[int, int]:
    """Line and column of the value at `loc`, or of the nearest thing around it when it is not there.

    A mapping or list is placed at its key, which people see as its beginning.
    """
    here = (root.line, root.column)
    node = root
    for part in loc:
        child = node.entries.get(part)
        if child is None:
            return node.keys.get(part, here)
        here = (child.line, child.column) if child.kind == "scalar" or part not in node.keys else node.keys[part]
        node = child
    return here


def key_place(root: Node, loc: Loc) -> tuple[int, int]:
    """Line and column of the key at the end of `loc`."""
    parent = root.at(*loc[:-1])
    return parent.keys.get(loc[-1], (parent.line, parent.column)) if parent else place(root, loc[:-1])
