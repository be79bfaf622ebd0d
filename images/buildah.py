"""The few things asked of buildah. Every call runs without a registry, but `push_to`."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from images.clients import CACHE_INSIDE
from images.commands import run, said, succeeds


def build_arguments(
    *,
    tag: str,
    base: str,
    arguments: Mapping[str, str],
    labels: Mapping[str, str],
    clients: Path,
    cache: Path,
    context: Path,
) -> list[str]:
    """The command line that builds `context`'s Containerfile as `tag`. No setting of this machine is in it but paths."""
    given = {"BASE": base, **arguments}
    return [
        *("buildah", "bud", "--layers", "--isolation", "chroot", "--network", "host", "--pull-never", "--quiet"),
        *("--build-context", f"clients={clients}", "--volume", f"{cache}:{CACHE_INSIDE}"),
        *(word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")),
        *(word for name, value in labels.items() for word in ("--label", f"{name}={value}")),
        *("--tag", tag, str(context)),
    ]


def commit_folder(folder: Path, tag: str, log: TextIO) -> None:
    """Make an image of one layer from a root file system."""
    container = said("buildah", "from", "scratch")
    try:
        run(["buildah", "copy", "--quiet", container, str(folder), "/"], log)
        run(["buildah", "commit", "--quiet", container, tag], log)
    finally:
        said("buildah", "rm", container)


def has(tag: str) -> bool:
    """Whether buildah's store has an image of that name."""
    return succeeds("buildah", "inspect", "--type", "image", tag)


def inspect(tag: str) -> dict[str, object]:
    """The image's configuration (`OCIv1`), manifest and history, as buildah tells them."""
    found: dict[str, object] = json.loads(said("buildah", "inspect", "--type", "image", tag))
    return found


def size(tag: str) -> int:
    """Bytes of all its layers, unpacked."""
    manifest = json.loads(str(inspect(tag)["Manifest"]))
    return sum(int(layer["size"]) for layer in manifest["layers"])


def save(tag: str, archive: Path, log: TextIO) -> None:
    """Write it as an archive for a node, in the compression that is quickest to write and to unpack."""
    zstd = ("--compression-format", "zstd", "--compression-level", "1")
    run(["buildah", "push", "--quiet", *zstd, tag, f"oci-archive:{archive}:{tag}"], log)


def restore(tag: str, archive: Path, log: TextIO) -> None:
    """Bring an archive of `save` back into buildah's store."""
    run(["buildah", "pull", "--quiet", f"oci-archive:{archive}"], log)
    if not has(tag):
        raise RuntimeError(f"{archive} does not hold {tag}; remove it, and it is built again.")


def push_to(tag: str, target: str, log: TextIO) -> None:
    """Push it to a registry; who may push there is what `buildah login` has stored."""
    run(["buildah", "push", "--quiet", tag, f"docker://{target}"], log)


@contextmanager
def mounted(tag: str) -> Iterator[tuple[str, Path]]:
    """A container made from the image, and where its root file system can be read."""
    container = said("buildah", "from", "--pull-never", tag)
    try:
        yield container, Path(said("buildah", "mount", container))
    finally:
        said("buildah", "rm", container)
