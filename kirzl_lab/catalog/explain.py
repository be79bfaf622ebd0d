"""What Pydantic refuses, in plain English: what was expected at a place of a model."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from kirzl_lab.catalog.mistakes import one_of_or_meant, shown
from kirzl_lab.catalog.values import MEANING

Loc = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One error of Pydantic: its type, the path to the place, its context and its own words."""

    type: str
    loc: Loc
    context: Mapping[str, Any]
    message: str


@dataclass(frozen=True, slots=True)
class Slot:
    """What a model has at a place: a type, its constraints and a description."""

    type: Any
    constraints: tuple[Any, ...] = ()
    description: str = ""


CONSTRAINTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "string_pattern_mismatch": lambda context: MEANING[context["pattern"]],
    "string_too_long": lambda context: f"at most {context['max_length']} characters",
    "string_too_short": lambda _: "a text that is not empty",
    "too_short": lambda _: "at least one entry",
}
"""Pydantic's type of an error -> what was expected."""

TYPES = {
    "bool": "true or false",
    "date": "a day, for example 2026-10-01",
    "tuple": "a list, for example [a, b]",
    "dict": "a mapping: a name, a colon, and what it stands for below it",
}
"""The first word of Pydantic's type of an error -> what was expected."""


def expected(model: type[BaseModel], refusal: Refusal, value: object = None) -> str:
    """What `model` expects where it refused `value`."""
    if refusal.type in CONSTRAINTS:
        return CONSTRAINTS[refusal.type](refusal.context)
    slot = slot_at(model, refusal.loc)
    # The first word tells what was wanted ("int_type", "int_from_float"), or that a number is out of its range.
    first = refusal.type.partition("_")[0]
    match first:
        case "value" | "repeated":
            words = str(refusal.context.get("error", refusal.message)).removeprefix("expected ")
        case "string":
            words = f'a text, in quotes: "{shown(str(value))}"' if isinstance(value, bool | int | float) else "a text"
        case "int" | "float" | "finite" | "greater" | "less":
            words = f"{'a whole number' if slot.type is int else 'a number'}{in_range(slot)}"
        case "literal":
            words = one_of_or_meant(str(value or ""), map(str, get_args(slot.type)))
        case "enum":
            words = one_of_or_meant(str(value or ""), map(str, slot.type))
        case "model":
            words = f"a mapping with {', '.join(fields_at(model, refusal.loc))}"
        case _:
            words = TYPES.get(first) or f"something else: {slot.description or 'see docs/reference/catalogue.md'}"
    return words


def missing(model: type[BaseModel], loc: Loc) -> str:
    """The key at `loc` and what it is for."""
    about = slot_at(model, loc).description.split(". ")[0].rstrip(".")
    return f"the key {loc[-1]} ({about[:1].lower()}{about[1:]})"


def fields_at(model: type[BaseModel], loc: Loc) -> list[str]:
    """The keys that a mapping at `loc` may have; none when any may stand there."""
    there = slot_at(model, loc).type
    return list(there.model_fields) if isinstance(there, type) and issubclass(there, BaseModel) else []


def slot_at(model: type[BaseModel], loc: Loc) -> Slot:
    """What `model` has at `loc`."""
    slot = Slot(model)
    for part in loc:
        slot = _inside(slot, part)
    return slot


def _inside(slot: Slot, part: str | int) -> Slot:
    if isinstance(slot.type, type) and issubclass(slot.type, BaseModel):
        field = slot.type.model_fields.get(str(part))
        if field is None:
            return Slot(None)
        inner = bare(field.annotation)
        return Slot(inner.type, (*field.metadata, *inner.constraints), field.description or "")
    arguments = get_args(slot.type)
    if get_origin(slot.type) is dict:
        return bare(arguments[1])
    return bare(arguments[0]) if get_origin(slot.type) is tuple else Slot(None)


def bare(annotation: object) -> Slot:
    """The type without `Annotated` and `None`."""
    if get_origin(annotation) is Annotated:
        inner, *constraints = get_args(annotation)
        slot = bare(inner)
        return Slot(slot.type, (*constraints, *slot.constraints))
    if get_origin(annotation) in (Union, UnionType):
        return bare(next(choice for choice in get_args(annotation) if choice is not NoneType))
    return Slot(annotation)


def in_range(slot: Slot) -> str:
    """The bounds of a number in words, with a space before them; empty when it has none."""
    limits = dict(_limits(slot))
    if "ge" in limits and "le" in limits:
        return f" from {limits['ge']} to {limits['le']}"
    above = f" above {limits['gt']}" if "gt" in limits else ""
    most = f"at most {limits['le']}" if "le" in limits else ""
    return f"{above} and {most}" if above and most else above or (most and f" of {most}")


def _limits(slot: Slot) -> Iterator[tuple[str, object]]:
    for constraint in slot.constraints:
        for name in ("ge", "gt", "le", "lt"):
            limit = getattr(constraint, name, None)
            if limit is not None:
                yield name, limit
