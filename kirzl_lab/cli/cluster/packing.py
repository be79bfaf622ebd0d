"""The courses of a site as one archive that fits into the chart's values. Pure, but for reading the files.

Guarantees: the same files give the same bytes, so that a second install changes nothing; only course.yaml and
roster.csv are in it, materials go to their volumes by `kirzl-lab course materials`.
"""

import base64
import gzip
import io
import tarfile
from pathlib import Path

from kirzl_lab.cli.exits import Exit, Stop

FILES = ("course.yaml", "roster.csv")
LIMIT = 200_000
"""Bytes of an archive. Helm keeps values, manifests and hooks in one Secret of at most 1 MiB, and the archive is in all
three, each a third larger in base64, and that once more."""


def pack(courses: Path) -> str:
    """The archive in base64, as the chart's value `courses.archive`. Raises `Stop` when it is too large."""
    packed = gzip.compress(_tar(courses), mtime=0)
    if len(packed) > LIMIT:
        largest = sorted(_files(courses), key=lambda file: -file.stat().st_size)[:3]
        lines = tuple(f"{file.relative_to(courses)}: {file.stat().st_size / 1000:.0f} kB" for file in largest)
        raise Stop(
            Exit.CANNOT,
            f"The courses are {len(packed) / 1000:.0f} kB packed, and at most {LIMIT // 1000} kB fit into a release of Helm. "
            "Take courses that have ended out of the folder, or rosters that are too long. The largest files:",
            lines,
        )
    return base64.b64encode(packed).decode()


def unpack(archive: str, folder: Path) -> None:
    """Lay an archive out again, to check it. Raises `Stop` when it is none."""
    for course, files in _unpacked(archive).items():
        (folder / course).mkdir()
        for name, content in files.items():
            (folder / course / name).write_bytes(content)


def courses_in(archive: str) -> list[str]:
    """The names of the courses in an archive. Raises `Stop` when it is none."""
    return sorted(_unpacked(archive))


def _unpacked(archive: str) -> dict[str, dict[str, bytes]]:
    courses: dict[str, dict[str, bytes]] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(base64.b64decode(archive)))) as found:
            for entry in found:
                course, _, name = entry.name.removeprefix("./").partition("/")
                if entry.isfile() and name in FILES and course not in {"", ".", ".."}:
                    courses.setdefault(course, {})[name] = _read(found, entry)
    except (OSError, ValueError, tarfile.TarError, EOFError):
        raise Stop(
            Exit.CANNOT, "The value courses.archive is no tar.gz in base64: let --courses FOLDER make it."
        ) from None
    return courses


def _read(found: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    stream = found.extractfile(entry)
    return stream.read() if stream else b""


def _tar(courses: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in _files(courses):
            entry = tarfile.TarInfo(file.relative_to(courses).as_posix())
            content = file.read_bytes()
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _files(courses: Path) -> list[Path]:
    folders = sorted(entry for entry in courses.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return [folder / name for folder in folders for name in FILES if (folder / name).is_file()]
