"""A mistake in a file that a site wrote: where it is, what was found there and what was expected."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

LONGEST = 60
"""Characters of a value that are shown; what people need is to find it, not to read it whole."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake. `str()` is one line for a terminal, `as_json()` the same for programs."""

    file: Path
    line: int
    """Counted from 1; 0 when the file or folder as a whole is meant."""
    column: int | None
    """Counted from 1, in characters."""
    found: str
    expected: str

    def __str__(self) -> str:
        """One line, for example `courses/ml-101/course.yaml:7: found a list, expected a text`."""
        where = f"{shown_path(self.file)}:{self.line}" if self.line else shown_path(self.file)
        return f"{where}: found {self.found}, expected {self.expected}"

    def as_json(self) -> dict[str, str | int | None]:
        """The mistake as JSON: `file`, `line` and `column` (null when unknown), `found`, `expected`, `message`."""
        return {
            "file": shown_path(self.file),
            "line": self.line or None,
            "column": self.column,
            "found": self.found,
            "expected": self.expected,
            "message": str(self),
        }


class CatalogueMistakes(Exception):  # noqa: N818 - it carries mistakes, and reads so where it is raised
    """The catalogue cannot be used: `mistakes` are all of them, by file and line. `str()` has one line for each."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = in_order(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


def in_order(mistakes: Iterable[Mistake]) -> tuple[Mistake, ...]:
    """The mistakes by file and line, each once."""
    return tuple(sorted(set(mistakes), key=lambda mistake: (str(mistake.file), mistake.line, mistake.column or 0)))


def shown_path(path: Path) -> str:
    """The path as people type it: relative to the current folder when it is inside, printable in any case."""
    here = Path(os.path.abspath("."))  # noqa: PTH100 - a name is shortened here, no symlink followed
    text = str(path.relative_to(here) if path.is_relative_to(here) else path)
    return text if text.isprintable() else ascii(text)


def shown(value: str) -> str:
    """A value from a file, on one line, shortened and without characters that a terminal would obey."""
    text = " ".join(value.split())
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def one_of(choices: Iterable[str]) -> str:
    """The choices in words: `one of a, b, c`."""
    names = list(choices)
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"


def meant(found: str, choices: Iterable[str]) -> str | None:
    """The one of `choices` that somebody who wrote `found` most likely meant, if one is close."""
    known = list(choices)
    close = get_close_matches(found.lower(), [choice.lower() for choice in known], n=1, cutoff=0.65)
    return next((choice for choice in known if close and choice.lower() == close[0]), None)


def one_of_or_meant(found: str, choices: Iterable[str]) -> str:
    """What to expect where `found` is none of `choices`: the close one first, then the rest."""
    known = list(choices)
    close = meant(found, known)
    return f"{one_of(known)} (did you mean {close}?)" if close and len(known) > 1 else one_of(known)
