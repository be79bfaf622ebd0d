"""What Pydantic refuses, in plain English: what was expected at a place of a model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from kirzl_lab.catalog.mistakes import one_of_or_meant, shown
from kirzl_lab.catalog.models import MEANING

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


def expected(model: type[BaseModel], refusal: Refusal, value: object = None) -> str:
    """What `model` expects where it refused `value`. Never Pydantic's own words, but for types that it invents later."""
    slot = slot_at(model, refusal.loc)
    match refusal.type.split("_"):
        case ["value", "error"]:
            return str(refusal.context.get("error", refusal.message)).removeprefix("expected ")
        case ["string", "pattern", "mismatch"]:
            return MEANING[refusal.context["pattern"]]
        case ["string", "too", "long"]:
            return f"at most {refusal.context['max_length']} characters"
        case ["string", "too", "short"]:
            return "a text that is not empty"
        case ["string", *_]:
            number = isinstance(value, bool | int | float)
            return f'a text, in quotes: "{shown(str(value))}"' if number else "a text"
        case ["too", "short"]:
            return "at least one entry"
        case ["int", *_] | ["float", *_] | ["finite", *_] | ["greater", *_] | ["less", *_]:
            return f"{'a whole number' if slot.type is int else 'a number'}{_range(slot)}"
        case ["bool", *_]:
            return "true or false"
        case ["date", *_]:
            return "a day, for example 2026-10-01"
        case ["literal", "error"]:
            return one_of_or_meant(str(value or ""), map(str, get_args(slot.type)))
        case ["tuple", *_]:
            return "a list, for example [a, b]"
        case ["model", *_]:
            return f"a mapping with {', '.join(fields_at(model, refusal.loc))}"
        case ["dict", *_]:
            return "a mapping: a name, a colon, and what it stands for below it"
    return f"something else: {slot.description or refusal.message}"


def missing(model: type[BaseModel], loc: Loc) -> str:
    """The key at `loc` and what it is for."""
    return f"the key {loc[-1]} ({slot_at(model, loc).description.rstrip('.')})"


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
        inner = _bare(field.annotation)
        return Slot(inner.type, (*field.metadata, *inner.constraints), field.description or "")
    arguments = get_args(slot.type)
    if get_origin(slot.type) is dict:
        return _bare(arguments[1])
    return _bare(arguments[0]) if get_origin(slot.type) is tuple else Slot(None)


def _bare(annotation: Any) -> Slot:
    """The type without `Annotated` and `None`."""
    if get_origin(annotation) is Annotated:
        inner, *constraints = get_args(annotation)
        bare = _bare(inner)
        return Slot(bare.type, (*constraints, *bare.constraints))
    if get_origin(annotation) in (Union, UnionType):
        return _bare(next(choice for choice in get_args(annotation) if choice is not NoneType))
    return Slot(annotation)


def _range(slot: Slot) -> str:
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
