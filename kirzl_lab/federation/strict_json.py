"""JSON as other people's servers send it, read so that nothing in it can mean two things."""

import json
from collections.abc import Sequence
from typing import Any


def read_object(text: bytes | str) -> dict[str, Any]:
    """The JSON object in `text` (UTF-8).

    Raises `ValueError` for anything else, for a member that is there twice (RFC 8259, section 4, leaves open which
    one counts), for NaN and Infinity, and for nesting too deep to read.
    """
    try:
        found = json.loads(
            text if isinstance(text, str) else text.decode("utf-8"),
            object_pairs_hook=_members,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("expected a JSON object")
    return found


def _members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
