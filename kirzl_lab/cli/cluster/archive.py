"""A backup on disk: one tar with the parts of a lab, and last a manifest that says what they are and their checksums.

Guarantees: written for the owner's eyes only (0600), under another name until it is whole; parts are streamed, so that a
database of any size fits; nothing of a file whose parts are not exactly what its manifest says is ever given out.
"""

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from kirzl_lab.cli.exits import Exit, Stop

MANIFEST = "manifest.json"
HUB, LAB, SECRETS = "hub.sqlite", "lab.sql", "secrets.json"
"""The parts that every backup has."""
FORMAT = 1
CHUNK = 1 << 20
LARGEST_MANIFEST = 1 << 20


@dataclass(frozen=True, slots=True)
class PartOf:
    """One part: its name, its size in bytes and its SHA-256 in hexadecimal."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a backup."""

    made: str
    """When, in ISO 8601 with zone."""
    lab: str
    """The version of the lab's command that made it."""
    step: str
    """The step of the lab database's tables."""
    url: str
    """Where the lab was."""
    parts: tuple[PartOf, ...] = ()
    format: int = FORMAT

    def as_json(self) -> dict[str, Any]:
        """The manifest as JSON."""
        return asdict(self)


@dataclass
class Writer:
    """A backup that is being written."""

    file: IO[bytes]
    parts: list[PartOf] = field(default_factory=list)

    @contextmanager
    def part(self, name: str) -> "Iterator[Sink]":
        """A sink for one part, for the time of a `with`."""
        header = self.file.tell()
        self.file.write(bytes(tarfile.BLOCKSIZE))  # its place is kept until the size is known
        sink = Sink(self.file)
        yield sink
        self.file.write(bytes(-sink.size % tarfile.BLOCKSIZE))
        end = self.file.tell()
        self.file.seek(header)
        self.file.write(_header(name, sink.size))
        self.file.seek(end)
        self.parts.append(PartOf(name, sink.size, sink.digest.hexdigest()))

    def finish(self, manifest: Manifest) -> Manifest:
        """Write the manifest, with the parts that were written, and the end."""
        whole = Manifest(manifest.made, manifest.lab, manifest.step, manifest.url, tuple(self.parts))
        with self.part(MANIFEST) as sink:
            sink.write(json.dumps(whole.as_json(), indent=1).encode())
        self.file.write(bytes(2 * tarfile.BLOCKSIZE))
        return whole


class Sink:
    """Takes the bytes of one part."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = 0
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Take some bytes more."""
        self._file.write(data)
        self.digest.update(data)
        self.size += len(data)


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry.tobuf(tarfile.GNU_FORMAT)  # one block, whatever the size


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """A new backup at `path`, there only once it is whole. Raises `Stop` where there is something already."""
    if path.exists():
        raise Stop(Exit.USAGE, f"There is a file {path} already: a backup replaces none. Give another name.")
    partial = path.with_name(f".{path.name}.partial")
    # One that is there may be open to others, who would read along, or lead elsewhere.
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield Writer(file)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


class Backup:
    """A backup that was checked from its first byte to its last."""

    def __init__(self, path: Path) -> None:
        """Raises `Stop` when the file is no backup, or is not exactly what its manifest says."""
        self.path = path
        try:
            with tarfile.open(path, mode="r:") as archive:
                entries = archive.getmembers()
                self.manifest = self._read(archive, entries)
                self._places = {entry.name: (entry.offset_data, entry.size) for entry in entries}
        except (tarfile.TarError, EOFError):
            raise self._broken("it is no tar archive") from None
        expected = {part.name for part in self.manifest.parts} | {MANIFEST}
        if len(entries) != len(self._places) or set(self._places) != expected:
            raise self._broken("its parts are not those of its manifest")
        if missing := [name for name in (HUB, LAB, SECRETS) if name not in expected]:
            raise self._broken(f"it lacks {' and '.join(missing)}")
        for part in self.manifest.parts:
            self._check(part)

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a part."""
        offset, left = self._places[name]
        with self.path.open("rb") as file:
            file.seek(offset)
            while left:
                chunk = file.read(min(CHUNK, left))
                if not chunk:
                    return
                left -= len(chunk)
                yield chunk

    def size(self, name: str) -> int:
        """Bytes of a part."""
        return self._places[name][1]

    def _read(self, archive: tarfile.TarFile, entries: list[tarfile.TarInfo]) -> Manifest:
        last = entries[-1] if entries else None
        if last is None or last.name != MANIFEST or not last.isreg() or last.size > LARGEST_MANIFEST:
            raise self._broken("it has no manifest at its end; was it cut off?")
        stream = archive.extractfile(last)
        try:
            told = json.loads(stream.read() if stream else b"")
            if told["format"] != FORMAT:
                raise Stop(
                    Exit.NO,
                    f"{self.path} is a backup of format {told['format']}, this `kirzl-lab` reads {FORMAT}: use the one that made it, version {told['lab']}.",
                )
            parts = tuple(PartOf(str(each["name"]), int(each["bytes"]), str(each["sha256"])) for each in told["parts"])
            return Manifest(str(told["made"]), str(told["lab"]), str(told["step"]), str(told["url"]), parts)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._broken("its manifest cannot be read") from None

    def _check(self, part: PartOf) -> None:
        digest = hashlib.sha256()
        for chunk in self.chunks(part.name):
            digest.update(chunk)
        if self.size(part.name) != part.bytes or digest.hexdigest() != part.sha256:
            raise self._broken(f"its part {part.name} is not what it was when the backup was made")

    def _broken(self, why: str) -> Stop:
        return Stop(Exit.NO, f"{self.path} is no whole backup: {why}. Nothing was changed; take another one.")
