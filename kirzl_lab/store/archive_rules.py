"""What an archive of an assignment may be: its limits, its paths and headers, and the reasons why one is refused. Pure.

A path that passes `check_path`, and does not clash in `Names`, can be written below a folder of any system and stays
below it. On the standard library alone, as `archives`, which is what one imports.
"""

import re
import tarfile
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

BLOCK = tarfile.BLOCKSIZE
CHUNK = 64 * 1024
"""Bytes in memory at a time, packed and unpacked each."""
END = 2 * BLOCK
"""Bytes of zeros with which an archive ends at least; others than `pack` fill up to a record besides."""
RATIO_FROM = 16 << 20
"""Bytes that may come of any archive before its ratio counts: a small file of zeros is no bomb."""


class Reason(StrEnum):
    """Why an archive is refused, or a folder not packed."""

    NOT_AN_ARCHIVE = "not-an-archive"
    TRUNCATED = "truncated"
    TRAILING = "trailing"
    PACKED_TOO_BIG = "packed-too-big"
    TOO_BIG = "too-big"
    TOO_MANY = "too-many"
    RATIO = "ratio"
    LINK = "link"
    NOT_A_FILE = "not-a-file"
    ODD_HEADER = "odd-header"
    NOT_TEXT = "not-text"
    CONTROL = "control"
    ABSOLUTE = "absolute"
    TRAVERSAL = "traversal"
    RESERVED = "reserved"
    TOO_LONG = "too-long"
    TOO_DEEP = "too-deep"
    DUPLICATE = "duplicate"
    CHANGED = "changed"
    UNREADABLE = "unreadable"


SENTENCES = {
    Reason.NOT_AN_ARCHIVE: "this is not a tar.gz archive, or it is damaged",
    Reason.TRUNCATED: "the archive ends too early",
    Reason.TRAILING: "the archive goes on after its end",
    Reason.PACKED_TOO_BIG: "the archive is larger than %(limit)s bytes",
    Reason.TOO_BIG: "its files are larger than %(limit)s bytes together",
    Reason.TOO_MANY: "it has more than %(limit)s files and folders",
    Reason.RATIO: "it unpacks to more than %(limit)s times its size",
    Reason.LINK: "“%(name)s” is a link",
    Reason.NOT_A_FILE: "“%(name)s” is not a file",
    Reason.ODD_HEADER: "the entry of “%(name)s” is not as the lab writes it",
    Reason.NOT_TEXT: "the name “%(name)s” is not UTF-8",
    Reason.CONTROL: "the name “%(name)s” has control characters",
    Reason.ABSOLUTE: "the path “%(name)s” does not begin in the folder",
    Reason.TRAVERSAL: "the path “%(name)s” has empty or dotted steps",
    Reason.RESERVED: "the name “%(name)s” cannot be had on every system",
    Reason.TOO_LONG: "the path “%(name)s” is longer than %(limit)s bytes",
    Reason.TOO_DEEP: "the path “%(name)s” has more than %(limit)s steps",
    Reason.DUPLICATE: "“%(name)s” is there twice, or differs from another path by upper and lower case only",
    Reason.CHANGED: "“%(name)s” changed while it was read",
    Reason.UNREADABLE: "“%(name)s” cannot be read",
}
"""Parts of sentences: message ids with the fields of an `ArchiveRefused`."""


class ArchiveRefused(Exception):  # noqa: N818 - a refusal, as the lab's problems are
    """An archive that is not let in, or a folder that cannot be packed. `message` % `fields` is part of a sentence."""

    def __init__(self, reason: Reason, name: str = "", limit: int = 0) -> None:
        self.reason = reason
        self.name = printable(name)
        self.limit = limit
        super().__init__(self.message % self.fields)

    @property
    def message(self) -> str:
        """The message id, which has a German text."""
        return SENTENCES[self.reason]

    @property
    def fields(self) -> dict[str, object]:
        """What the message id has fields for."""
        return {"name": self.name, "limit": self.limit}


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may have at most."""

    packed: int = 100 << 20
    """Bytes of the archive."""
    unpacked: int = 500 << 20
    """Bytes of its files together."""
    files: int = 10_000
    """Files, and the folders that they are in."""
    path: int = 1024
    """Bytes of a path; of each step it is 255, as file systems have it."""
    depth: int = 16
    """Steps of a path."""
    ratio: int = 200
    """Unpacked bytes for each byte of the archive, from `RATIO_FROM` on."""


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class File:
    """A file in an archive."""

    path: str
    size: int
    executable: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in an archive. `size` and `sha256` (hexadecimal) are of the archive, `unpacked` is of its files."""

    files: tuple[File, ...]
    unpacked: int
    size: int
    sha256: str
    left_out: tuple[str, ...] = ()
    """After packing: links that lead out of the folder or to folders, and what is no file. They are not in it."""


STEP = 255
"""Bytes of one step of a path."""
_DEVICES = re.compile(r"(?i:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])[ ]*(?:\..*)?", re.DOTALL)
_NOT_SHOWN = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode categories: control characters, halves of surrogates, separators of lines and paragraphs."""
_DIRECTIONS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""With these a name looks like another one."""


def check_path(path: str, limits: Limits = LIMITS) -> None:
    """Raises `ArchiveRefused` for a path that an archive may not have."""
    size = len(path.encode("utf-8", "surrogatepass"))
    if size > limits.path:
        raise ArchiveRefused(Reason.TOO_LONG, path, limits.path)
    if any("\ud800" <= letter <= "\udfff" for letter in path):
        raise ArchiveRefused(Reason.NOT_TEXT, path)
    if any(unicodedata.category(letter) in _NOT_SHOWN or letter in _DIRECTIONS for letter in path):
        raise ArchiveRefused(Reason.CONTROL, path)
    if path.startswith("/") or re.match(r"[A-Za-z]:|\\", path):
        raise ArchiveRefused(Reason.ABSOLUTE, path)
    steps = path.split("/")
    if any(step in {"", ".", ".."} for step in steps):
        raise ArchiveRefused(Reason.TRAVERSAL, path)
    for step in steps:
        if step[-1] in ". " or "\\" in step or ":" in step or _DEVICES.fullmatch(step):
            raise ArchiveRefused(Reason.RESERVED, path)
        if len(step.encode()) > STEP:
            raise ArchiveRefused(Reason.TOO_LONG, path, STEP)
    if len(steps) > limits.depth:
        raise ArchiveRefused(Reason.TOO_DEEP, path, limits.depth)


class Names:
    """The paths so far: no two may be one file anywhere."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._seen: dict[str, str] = {}  # as a system without upper case and with composed letters sees it -> folder

    def add(self, path: str) -> None:
        """Raises `ArchiveRefused` when it clashes with an earlier one, or is one too many."""
        steps = path.split("/")
        for end in range(1, len(steps)):
            folder = "/".join(steps[:end])
            if self._seen.setdefault(_folded(folder), folder) != folder:
                raise ArchiveRefused(Reason.DUPLICATE, path)
        if _folded(path) in self._seen:
            raise ArchiveRefused(Reason.DUPLICATE, path)
        self._seen[_folded(path)] = ""  # no folder is called that
        if len(self._seen) > self._limits.files:
            raise ArchiveRefused(Reason.TOO_MANY, limit=self._limits.files)


def _folded(path: str) -> str:
    """Unicode 3.13, D145: canonical caseless matching."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def printable(name: str) -> str:
    """A name that may be anything, fit to be shown."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name[:200])
    return shown + ("…" if len(name) > 200 else "")


def header_of(path: str, size: int, executable: bool) -> bytes:
    """The blocks before a file's bytes, as the `pax` format of POSIX.1-2001 has them. There is no other way to write one."""
    about = tarfile.TarInfo(path)
    about.size = size
    about.mode = 0o755 if executable else 0o644
    return about.tobuf(tarfile.PAX_FORMAT)


LARGEST = 0o77777777777
"""Bytes of a file that a plain header can say: 8 GiB."""
