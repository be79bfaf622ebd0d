"""What is in a page of the documentation: blocks of code, the commands among them, links. Reads files, judges nothing."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
CLUSTER = REPOSITORY / "docs" / "how-to" / "cluster"
PAGES = sorted(
    [
        *REPOSITORY.glob("*.md"),
        *REPOSITORY.glob("docs/**/*.md"),
        *(REPOSITORY / folder / "README.md" for folder in ("images", "helm/z2jh", "tools/onenode")),
        REPOSITORY / "tools" / "demo_institutions" / "README.md",
    ]
)
_FENCED = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A block of code: its language, and its lines without the indentation of the list that it may stand in."""

    language: str
    text: str

    @property
    def file(self) -> str:
        """The file that its first line names in a comment, or nothing."""
        found = re.match(r"# (\S+)\n", self.text)
        return found.group(1) if found else ""


def blocks(page: Path) -> list[Block]:
    """The blocks of code of a page."""
    found = _FENCED.finditer(page.read_text(encoding="utf-8"))
    return [Block(each["language"], textwrap.dedent(each["text"])) for each in found]


def commands(page: Path) -> list[str]:
    """What a page tells people to type, in order: all of a block of `sh`, in `console` what follows a `$`."""
    found: list[str] = []
    for block in blocks(page):
        lines = block.text.splitlines()
        if block.language == "sh":
            found += [line for line in lines if line]
        elif block.language == "console":
            found += [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return found


def links(page: Path) -> Iterator[str]:
    """Where a page leads to, pictures included."""
    for each in _LINK.finditer(_without_code(page)):
        yield each["target"]


def spans(page: Path) -> list[str]:
    """The code that stands in sentences and tables."""
    return re.findall(r"`([^`\n]+)`", _FENCED.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """What can follow a `#` in the address of a page: its headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _without_code(page: Path) -> str:
    return re.sub(r"`[^`\n]+`", "", _FENCED.sub("", page.read_text(encoding="utf-8")))
