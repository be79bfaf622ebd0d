"""The key of an image: a hash over everything that goes into it. Same inputs, same key, on any machine."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from images.about import about
from images.plan import BY_NAME, DEBIAN, Choices, Image

LENGTH = 16
# What every image is built with; tidy runs at the end of each RUN.
COMMON = ("images/tidy", "images/debian.py")
LEFT_OUT = ("__pycache__", ".ipynb_checkpoints")


def files_of(image: Image, repository: Path) -> Iterator[tuple[str, Path]]:
    """Each file that goes into the image, with its path from the root of the repository, sorted by that path.

    Raises `FileNotFoundError` for one that is not there.
    """
    found: dict[str, Path] = {}
    for name in (f"images/{image.name}/Containerfile", *image.files):
        path = repository / name
        inside = path.rglob("*") if path.is_dir() else [path]
        for file in inside:
            relative = file.relative_to(repository)
            if not file.is_dir() and not set(LEFT_OUT) & set(relative.parts):
                found[relative.as_posix()] = file
    if not all(file.exists() for file in found.values()):
        raise FileNotFoundError(next(str(file) for file in found.values() if not file.exists()))
    yield from sorted(found.items())


def debian_key(repository: Path) -> str:
    """The key of the bootstrapped Debian: it changes when the way it is made does."""
    return _digest({name: _content(repository / name) for name in COMMON})


def key_of(image: Image, choices: Choices, repository: Path) -> str:
    """The key of `image`, over its parent's key, its build arguments, the content of its files and what its labels say."""
    if image.parent == DEBIAN:
        parent = choices.base or debian_key(repository)
    else:
        parent = key_of(BY_NAME[image.parent], choices, repository)
    files = {name: _content(path) for name, path in files_of(image, repository)}
    common = {name: _content(repository / name) for name in COMMON}
    return _digest([image.name, parent, choices.arguments_of(image), files, common, about(repository)])


def executable(path: Path) -> bool:
    """Whether its owner may run the file: all that an image keeps of a file's mode."""
    return bool(path.stat().st_mode & 0o100)


def _content(path: Path) -> str:
    return f"{'x' if executable(path) else '-'}{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:LENGTH]
