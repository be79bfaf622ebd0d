"""The end of what a step wrote, for the people who run the course."""

import os
import re
from pathlib import Path
from typing import Final

LENGTH: Final = 16 * 1024
"""In bytes: as much of a log as is kept."""

CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[^\n\t -\U0010ffff]|[\x7f-\x9f]")
"""Colours of a terminal, and characters that databases and pages cannot hold."""


def end_of(file: Path) -> str:
    """The last `LENGTH` bytes of the file, without a line that was cut and without control characters."""
    if not file.is_file():
        return ""
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - LENGTH))
        text = CONTROL.sub("", stream.read(LENGTH).decode(errors="replace"))
    return text.partition("\n")[2] if size > LENGTH and "\n" in text else text
