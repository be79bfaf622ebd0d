"""Archives that nobody should let in, made by hand: what is wrong with each, and the reason that must be told."""

import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from kirzl_lab.store.archives import LIMITS, ArchiveRefused, Limits, Reason, inspect, unpack

END = bytes(1024)


def header(name: bytes, data: bytes = b"", **fields: bytes) -> bytes:
    """A file's header and data, with some fields of the header replaced; its checksum is right."""
    block = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT))
    places: Mapping[str, tuple[int, int]] = {
        "name": (0, 100), "mode": (100, 8), "uid": (108, 8), "gid": (116, 8), "size": (124, 12), "mtime": (136, 12),
        "type": (156, 1), "link": (157, 100), "magic": (257, 8), "uname": (265, 32), "prefix": (345, 155),
        "rest": (500, 12),
    }  # fmt: skip
    given = {"name": name, "size": b"%011o" % len(data), **fields}
    for field, value in given.items():
        start, length = places[field]
        block[start : start + length] = value.ljust(length, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data + bytes(-len(data) % 512)


def pax(*records: tuple[str, str], name: bytes = b"././@PaxHeader", kind: bytes = b"x") -> bytes:
    """A header with records of `path`, `size` and the like."""
    data = b""
    for key, value in records:
        rest = f" {key}={value}\n".encode("utf-8", "surrogateescape")
        length = len(rest)
        while length != len(rest) + len(str(length)):
            length = len(rest) + len(str(length))
        data += str(length).encode() + rest
    return header(name, data, type=kind, mode=b"0000000")


def tar(*parts: bytes) -> bytes:
    """A whole archive of these parts."""
    return gzip.compress(b"".join(parts) + END, mtime=0)


def by_tarfile(kind: bytes = tarfile.REGTYPE, size: int = 0, form: int = tarfile.PAX_FORMAT, **about: object) -> bytes:
    """A member as Python's tarfile writes it."""
    member = tarfile.TarInfo("odd")
    member.type, member.size = kind, size
    for key, value in about.items():
        setattr(member, key, value)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", format=form) as archive:
        archive.addfile(member, io.BytesIO(bytes(size)))
    return file.getvalue()


def named(name: str) -> bytes:
    """An archive with one file of that name, written as it must be."""
    return tar(tarfile.TarInfo(name).tobuf(tarfile.PAX_FORMAT))


def both(*names: str) -> bytes:
    return tar(*(tarfile.TarInfo(name).tobuf(tarfile.PAX_FORMAT) for name in names))


GOOD = tar(header(b"a.txt", b"hello"))

NAMES: dict[str, Reason] = {
    "../up": Reason.TRAVERSAL,
    "a/../../up": Reason.TRAVERSAL,
    "a/..": Reason.TRAVERSAL,
    "..": Reason.TRAVERSAL,
    "./a": Reason.TRAVERSAL,
    "a//b": Reason.TRAVERSAL,
    "a/": Reason.TRAVERSAL,
    "/etc/passwd": Reason.ABSOLUTE,
    "//server/share": Reason.ABSOLUTE,
    "C:/boot.ini": Reason.ABSOLUTE,
    "c:boot.ini": Reason.ABSOLUTE,
    "\\\\server\\share": Reason.ABSOLUTE,
    "a\\..\\..\\up": Reason.RESERVED,
    "a.txt:stream": Reason.RESERVED,
    "CON": Reason.RESERVED,
    "a/nul.txt": Reason.RESERVED,
    "Aux .tar.gz": Reason.RESERVED,
    "com¹": Reason.RESERVED,
    "LPT9.x": Reason.RESERVED,
    "conin$": Reason.RESERVED,
    "prn/a": Reason.RESERVED,
    "dot.": Reason.RESERVED,
    "space ": Reason.RESERVED,
    "folder./a": Reason.RESERVED,
    "...": Reason.RESERVED,
    " ": Reason.RESERVED,
    "a\nb": Reason.CONTROL,
    "a\x1b[31mb": Reason.CONTROL,
    "a\x7f": Reason.CONTROL,
    "a\x85b": Reason.CONTROL,
    "a\u2028b": Reason.CONTROL,
    "gpj.\u202eipynb": Reason.CONTROL,
    "\t": Reason.CONTROL,
    "/".join("a" * 17): Reason.TOO_DEEP,
    "/".join(["a" * 200] * 6): Reason.TOO_LONG,
    "a" * 256: Reason.TOO_LONG,
    "ä" * 128: Reason.TOO_LONG,
}

FINE_NAMES = (
    "a",
    "Übung 1/Lösung.ipynb",
    "a" * 255,
    "文" * 85,
    "/".join(["a" * 60] * 16),
    ".hidden",
    "..a",
    "-rf",
    "~",
    "console.py",
    "nulls/com10",
    "'$(x)`\"*?<>|&;",
    "👩‍🔬.txt",
    "e\u0301",
)

CLASHES: tuple[tuple[str, ...], ...] = (
    ("a", "a"),
    ("a", "A"),
    ("é", "e\u0301"),
    ("É", "e\u0301"),
    ("straße", "STRASSE"),
    ("ſ", "S"),
    ("a", "a/b"),
    ("a/b", "a"),
    ("A", "a/b"),
    ("A/x", "a/y"),
    ("é/x", "e\u0301/y"),
)

ARCHIVES: dict[str, tuple[bytes, Reason]] = {
    "empty file": (b"", Reason.TRUNCATED),
    "no gzip": (b"PK\x03\x04" + bytes(100), Reason.NOT_AN_ARCHIVE),
    "plain tar": (header(b"a") + END, Reason.NOT_AN_ARCHIVE),
    "raw deflate": (zlib.compress(header(b"a") + END), Reason.NOT_AN_ARCHIVE),
    "no tar": (gzip.compress(b"hello" * 1000), Reason.NOT_AN_ARCHIVE),
    "wrong checksum of a header": (tar(header(b"a").replace(b"ustar", b"Ustar")), Reason.NOT_AN_ARCHIVE),
    "checksum is no number": (tar(header(b"a")[:148] + b"+12_3\0  " + header(b"a")[156:]), Reason.NOT_AN_ARCHIVE),
    "wrong CRC": (GOOD[:-8] + b"\0\0\0\0" + GOOD[-4:], Reason.NOT_AN_ARCHIVE),
    "wrong length of gzip": (GOOD[:-4] + b"\0\0\0\1", Reason.NOT_AN_ARCHIVE),
    "without gzip's end": (GOOD[:-8], Reason.TRUNCATED),
    "half of it": (GOOD[: len(GOOD) // 2], Reason.TRUNCATED),
    "no end of the tar": (gzip.compress(header(b"a", b"x")), Reason.TRUNCATED),
    "half an end": (gzip.compress(header(b"a", b"x") + bytes(512)), Reason.TRUNCATED),
    "end is no block": (gzip.compress(header(b"a", b"x") + bytes(1025)), Reason.TRUNCATED),
    "half a header": (gzip.compress(header(b"a")[:100]), Reason.TRUNCATED),
    "data is missing": (gzip.compress(header(b"a", size=b"%011o" % 5000) + bytes(1024)), Reason.TRUNCATED),
    "two members": (GOOD + GOOD, Reason.TRAILING),
    "an empty second member": (GOOD + gzip.compress(b""), Reason.TRAILING),
    "zeros after gzip": (GOOD + b"\0", Reason.TRAILING),
    "text after gzip": (GOOD + b"hello", Reason.TRAILING),
    "much after gzip": (GOOD + bytes(200_000), Reason.TRAILING),
    "a file after the end": (tar(header(b"a"), END, header(b"b")), Reason.TRAILING),
    "zeros without end": (tar(header(b"a"), bytes(1 << 20)), Reason.TRAILING),
    "data between files": (tar(header(b"a", b"x")[:1023] + b"!", header(b"b")), Reason.ODD_HEADER),
    "symbolic link": (by_tarfile(tarfile.SYMTYPE, linkname="/etc/passwd"), Reason.LINK),
    "hard link": (by_tarfile(tarfile.LNKTYPE, linkname="../x"), Reason.LINK),
    "character device": (by_tarfile(tarfile.CHRTYPE, devmajor=1, devminor=3), Reason.NOT_A_FILE),
    "block device": (by_tarfile(tarfile.BLKTYPE), Reason.NOT_A_FILE),
    "FIFO": (by_tarfile(tarfile.FIFOTYPE), Reason.NOT_A_FILE),
    "folder": (by_tarfile(tarfile.DIRTYPE), Reason.NOT_A_FILE),
    "contiguous file": (by_tarfile(tarfile.CONTTYPE), Reason.NOT_A_FILE),
    "unknown type": (by_tarfile(b"?"), Reason.NOT_A_FILE),
    "GNU sparse": (tar(header(b"a", type=b"S")), Reason.ODD_HEADER),
    "GNU multi-volume": (tar(header(b"a", type=b"M")), Reason.ODD_HEADER),
    "GNU volume name": (tar(header(b"a", type=b"V")), Reason.ODD_HEADER),
    "GNU long name": (by_tarfile(form=tarfile.GNU_FORMAT, name="a" * 120), Reason.ODD_HEADER),
    "GNU long link": (by_tarfile(tarfile.SYMTYPE, form=tarfile.GNU_FORMAT, linkname="a" * 120), Reason.ODD_HEADER),
    "GNU magic": (tar(header(b"a", magic=b"ustar  \0")), Reason.ODD_HEADER),
    "before POSIX": (tar(header(b"a", type=b"\0", magic=b"")), Reason.ODD_HEADER),
    "global pax": (tar(pax(("path", "b"), kind=b"g"), header(b"a")), Reason.ODD_HEADER),
    "Solaris pax": (tar(pax(("path", "b"), kind=b"X"), header(b"a")), Reason.ODD_HEADER),
    "pax path that is not needed": (tar(pax(("path", "b")), header(b"a")), Reason.ODD_HEADER),
    "pax path of another file": (tar(pax(("path", "ä" * 60)), header(b"other")), Reason.ODD_HEADER),
    "pax path that leads out": (tar(pax(("path", "../ä")), header(b"../?")), Reason.TRAVERSAL),
    "pax path with NUL": (tar(pax(("path", "a\0ä")), header(b"a")), Reason.CONTROL),
    "pax path that is not UTF-8": (tar(pax(("path", "\udcff")), header(b"?")), Reason.NOT_TEXT),
    "pax path of half a surrogate": (tar(pax(("path", "\udced\udca0\udc80")), header(b"?")), Reason.NOT_TEXT),
    "pax size": (tar(pax(("size", "0")), header(b"a", b"x")), Reason.ODD_HEADER),
    "pax path and size": (tar(pax(("path", "ä"), ("size", "9")), header(b"?", b"x")), Reason.ODD_HEADER),
    "pax sparse": (tar(pax(("GNU.sparse.major", "1")), header(b"a")), Reason.ODD_HEADER),
    "pax link": (tar(pax(("linkpath", "/etc")), header(b"a")), Reason.ODD_HEADER),
    "pax time": (by_tarfile(mtime=1.5), Reason.ODD_HEADER),
    "pax of a wrong length": (tar(header(b"p", b"99 path=\xc3\xa4\n", type=b"x"), header(b"?")), Reason.ODD_HEADER),
    "pax of no length": (tar(header(b"p", b"path=a\n", type=b"x"), header(b"?")), Reason.ODD_HEADER),
    "pax of nothing": (tar(header(b"p", b"", type=b"x"), header(b"?")), Reason.ODD_HEADER),
    "pax twice": (tar(pax(("path", "ä")), pax(("path", "ä")), header(b"?")), Reason.ODD_HEADER),
    "pax before a link": (tar(pax(("path", "ä")), header(b"?", type=b"2")), Reason.LINK),
    "pax and nothing": (tar(pax(("path", "ä"))), Reason.NOT_AN_ARCHIVE),
    "pax of gigabytes": (tar(header(b"p", type=b"x", size=b"77777777777")), Reason.TOO_LONG),
    "negative size": (tar(header(b"a", size=b"\xff" * 12)), Reason.ODD_HEADER),
    "minus in a size": (tar(header(b"a", size=b"-0000000001")), Reason.ODD_HEADER),
    "size in base 256": (tar(header(b"a", size=struct.pack(">BxxxQ", 128, 1))), Reason.ODD_HEADER),
    "size with spaces": (tar(header(b"a", size=b"         0 ")), Reason.ODD_HEADER),
    "size of nothing": (tar(header(b"a", size=b"")), Reason.ODD_HEADER),
    "name of nothing": (tar(header(b"")), Reason.TRAVERSAL),
    "name after NUL": (tar(header(b"a\0../../up")), Reason.CONTROL),
    "name that is not UTF-8": (tar(header(b"\xff\xfe")), Reason.NOT_TEXT),
    "name of overlong UTF-8": (tar(header(b"a\xc0\xae\xc0\xae")), Reason.NOT_TEXT),
    "name of UTF-8 without pax": (tar(header("ä".encode())), Reason.ODD_HEADER),
    "prefix that leads out": (tar(header(b"up", prefix=b"..")), Reason.TRAVERSAL),
    "prefix that is not needed": (tar(header(b"b", prefix=b"a")), Reason.ODD_HEADER),
    "set-user-id": (tar(header(b"a", mode=b"0004755")), Reason.ODD_HEADER),
    "for all to write": (tar(header(b"a", mode=b"0000666")), Reason.ODD_HEADER),
    "an owner": (tar(header(b"a", uid=b"0001750")), Reason.ODD_HEADER),
    "a time": (tar(header(b"a", mtime=b"15000000000")), Reason.ODD_HEADER),
    "a link's target at a file": (tar(header(b"a", link=b"/etc/passwd")), Reason.ODD_HEADER),
    "hidden at a header's end": (tar(header(b"a", rest=b"hello")), Reason.ODD_HEADER),
}


def bomb(first: bytes, gigabytes: int) -> bytes:
    """A gzip stream of `first` and then that many GB of zeros. It has no end, which nobody should get to."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    begin = packer.compress(first) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush a block stands for itself: the same bytes again unpack to the same again.
    zeros = packer.compress(bytes(10**6)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + begin + zeros * (gigabytes * 1000)


def refused(file: Path, content: bytes, limits: Limits = LIMITS) -> ArchiveRefused:
    """The refusal of an archive, which is the same for who looks and for who unpacks, and leaves nothing behind."""
    file.write_bytes(content)
    before = sorted(file.parent.iterdir())
    with pytest.raises(ArchiveRefused) as looked:
        inspect(file, limits)
    with pytest.raises(ArchiveRefused) as unpacked:
        unpack(file, file.parent / "out", limits)
    assert (looked.value.reason, looked.value.name) == (unpacked.value.reason, unpacked.value.name)
    assert sorted(file.parent.iterdir()) == before
    return looked.value
