"""Reads YAML into nodes that know their line and column. Only the plain part of YAML is taken.

Guarantees: whatever the bytes are, the answer is nodes or mistakes, never an exception; and nothing is expanded
(anchors, aliases, merge keys and tags are mistakes here), so that a small file cannot become a large one.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml import events as yaml_events
from ruamel.yaml.error import MarkedYAMLError

from kirzl_lab.catalog.mistakes import Mistake, shown
from kirzl_lab.catalog.text_file import TextFile, clean, is_invisible, read_text
from kirzl_lab.catalog.yaml_syntax import explain

LIMIT = 256 * 1024
"""Bytes of a YAML file. Some 500 institutions fit."""
DEEPEST = 20
"""Levels of nesting; the models need five."""
LONGEST_NUMBER = 40
"""Characters of a number; what is longer stays a text, and is refused as one."""

Key = str | int

# The core schema of YAML 1.2 (10.3.2), without octal and hexadecimal numbers, which nobody means here.
NULLS = frozenset({"", "~", "null", "Null", "NULL"})
TRUE, FALSE = frozenset({"true", "True", "TRUE"}), frozenset({"false", "False", "FALSE"})
INTEGER = re.compile(r"[-+]?[0-9]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclass(slots=True)
class Node:
    """A value in a YAML file: a scalar, a mapping (`entries` by key) or a list (`entries` by index)."""

    line: int
    column: int
    kind: str
    """`scalar`, `mapping` or `list`."""
    value: str | int | float | bool | None = None
    written: str = ""
    """A scalar as it was written, without quotes."""
    entries: dict[Key, "Node"] = field(default_factory=dict)
    keys: dict[Key, tuple[int, int]] = field(default_factory=dict)
    """Line and column of each key of a mapping."""

    def plain(self) -> Any:
        """The value as Python's own types."""
        if self.kind == "mapping":
            return {key: node.plain() for key, node in self.entries.items()}
        return [node.plain() for node in self.entries.values()] if self.kind == "list" else self.value

    def shown(self) -> str:
        """The value in words, for a mistake."""
        if self.kind != "scalar":
            return "a mapping" if self.kind == "mapping" else "a list"
        if isinstance(self.value, str):
            return f"“{shown(self.value)}”" if self.value else "an empty text"
        return "nothing" if self.value is None else shown(self.written)

    def at(self, *path: Key) -> "Node | None":
        """The node below this one along `path`; None when there is none."""
        node: Node | None = self
        for key in path:
            node = node.entries.get(key) if node is not None else None
        return node

    def mapping(self, *path: Key) -> dict[str, "Node"]:
        """The entries of the mapping at `path`; none when there is no mapping."""
        node = self.at(*path)
        return {str(key): child for key, child in node.entries.items()} if node and node.kind == "mapping" else {}

    def items(self, *path: Key) -> list["Node"]:
        """The entries of the list at `path`; none when there is no list."""
        node = self.at(*path)
        return list(node.entries.values()) if node and node.kind == "list" else []

    def text(self, *path: Key) -> str | None:
        """The text at `path`; None when there is none."""
        node = self.at(*path)
        return node.value if node and isinstance(node.value, str) else None


@dataclass
class YamlFile:
    """A YAML file as nodes (`root` is None when it could not be read) and the mistakes found so far."""

    path: Path
    root: Node | None
    mistakes: list[Mistake]
    spoilt: set[int] = field(default_factory=set)
    """Lines with a mistake that makes others look wrong."""
    readable: bool = True

    def add(self, line: int, column: int | None, found: str, expected: str) -> None:
        """Note a mistake, unless one on this line already explains it."""
        if line not in self.spoilt:
            self.mistakes.append(Mistake(self.path, line, column, found, expected))


def read_yaml(path: Path, inside: Path, expected: str) -> YamlFile:
    """The YAML file at `path`, which must lie inside the folder `inside`; `expected` says what should be there."""
    text = read_text(path, inside, LIMIT, expected)
    if not text.readable:
        return YamlFile(path, None, text.mistakes, readable=False)
    builder = _Builder(text)
    root = builder.build()
    return YamlFile(path, root, text.mistakes, builder.spoilt | text.spoilt, readable=root is not None)


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet."""

    node: Node
    key: str | None = None
    """The key whose value comes next, in a mapping."""
    at_key: bool = True


class _Builder:
    """Turns ruamel.yaml's events into nodes, without recursion."""

    def __init__(self, text: TextFile) -> None:
        self.text = text
        self.stack: list[_Open] = []
        self.root: Node | None = None
        self.last = (1, 1)
        self.spoilt: set[int] = set()

    def build(self) -> Node | None:
        try:
            for event in self._events():
                if not self._take(event):
                    return None
        except MarkedYAMLError as error:
            line, column, found, expected = explain(error, self.text.lines, self.last)
            if line not in self.text.spoilt:
                self.text.add(line, column, found, expected)
            return None
        except Exception:
            # The parser's own faults, for example OverflowError for the escape "\U99999999".
            self.text.add(*self.last, "something that is not YAML at or after this place", "YAML")
            return None
        if self.root is None:
            self.text.add(1, 1, "an empty file", "keys with values")
        return self.root

    def _events(self) -> Iterator[yaml_events.Event]:
        yield from YAML(typ="safe", pure=True).parse("\n".join(self.text.lines))

    def _take(self, event: yaml_events.Event) -> bool:
        """Take one event in; False when reading on makes no sense."""
        if event.start_mark is not None:
            self.last = (event.start_mark.line + 1, event.start_mark.column + 1)
        match event:
            case yaml_events.DocumentStartEvent() if self.root is not None:
                self.text.add(*self.last, "a second document", "one document: remove the line ---")
                return False
            case yaml_events.AliasEvent():
                self._mistake(f"the alias *{event.anchor}", "the value itself: aliases are not used here")
                self._put(Node(*self.last, "scalar"))
            case yaml_events.ScalarEvent():
                self._scalar(event)
            case yaml_events.MappingStartEvent() | yaml_events.SequenceStartEvent():
                return self._begin(event)
            case yaml_events.MappingEndEvent() | yaml_events.SequenceEndEvent():
                self.stack.pop()
        return True

    def _begin(self, event: yaml_events.MappingStartEvent | yaml_events.SequenceStartEvent) -> bool:
        self._extras(event)
        if len(self.stack) >= DEEPEST:
            self.text.add(*self.last, f"more than {DEEPEST} levels inside each other", "fewer")
            return False
        node = Node(*self.last, "mapping" if isinstance(event, yaml_events.MappingStartEvent) else "list")
        self._put(node)
        self.stack.append(_Open(node))
        return True

    def _scalar(self, event: yaml_events.ScalarEvent) -> None:
        self._extras(event)
        written = event.value
        wrong = next((character for character in written if character != "\n" and is_invisible(character)), None)
        if wrong is not None:
            self._mistake(f"the invisible character U+{ord(wrong):04X}", "text: delete it")
            written = "\n".join(map(clean, written.split("\n")))
        plain = event.style is None or event.style == ""
        self._put(Node(*self.last, "scalar", _resolve(written) if plain else written, written), plain=plain)

    def _extras(self, event: Any) -> None:
        if event.anchor is not None:
            self._mistake(f"the anchor &{event.anchor}", "a value: anchors are not used here")
        if getattr(event, "tag", None) is not None:
            self._mistake(f"the tag {shown(str(event.tag))}", "a value: tags are not used here")

    def _mistake(self, found: str, expected: str) -> None:
        self.text.add(*self.last, found, expected)
        self.spoilt.add(self.last[0])

    def _put(self, node: Node, plain: bool = False) -> None:
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        if parent.node.kind == "list":
            parent.node.entries[len(parent.node.entries)] = node
        elif parent.at_key:
            parent.at_key = False
            parent.key = self._key(parent.node, node, plain)
        else:
            parent.at_key = True
            if plain and not node.written and parent.key is not None:
                # The parser places a value that was left out at whatever comes next.
                node.line, node.column = parent.node.keys[parent.key]
            if parent.key is not None:
                parent.node.entries[parent.key] = node

    def _key(self, mapping: Node, key: Node, plain: bool) -> str | None:
        """The key as a text; None when its value is to be left out."""
        if key.kind != "scalar":
            self._mistake(f"{key.shown()} as a key", "a name")
            return None
        name = key.written
        if plain and name == "<<":
            self._mistake("the merge key <<", "the keys themselves: merge keys are not used here")
            return None
        if not isinstance(key.value, str):
            self._mistake(f"{key.shown()} as a key", "a name (quotes make a name of it)")
            return None
        if name in mapping.keys:
            first = mapping.keys[name][0]
            self.text.add(*self.last, f"the key {shown(name)} again", f"it once: it is on line {first} already")
            return None
        mapping.keys[name] = self.last
        return name


def _resolve(written: str) -> str | int | float | bool | None:
    """What a scalar without quotes means."""
    if written in NULLS:
        return None
    if written in TRUE or written in FALSE:
        return written in TRUE
    if len(written) <= LONGEST_NUMBER:
        if INTEGER.fullmatch(written):
            return int(written)
        if FLOAT.fullmatch(written):
            number = float(written)
            return number if math.isfinite(number) else written
    return written
