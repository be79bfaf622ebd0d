"""`python -m kirzl_lab.look.extract`: bring every sentence of pages and problems into the German catalogue.

What is found: `_()` and `{% trans %}` in templates; in Python what is handed to `gettext` or `Phrase`, the sentences of
problems, and the tables of words below. Texts that are there stay; sentences that are gone go. New ones are empty,
which a test tells.
"""

import ast
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from kirzl_lab.look.i18n import CATALOGUES

PACKAGE = Path(__file__).parents[1]
GERMAN = CATALOGUES / "de" / "LC_MESSAGES" / "messages.po"

TABLES: dict[str, tuple[str, ...]] = {
    "store/archive_rules.py": ("SENTENCES",),
    "hub/spaces.py": ("ROLE_TITLES", "sentences", "words"),
    "service/words.py": (
        "ROLES",
        "KINDS",
        "STATES",
        "STAGES",
        "OWN_STAGES",
        "RUN_STATES",
        "REASONS",
        "VERBS",
        "SENTENCES",
        "OPERATORS_ROSTER",
        "DETAILS",
        "ACTORS",
        "UNKNOWN",
    ),
    "service/routes/roster_pages.py": ("CLAIMS", "STATES"),
    "spawning/gpu.py": ("NO_GPU", "NO_SLICE", "NO_WHOLE", "ALL_TAKEN"),
    "spawning/last_words.py": ("IDLE_HOURS", "IDLE_MINUTES"),
    "spawning/cluster_start.py": ("PLACE", "VOLUME", "IMAGE", "STARTING", "ANSWERS"),
    "spawning/endings.py": (
        "OUT_OF_MEMORY",
        "ENDED_ITSELF",
        "NOT_STARTED",
        "NOT_READY",
        "NO_IMAGE",
        "NO_ROOM",
        "TOO_LARGE",
        "NO_VOLUME",
        "EVICTED",
        "DRAINED",
        "NODE_LOST",
        "STILL_ENDING",
        "REMOVED",
        "NOT_SET_UP",
        "QUOTA",
        "CLUSTER_AWAY",
        "LOST_START",
        "NO_ROUTE",
    ),
    "spawning/laptop.py": ("FOLDER", "MATERIALS", "STARTING", "ANSWERS"),
}
"""File -> names in it whose strings are message ids that are looked up later."""

HEADER = """\
# German for KIRZL Lab. Words: docs/decisions/0301-words-in-german.md. Update: python -m kirzl_lab.look.extract
msgid ""
msgstr ""
"Language: de\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"

"""
"""Without dates and names of tools, so that an update changes nothing but sentences."""

ENGLISH_ONLY = ("catalog", "cli", "store")
"""Rooms that speak to terminals and logs, which are English; but for the tables above."""


def found(package: Path = PACKAGE) -> Catalog:
    """Every message id of the package, with the files where it is."""
    catalogue = Catalog(locale="de", project="KIRZL Lab", charset="utf-8")
    for file in sorted(package.rglob("*.html")):
        with file.open("rb") as source:
            for _line, message, _comments, _context in extract(
                "jinja2.ext:babel_extract", source, options={"silent": "no"}
            ):
                catalogue.add(message, locations=[(_name(file, package), 0)])
    for file in sorted(package.rglob("*.py")):
        if _room(file, package) not in ENGLISH_ONLY or _name(file, package) in TABLES:
            for message in python_messages(file.read_text("utf-8"), TABLES.get(_name(file, package), ())):
                catalogue.add(message, locations=[(_name(file, package), 0)])
    return catalogue


def python_messages(source: str, tables: tuple[str, ...] = ()) -> Iterator[str]:
    """The message ids of a Python file; `tables` are names whose strings are all of them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args and _called(node) in ("gettext", "_", "Phrase"):
            yield from _strings(node.args[0])
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
            if "sentence" in names or names & set(tables):
                yield from _strings(node.value)


def update(file: Path = GERMAN, package: Path = PACKAGE) -> Catalog:
    """Write what is found into the catalogue in `file` and return it, with the texts that were there."""
    catalogue = read(file)
    catalogue.update(found(package), no_fuzzy_matching=True)
    text = BytesIO()
    write_po(text, catalogue, width=0, omit_header=True, ignore_obsolete=True, include_lineno=False)
    file.write_text(HEADER + text.getvalue().decode(), "utf-8")
    return catalogue


def untranslated(catalogue: Catalog) -> list[str]:
    """The message ids without a text; of a plural, the singular."""
    empty = (message for message in catalogue if message.id and not (message.string and all(message.string)))
    return [message.id if isinstance(message.id, str) else message.id[0] for message in empty]


def read(file: Path = GERMAN) -> Catalog:
    """The catalogue in `file`."""
    with file.open("rb") as source:
        return read_po(source, locale="de")


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _strings(node: ast.expr) -> Iterator[str]:
    """The strings in an expression, but not the keys of its dictionaries nor those that `get` is called with."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.value
        return
    if isinstance(node, ast.Attribute | ast.Subscript):
        return
    parts: list[Any] = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Dict):
        parts = node.values
    elif isinstance(node, ast.Call):
        parts = node.args[1:]
    for part in parts:
        if isinstance(part, ast.expr):
            yield from _strings(part)


def _name(file: Path, package: Path) -> str:
    return file.relative_to(package).as_posix()


def _room(file: Path, package: Path) -> str:
    return _name(file, package).partition("/")[0]


if __name__ == "__main__":
    missing = untranslated(update())
    print("\n".join(["Without a German text:", *missing] if missing else ["Every sentence has a German text."]))
