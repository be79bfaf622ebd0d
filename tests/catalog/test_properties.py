"""Whatever is in the files: a catalogue or mistakes, never anything else; and mistakes are where they were made."""

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from kirzl_lab.catalog.models import is_space_name
from tests.catalog.conftest import COURSE, INSTITUTIONS, LAB, ROSTER, SIZES, Site, make_site

TEXTS = {
    "lab.yaml": LAB,
    "sizes.yaml": SIZES,
    "institutions.yaml": INSTITUTIONS,
    "course.yaml": COURSE,
    "roster.csv": ROSTER,
}
names = st.sampled_from(sorted(TEXTS))


@contextmanager
def a_site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as folder:
        yield make_site(Path(folder))


def is_told_well(site: Site) -> None:
    """Either it loads, or each mistake is one printable line about a line that is there."""
    for mistake in site.mistakes():
        assert str(mistake).isprintable() and str(mistake).encode("utf-8")
        assert len(mistake.found) < 300
        if mistake.line:
            data = mistake.file.read_bytes()
            assert 1 <= mistake.line <= 1 + data.count(b"\n") + data.count(b"\r")
            assert mistake.column is None or mistake.column >= 1


@settings(max_examples=50)
@given(name=names, data=st.binary(max_size=200))
def test_any_bytes_at_all(name: str, data: bytes) -> None:
    with a_site() as site:
        site.path(name).write_bytes(data)
        is_told_well(site)


YAML_BITS = ["a", "- ", ": ", "\n", "  ", "\t", "[", "]", "{", "}", ",", "&x ", "*x", "!!int ", "!", "|", ">", "'", '"', "\\", "#", "%",
             "@", "?", "---", "...", "<<", "~", "null", "1", "1e9", ".nan", "\r", "\0", "\ufeff", "\u2028", "\U0001f600", "title", "sizes",
             "institutions", "operators", "institution;claim", ",value,role"]  # fmt: skip


@settings(max_examples=80)
@given(name=names, parts=st.lists(st.sampled_from(YAML_BITS), max_size=40))
def test_bits_of_yaml_in_any_order(name: str, parts: list[str]) -> None:
    with a_site() as site:
        site.path(name).write_text("".join(parts), encoding="utf-8", newline="")
        is_told_well(site)


@settings(max_examples=80)
@given(name=names, seed=st.integers(0, 2**32), cuts=st.lists(st.sampled_from(["", *YAML_BITS]), min_size=1, max_size=4))
def test_good_files_with_something_put_in_or_cut_out(name: str, seed: int, cuts: list[str]) -> None:
    choose = random.Random(seed)
    text = TEXTS[name]
    for new in cuts:
        start = choose.randrange(len(text) + 1)
        text = text[:start] + new + text[start + choose.choice([0, 0, 1, 5, 30]) :]
    with a_site() as site:
        site.path(name).write_text(text, encoding="utf-8", newline="")
        is_told_well(site)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(name=names.filter(lambda name: name != "roster.csv"), value=json_like, place=st.integers(0, 30))
def test_any_value_in_any_place(name: str, value: object, place: int) -> None:
    lines = TEXTS[name].splitlines()
    index = place % len(lines)
    key, colon, _ = lines[index].partition(":")
    # The repr of Python's own values is close enough to YAML's flow style to be mostly understood.
    lines[index] = f"{key}{colon} {value!r}"
    with a_site() as site:
        site.path(name).write_text("\n".join(lines), encoding="utf-8", errors="backslashreplace")
        is_told_well(site)


@given(name=st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=30))
def test_a_course_is_called_what_a_space_may_be_called(name: str) -> None:
    if name in (".", "..") or len(name.encode()) > 255:
        return
    with a_site() as site:
        site.course.rename(site.courses / name)
        mistakes = site.mistakes()
        is_told_well(Site(site.root)) if not name.startswith(".") else None
        assert bool(mistakes) == (not is_space_name(name) and not name.startswith("."))


SIZE = ["  {name}:", "    title:", "      de: Größe {n}", "      en: Size {n}", "    cpus: 2", "    memory_gib: 4.5"]
# (index in SIZE, what is written there instead)
MISTAKES = [
    (0, "  {name}-:"), (0, "  Upper{n}:"), (0, "  {n}:"), (1, "    titel:"), (2, "      de: 5"), (2, "      de:"), (2, "      de: []"),
    (3, "      en: ''"), (3, "      fr: Taille"), (4, "    cpus: two"), (4, "    cpus: -1"), (4, "    cpus:"), (4, "    cpu: 2"),
    (4, "    cpus: &x 2"), (4, "    cpus: !!int 2"), (5, "    memory_gib: '4'"), (5, "    memory_gib: [4]"),
    (5, "    memory_gib: 4\u200b"), (5, "    memory_gib:\n      4 GiB"), (5, "    memory_gib: 4\n    gpu: none-such"),
]  # fmt: skip
filler = st.lists(st.sampled_from(["", "# comment", "   ", "      # indented: comment", "# “ä” 😀"]), max_size=2)


@given(
    wrong=st.dictionaries(st.integers(0, 5), st.sampled_from(MISTAKES), min_size=1, max_size=4),
    fillers=st.lists(filler, min_size=6, max_size=6),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_mistakes_are_told_at_exactly_the_lines_where_they_are(
    wrong: dict[int, tuple[int, str]], fillers: list[list[str]], end: str
) -> None:
    lines, expected = ["flavours: {}", "sizes:", *SIZE_LARGE], []
    for n in range(6):
        for index, line in enumerate(SIZE):
            lines += fillers[n] if index % 2 else []
            at, instead = wrong.get(n, (None, ""))
            written = (instead if index == at else line).format(name=f"size-{n}", n=n).split("\n")
            lines += written
            if index == at:
                expected.append(len(lines))
    with a_site() as site:
        site.path("sizes.yaml").write_text(end.join(lines), encoding="utf-8", newline="")
        site.change("course.yaml", "[small, large]", "[small]")
        told = {mistake.line for mistake in site.mistakes() if mistake.file.name == "sizes.yaml"}
    # A key that was renamed is missed as well, at the key above it.
    assert set(expected) <= told
    assert told - set(expected) <= {number for number in told if lines[number - 1].strip() in {"title:", "titel:"}}


SIZE_LARGE = ["  small:", "    title: {de: Klein, en: Small}", "    cpus: 1", "    memory_gib: 2"]
