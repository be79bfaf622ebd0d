"""YAML as people break it: each mistake at its line, in words that need no knowledge of the standard."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.catalog.yaml_file import LIMIT, YamlFile, read_yaml


def read(folder: Path, text: str | bytes) -> YamlFile:
    path = folder / "some.yaml"
    path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    return read_yaml(path, folder, "some.yaml")


def told(file: YamlFile) -> list[str]:
    return [f"{m.line}:{m.column} found {m.found}, expected {m.expected}" for m in file.mistakes]


COLON = "one “key: value” a line, indented like its neighbours, and quotes around a value that holds a colon"
LIKE_NEIGHBOURS = "the same indentation as its neighbours, and “key: value” or “- entry”"

BROKEN = {
    "tab": ("a:\n\tb: 1\n", ["2:1 found a tab, expected spaces: YAML takes no tabs for indentation"]),
    "tab after colon": ("a:\tb\n", ["1:3 found a tab, expected spaces: YAML takes no tabs for indentation"]),
    "list left open": ("a: [b,\n  c\nd: e\n", ["3:2 found “: e”, expected a comma, or the ] for the [ on line 1"]),
    "mapping left open": ("a: {b: c", ["1:9 found the end of the line, expected a comma, or the } for the { on the left"]),
    "quote left open": ('a: 1\nb: "c\nd: e\n', ["2:4 found a quotation mark that is never closed, expected one at the end of the text as well"]),
    "colon in value": ("a: b: c\n", [f"1:5 found a colon that cannot stand here, expected {COLON}"]),
    "colon forgotten": ("a: 1\n# note\n\nb\nc: 2\n", ["4:1 found “b” without a colon, expected “key: value”"]),
    "colon forgotten first": ("b\nc: 2\n", ["1:1 found “b” without a colon, expected “key: value”"]),
    "too deep": ("a: 1\n  b: 2\n", [f"2:4 found a colon that cannot stand here, expected {COLON}"]),
    "too far left": ("  a: 1\nb: 2\n", ["2:1 found a line that does not fit the lines above, expected the same indentation as the first key"]),
    "list then key": ("- a\nb: 1\n", [f"2:1 found a line that does not fit the lines above, expected {LIKE_NEIGHBOURS}"]),
    "at sign": ("a: @b\n", ["1:4 found a value that begins with @, expected the value in quotes"]),
    "backtick": ("a: `b`\n", ["1:4 found a value that begins with `, expected the value in quotes"]),
    "percent": ("a: %b\n", ["1:4 found a value that begins with %, expected the value in quotes"]),
    "backslash": ('a: "C:\\people"\n', ["1:8 found a backslash with a letter that means nothing, expected single quotes, or two backslashes"]),
    "short escape": ('a: "\\xq"\n', ["1:7 found an escape that is not complete, expected single quotes, or two backslashes"]),
    "list in value": ("a: - b\n", ["1:4 found a list entry that cannot stand here, expected each “- entry” on a line of its own"]),
    "two documents": ("a: 1\n---\nb: 2\n", ["2:1 found a second document, expected one document: remove the line ---"]),
    "future YAML": ("%YAML 3.0\n---\na: 1\n", ["1:1 found a version of YAML that nobody here speaks, expected the file without the line %YAML"]),
    "merge conflict": ("<<<<<<< HEAD\na: 1\n", ["1:1 found “<<<<<<< HEAD” without a colon, expected “key: value”"]),
    "huge escape": ('a: "\\U99999999"\n', ["1:1 found something that is not YAML at or after this place, expected YAML"]),
    "empty": ("", ["1:1 found an empty file, expected keys with values"]),
    "comments only": ("# a\n# b\n", ["1:1 found an empty file, expected keys with values"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_syntax_is_told_in_plain_words(tmp_path: Path, name: str) -> None:
    text, expected = BROKEN[name]
    file = read(tmp_path, text)

    assert told(file) == expected
    assert not file.readable


TRICKS = {
    "anchor and alias": ("a: &x 1\nb: *x\n", ["1:4 found the anchor &x, expected a value: anchors are not used here", "2:4 found the alias *x, expected the value itself: aliases are not used here"]),
    "merge key": ("a:\n  <<: {b: 1}\n", ["2:3 found the merge key <<, expected the keys themselves: merge keys are not used here"]),
    "tag": ("a: !!python/object/apply:os.system [x]\n", ["1:4 found the tag tag:yaml.org,2002:python/object/apply:os.system, expected a value: tags are not used here"]),
    "number as a key": ("1: a\n", ["1:1 found 1 as a key, expected a name (quotes make a name of it)"]),
    "true as a key": ("true: a\n", ["1:1 found true as a key, expected a name (quotes make a name of it)"]),
    "nothing as a key": ("? \n: a\n", ["1:2 found nothing as a key, expected a name (quotes make a name of it)"]),
    "list as a key": ("? [a]\n: b\n", ["1:3 found a list as a key, expected a name"]),
    "key twice": ("a: 1\nb: 2\na: 3\n", ["3:1 found the key a again, expected it once: it is on line 1 already"]),
    "key twice in braces": ("c: {a: 1, a: 2}\n", ["1:11 found the key a again, expected it once: it is on line 1 already"]),
    "invisible": ("a: b\u202ec\nd: e\n", ["1:5 found the invisible character U+202E, expected text: delete it"]),
    "NUL": ("a: b\nc: d\x00\n", ["2:5 found the invisible character U+0000, expected text: delete it"]),
    "NUL escaped": ('a: "b\\0"\n', ["1:4 found the invisible character U+0000, expected text: delete it"]),
    "half a character": ('a: "\\ud800"\n', ["1:4 found the invisible character U+D800, expected text: delete it"]),
    "another line end": ("a: b\u2028c d\x85\ne: [\n", ["1:5 found the invisible character U+2028, expected text: delete it", "3:1 found the end of the line, expected a value, with every bracket closed"]),
    "Latin-1": ("a: 1\nb: Universität\n".encode("latin-1"), ["2:13 found the byte 0xe4, “ä” in Windows-1252, expected UTF-8: save the file with that encoding"]),
    "UTF-16": ("a: 1\n".encode("utf-16"), ["1:1 found UTF-16, expected UTF-8: save the file with that encoding"]),
    "one mistake, not its echo": ("a: b\u2028c: d\n", ["1:5 found the invisible character U+2028, expected text: delete it"]),
    "deep": ("a: " + "[" * 5000, ["1:23 found more than 20 levels inside each other, expected fewer"]),
}  # fmt: skip


@pytest.mark.parametrize("name", TRICKS)
def test_tricks_are_refused(tmp_path: Path, name: str) -> None:
    text, expected = TRICKS[name]

    assert told(read(tmp_path, text)) == expected


def test_a_bomb_of_aliases_stays_small(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 200)]
    began = time.monotonic()
    file = read(tmp_path, "\n".join(lines))

    assert len(file.mistakes) == 200 + 2 * 199
    assert time.monotonic() - began < 5


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    assert told(read(tmp_path, b"#" * (LIMIT + 1))) == [
        "0:None found a file that is too large, expected at most 256 KiB"
    ]
    assert told(read(tmp_path, b"a: 1\n#" + b"x" * (LIMIT - 6))) == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("NO", "NO"), ("true", True), ("False", False), ("~", None), ("", None),
        ("12", 12), ("-3", -3), ("012", 12), ("1_000", "1_000"), ("0x1F", "0x1F"), ("1:30", "1:30"), ("1.5", 1.5),
        ("1e3", 1000.0), ("1e999", "1e999"), (".nan", ".nan"), (".inf", ".inf"), ("2026-10-01", "2026-10-01"),
        ("'12'", "12"), ('"true"', "true"), ("9" * 50, "9" * 50), ("2026/27 winter", "2026/27 winter"),
        (">-\n  one\n  two", "one two"), ("=", "="), ("'~'", "~"),
    ],
)  # fmt: skip
def test_what_a_value_means(tmp_path: Path, written: str, meant: object) -> None:
    file = read(tmp_path, f"a: {written}\n")

    assert told(file) == []
    assert file.root is not None
    assert file.root.plain() == {"a": meant}
    assert type(file.root.plain()["a"]) is type(meant)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_of_every_system(tmp_path: Path, end: str, mark: str) -> None:
    file = read(tmp_path, mark + end.join(["a: 1", "# ä", "b:", "  c: 2", "b: 3", ""]))

    assert told(file) == ["5:1 found the key b again, expected it once: it is on line 3 already"]
    assert file.root is not None
    assert file.root.plain() == {"a": 1, "b": {"c": 2}}


words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20)
blank = st.lists(st.sampled_from(["", "# a comment: with a colon", "   ", "  # indented"]), max_size=3)


@given(entries=st.lists(st.tuples(words, words, blank), min_size=1, max_size=12, unique_by=lambda entry: entry[0]))
def test_every_key_and_value_is_where_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, str, list[str]]]
) -> None:
    lines: list[str] = []
    places = {}
    for key, value, between in entries:
        lines += between
        quoted_key, quoted_value = ("'" + text.replace("'", "''") + "'" for text in (key, value))
        lines.append(f"{quoted_key}:  {quoted_value}")
        places[key] = (len(lines), len(quoted_key) + 4)

    file = read(tmp_path_factory.getbasetemp(), "\n".join(lines))

    assert told(file) == []
    assert file.root is not None
    assert file.root.plain() == {key: value for key, value, _ in entries}
    assert {key: (node.line, node.column) for key, node in file.root.entries.items()} == places
    assert file.root.keys == {key: (line, 1) for key, (line, _) in places.items()}
