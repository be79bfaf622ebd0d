"""Why a server ended, from what it left behind to a sentence, and how that is kept until it is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kirzl_lab.problems import Phrase
from kirzl_lab.spawning.activity import IDLE

VARIABLE = "KIRZL_LAB_TERMINATION_LOG"
"""Tells a server the file in which it leaves why it ends; `idle.LAST_WORDS`, which is not imported: it needs a server."""

LONGEST = 4096
"""In bytes; what Kubernetes keeps of a termination message."""

IDLE_HOURS = "Your server had nothing to do for %(hours)d hours and was ended. Your files are kept."
IDLE_MINUTES = "Your server had nothing to do for %(minutes)d minutes and was ended. Your files are kept."


def why(text: str) -> Phrase | None:
    """The sentence for what an idle server wrote before it ended; None for everything else."""
    word, _, number = text.strip().partition(" ")
    try:
        minutes = max(1, round(float(number) * 60))
    except (ValueError, OverflowError):  # no number, not a number, infinite
        return None
    if word != IDLE:
        return None
    if minutes >= 120 and minutes % 60 == 0:
        return Phrase(IDLE_HOURS, {"hours": minutes // 60})
    return Phrase(IDLE_MINUTES, {"minutes": minutes})


def left_in(file: Path) -> Phrase | None:
    """The sentence for what a server left in that file; None when there is nothing that we know."""
    try:
        return why(file.read_bytes()[:LONGEST].decode(errors="replace"))
    except OSError:
        return None


def remember(phrase: Phrase | None) -> dict[str, Any]:
    """What JupyterHub keeps of it with the spawner's state."""
    if phrase is None:
        return {}
    return {"last_end": phrase.message} | ({"last_end_fields": dict(phrase.fields)} if phrase.fields else {})


def remembered(state: Mapping[str, Any] | None) -> Phrase | None:
    """What `remember` put into a spawner's state."""
    message = (state or {}).get("last_end")
    return Phrase(message, (state or {}).get("last_end_fields") or {}) if message else None
