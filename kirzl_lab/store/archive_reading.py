"""Reading an archive of an assignment as if its maker were an enemy; see `archives` for what is guaranteed."""

import hashlib
import os
import re
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from shutil import rmtree
from typing import BinaryIO

from kirzl_lab.store.archive_rules import (
    BLOCK,
    CHUNK,
    END,
    LIMITS,
    RATIO_FROM,
    ArchiveRefused,
    File,
    Limits,
    Manifest,
    Names,
    Reason,
    check_path,
    header_of,
)


def inspect(file: Path, limits: Limits = LIMITS) -> Manifest:
    """What is in the archive; nothing is written. Raises `ArchiveRefused`."""
    return _read(file, limits, lambda _: None)


def unpack(file: Path, folder: Path, limits: Limits = LIMITS) -> Manifest:
    """Make `folder` of the archive, and tell what is in it. Folders and programs are 0755, other files 0644.

    It is written beside `folder` first and appears whole. Raises `ArchiveRefused`, and `FileExistsError` where there
    is something at `folder` already; then there is nothing new.
    """
    if os.path.lexists(folder):
        raise FileExistsError(f"{folder} is there already")
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name[:50]}.", dir=folder.parent))
    try:
        manifest = _read(file, limits, lambda each: _create(draft, each))
        draft.chmod(0o755)
        draft.rename(folder)
    except BaseException:
        rmtree(draft)
        raise
    return manifest


def _create(folder: Path, file: File) -> BinaryIO:
    at = folder
    for step in PurePosixPath(file.path).parts[:-1]:
        at = at / step
        if not at.is_dir():
            at.mkdir()
            at.chmod(0o755)  # whatever the umask
    stream = (folder / file.path).open("xb")
    os.fchmod(stream.fileno(), 0o755 if file.executable else 0o644)
    return stream


def _read(file: Path, limits: Limits, create: Callable[[File], BinaryIO | None]) -> Manifest:
    files: list[File] = []
    names = Names(limits)
    total = 0
    with file.open("rb") as raw:
        stream = _Stream(raw, limits)
        while (each := _next(stream, limits)) is not None:
            names.add(each.path)
            total += each.size
            if total > limits.unpacked:
                raise ArchiveRefused(Reason.TOO_BIG, limit=limits.unpacked)
            with ExitStack() as stack:
                target = create(each)
                if target:
                    stack.enter_context(target)
                for data in stream.chunks(each.size):
                    if target:
                        target.write(data)
            if any(stream.exactly(-each.size % BLOCK)):
                raise ArchiveRefused(Reason.ODD_HEADER, each.path)
            files.append(each)
        stream.end()
        return Manifest(tuple(files), total, stream.packed, stream.digest.hexdigest())


_PAX = re.compile(rb"(\d{1,5}) path=(.*)\n", re.DOTALL)
_OCTAL = re.compile(rb"[0-7]{11}\x00")
_LINKS = b"12"
_ODD = b"LKNMSDVXgx"
"""Types of GNU, Solaris and POSIX that change what comes after them."""
_NO_TYPE = b"\x00"


def _next(stream: "_Stream", limits: Limits) -> File | None:
    """The file whose header comes next; None at the end."""
    first = header = stream.exactly(BLOCK)
    if not any(header):
        return None
    name = _name(header)
    _check_sum(header)
    if header[156:157] == b"x":  # a name that is long or not ASCII is in a header of its own
        size = _size(header, name)
        if size > limits.path + len("99999 path=\n"):
            raise ArchiveRefused(Reason.TOO_LONG, name, limits.path)
        record = stream.exactly(size)
        first += record + stream.exactly(-size % BLOCK)
        found = _PAX.fullmatch(record)
        if found is None or int(found[1]) != len(record):
            raise ArchiveRefused(Reason.ODD_HEADER, name)
        name = found[2].decode("utf-8", "surrogateescape")
        header = stream.exactly(BLOCK)
        _check_sum(header)
        first += header
    _check_type(header, name)
    check_path(name, limits)
    file = File(name, _size(header, name), bool(header[100:107] == b"0000755"))
    if first != header_of(name, file.size, file.executable):
        raise ArchiveRefused(Reason.ODD_HEADER, name)
    return file


def _name(header: bytes) -> str:
    name = header[:100].rstrip(b"\x00")
    prefix = header[345:500].rstrip(b"\x00") if header[257:263] == b"ustar\x00" else b""
    return (prefix + b"/" + name if prefix else name).decode("utf-8", "surrogateescape")


def _check_sum(header: bytes) -> None:
    told = header[148:156].strip(b" \x00")
    actual = sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
    if not re.fullmatch(rb"[0-7]{1,7}", told) or int(told, 8) != actual:
        raise ArchiveRefused(Reason.NOT_AN_ARCHIVE)


def _check_type(header: bytes, name: str) -> None:
    kind = header[156:157]
    if kind in (b"0", _NO_TYPE):
        return
    if kind in _LINKS:
        raise ArchiveRefused(Reason.LINK, name)
    raise ArchiveRefused(Reason.ODD_HEADER if kind in _ODD else Reason.NOT_A_FILE, name)


def _size(header: bytes, name: str) -> int:
    field = header[124:136]
    if not _OCTAL.fullmatch(field):  # base 256 is for huge and for negative ones
        raise ArchiveRefused(Reason.ODD_HEADER, name)
    return int(field[:11], 8)


class _Stream:
    """What one gzip member unpacks to, at most a chunk of it in memory."""

    def __init__(self, raw: BinaryIO, limits: Limits) -> None:
        self._raw = raw
        self._limits = limits
        self._inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # gzip, with its checksum
        self._ready = b""
        self._unpacked = 0
        self.packed = 0
        self.digest = hashlib.sha256()

    def exactly(self, size: int) -> bytes:
        """That many bytes; few, since they are in memory together."""
        return b"".join(self.chunks(size))

    def chunks(self, size: int) -> Iterator[bytes]:
        """That many bytes in parts. Raises `ArchiveRefused` where there are less."""
        while size:
            if not self._ready and not self._fill():
                raise ArchiveRefused(Reason.TRUNCATED)
            part, self._ready = self._ready[:size], self._ready[size:]
            size -= len(part)
            yield part

    def end(self) -> None:
        """After the first block of zeros: nothing but a second one and the rest of a record may come, in gzip or after."""
        zeros = BLOCK
        while self._ready or self._fill():
            zeros += len(self._ready)
            if any(self._ready) or zeros >= END + tarfile.RECORDSIZE:
                raise ArchiveRefused(Reason.TRAILING)
            self._ready = b""
        if zeros < END or zeros % BLOCK:
            raise ArchiveRefused(Reason.TRUNCATED)
        if self._inflate.unused_data or self._raw.read(1):
            raise ArchiveRefused(Reason.TRAILING)

    def _fill(self) -> bool:
        """Have the next bytes ready; false at the end of gzip's member, which is whole."""
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._take()
            try:
                self._ready = self._inflate.decompress(packed, CHUNK)
            except zlib.error:
                raise ArchiveRefused(Reason.NOT_AN_ARCHIVE) from None
            if self._ready:
                self._count(len(self._ready))
                return True
            if not packed and not self._inflate.eof:
                raise ArchiveRefused(Reason.TRUNCATED)
        return False

    def _take(self) -> bytes:
        data = self._raw.read(CHUNK)
        self.packed += len(data)
        self.digest.update(data)
        if self.packed > self._limits.packed:
            raise ArchiveRefused(Reason.PACKED_TOO_BIG, limit=self._limits.packed)
        return data

    def _count(self, size: int) -> None:
        self._unpacked += size
        used = self.packed - len(self._inflate.unconsumed_tail)
        if self._unpacked > RATIO_FROM and self._unpacked > self._limits.ratio * used:
            raise ArchiveRefused(Reason.RATIO, limit=self._limits.ratio)
