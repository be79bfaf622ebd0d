"""What the YAML parser says about broken syntax, in words that somebody who never read the YAML standard understands."""

import re
from collections.abc import Sequence

from ruamel.yaml.error import MarkedYAMLError

from kirzl_lab.catalog.mistakes import shown

Where = tuple[int, int]
Explained = tuple[int, int, str, str]

# Part of ruamel.yaml's message -> found (empty: what stands there), expected. The first that is contained counts.
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
    ("expected the node content", "", "a value, with every bracket closed"),
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
        return *where, _at(where, lines), _closing(flow.group(1), begun, where)
    if colonless := _without_colon(problem, begun, where, lines):
        return *colonless, f"{_at(colonless, lines)} without a colon", "“key: value”"
    for part, found, expected in KNOWN:
        if part in problem:
            return *where, found or _at(where, lines), expected
    return (
        *where,
        f"{_at(where, lines)}, which is not YAML here",
        "YAML: a value that holds special characters in quotes",
    )


def _closing(bracket: str, begun: Where, where: Where) -> str:
    opened = f"line {begun[0]}" if begun[0] != where[0] else "the left"
    return f"a comma, or the {bracket} for the {'[' if bracket == ']' else '{'} on {opened}"


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


def _without_colon(problem: str, begun: Where, where: Where, lines: Sequence[str]) -> Where | None:
    """Where a key stands whose colon is missing. Mostly the parser stumbles over the *next* colon only."""
    if "could not find expected ':'" in problem:
        return begun
    if "mapping values" not in problem:
        return None
    above = range(where[0] - 1, 0, -1)
    number = next((n for n in above if lines[n - 1].strip() and not lines[n - 1].lstrip().startswith("#")), None)
    if number is None:
        return None
    line = lines[number - 1]
    bare = ":" not in line and not line.lstrip().startswith("-")
    return (
        (number, _indentation(line) + 1) if bare and _indentation(line) == _indentation(lines[where[0] - 1]) else None
    )


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())
