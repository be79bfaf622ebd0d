"""What the YAML parser says about broken syntax, in words that somebody who never read the YAML standard understands."""

import re
from collections.abc import Callable, Sequence

from ruamel.yaml.error import MarkedYAMLError

from kirzl_lab.catalog.mistakes import shown

Where = tuple[int, int]
Explained = tuple[int, int, str, str]

# Part of ruamel.yaml's message -> found, expected. The first that is contained counts.
KNOWN = (
    ("found character '\\t'", "a tab", "spaces: YAML takes no tabs for indentation"),
    ("found character '@'", "a value that begins with @", "the value in quotes"),
    ("found character '`'", "a value that begins with `", "the value in quotes"),
    ("found character '%'", "a value that begins with %", "the value in quotes"),
    ("incompatible YAML document", "a version of YAML that nobody here speaks", "the file without the line %YAML"),
    ("unknown escape character", "a backslash with a letter that means nothing", "single quotes, or two backslashes"),
    ("expected escape sequence", "an escape that is not complete", "single quotes, or two backslashes"),
    (
        "mapping values are not allowed",
        "a colon that cannot stand here",
        "one “key: value” a line, indented like its neighbours, and quotes around a value that holds a colon",
    ),
    ("sequence entries are not allowed", "a list entry that cannot stand here", "each “- entry” on a line of its own"),
    (
        "expected <block end>",
        "a line that does not fit the lines above",
        "the same indentation as its neighbours, and “key: value” or “- entry”",
    ),
    (
        "expected '<document start>'",
        "a line that does not fit the lines above",
        "the same indentation as the first key",
    ),
)


def explain(error: MarkedYAMLError, lines: Sequence[str], last: Where) -> Explained:
    """Line, column, what was found and what was expected. `last` is where the last part that could be read began."""
    problem = error.problem or ""
    begun = _mark(error.context_mark, lines) or last
    where = _mark(error.problem_mark, lines) or begun
    if "quoted scalar" in (error.context or "") and "end of stream" in problem:
        return *begun, "a quotation mark that is never closed", "one at the end of the text as well"
    if flow := re.match(r"expected ',' or '([\]}])'", problem):
        close = flow.group(1)
        opened = f"line {begun[0]}" if begun[0] != where[0] else "the left"
        return *where, _at(where, lines), f"a comma, or the {close} for the {'[' if close == ']' else '{'} on {opened}"
    if "could not find expected ':'" in problem:
        return *begun, f"{_at(begun, lines)} without a colon", "“key: value”"
    if forgotten := _without_colon(where, lines) if "mapping values" in problem else None:
        return *forgotten, f"“{shown(lines[forgotten[0] - 1])}” without a colon", "“key: value”"
    if "expected the node content" in problem:
        return *where, _at(where, lines), "a value, with every bracket closed"
    for part, found, expected in KNOWN:
        if part in problem:
            return *where, found, expected
    return (
        *where,
        f"{_at(where, lines)}, which is not YAML here",
        "YAML: a value that holds special characters in quotes",
    )


def _mark(mark: object, lines: Sequence[str]) -> Where | None:
    line, column = getattr(mark, "line", None), getattr(mark, "column", None)
    if line is None or column is None:
        return None
    # The end of the file is told as the line after the last.
    return min(line + 1, max(len(lines), 1)), column + 1


def _at(where: Where, lines: Sequence[str]) -> str:
    line = lines[where[0] - 1] if where[0] <= len(lines) else ""
    rest = shown(line[where[1] - 1 :])
    return f"“{rest}”" if rest else "the end of the line"


def _without_colon(where: Where, lines: Sequence[str]) -> Where | None:
    """A key on a line of its own whose colon is missing makes the parser stumble over the *next* colon."""
    indentation: Callable[[str], int] = lambda line: len(line) - len(line.lstrip())  # noqa: E731 - one use, one line
    here = lines[where[0] - 1]
    for number in range(where[0] - 1, 0, -1):
        line = lines[number - 1]
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        bare = ":" not in line and not line.lstrip().startswith("-")
        return (number, indentation(line) + 1) if bare and indentation(line) == indentation(here) else None
    return None
