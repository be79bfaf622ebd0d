"""`kirzl-lab course materials`: a folder of this machine onto the volume that a course's servers see as `materials`.

Guarantees: each file is replaced in one step, so that whoever reads sees the old or the new one; what lecturers added
in their servers stays unless it is asked for otherwise; links are left out. What is streamed is never held whole.
"""

import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kirzl_lab.cli.cluster.connection import Cluster, RefusedError
from kirzl_lab.cli.cluster.execute import CHUNK, CommandFailedError, execute
from kirzl_lab.cli.cluster.packing import courses_in
from kirzl_lab.cli.cluster.pods import short_lived
from kirzl_lab.cli.cluster.progress import Progress
from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.spawning.materials import LEFT_OUT, PART
from kirzl_lab.spawning.pod import materials_claim, materials_name
from kirzl_lab.spawning.site import ClusterSite

WHERE = "/materials"
RECEIVE = f"""
import json, os, shutil, sys, tarfile
root, delete = sys.argv[1], sys.argv[2:] == ["delete"]
kept, written, removed = set(), 0, []
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
    for entry in archive:
        target = os.path.join(root, entry.name)
        kept.add(target)
        in_the_way = os.path.lexists(target) and (os.path.islink(target) or entry.isdir() != os.path.isdir(target))
        if in_the_way:
            shutil.rmtree(target) if os.path.isdir(target) and not os.path.islink(target) else os.unlink(target)
        if entry.isdir():
            os.makedirs(target, mode=0o755, exist_ok=True)
            continue
        part = os.path.join(os.path.dirname(target), {PART!r})
        with open(part, "wb") as file:
            shutil.copyfileobj(archive.extractfile(entry), file)
        os.chmod(part, 0o644)
        os.utime(part, (entry.mtime, entry.mtime))
        os.replace(part, target)
        written += 1
if delete:
    for folder, folders, files in os.walk(root, topdown=False):
        for name in files + folders:
            path = os.path.join(folder, name)
            if path in kept:
                continue
            if os.path.isdir(path) and not os.path.islink(path):
                if not os.listdir(path):
                    os.rmdir(path)
                continue
            os.unlink(path)
            removed.append(os.path.relpath(path, root))
print(json.dumps({{"written": written, "removed": sorted(removed)}}))
"""
"""What runs in the pod: takes a tar on its standard input to the folder that its first word names."""


@dataclass(frozen=True)
class Copied:
    """What a copy did."""

    written: int
    removed: list[str]
    left_out: list[str]
    """Links, and what is neither file nor folder."""
    size: int
    """Bytes of the files."""


def site_of(cluster: Cluster) -> ClusterSite:
    """What the hub of this lab knows of its cluster. Raises `Stop` where there is no lab."""
    found = cluster.find(cluster.at("configmaps/cluster"))
    if found is None:
        raise Stop(
            Exit.CANNOT,
            f"There is no lab in the namespace {cluster.namespace} of {cluster.context}: `kirzl-lab install` brings one.",
        )
    return ClusterSite.model_validate_json(found["data"]["cluster.json"])


def copy(cluster: Cluster, space: str, folder: Path, progress: Progress, *, delete: bool = False) -> Copied:
    """Copy the folder onto the volume of the space's materials. Raises `Stop`."""
    if not folder.is_dir():
        raise Stop(Exit.USAGE, f"There is no folder {folder}.")
    site = site_of(cluster)
    _known(cluster, space)
    _claim(cluster, space, site)
    files, left_out = _listed(folder)
    size = sum(path.stat().st_size for path in files if path.is_file())
    container = {
        "image": site.images["notebook"],
        "imagePullPolicy": site.image_pull_policy,
        "volumeMounts": [{"name": "materials", "mountPath": WHERE}],
    }
    pod_spec = {
        "imagePullSecrets": [{"name": name} for name in site.image_pull_secrets],
        "volumes": [{"name": "materials", "persistentVolumeClaim": {"claimName": materials_name(space)}}],
    }
    progress.now(f"{space}: a pod for the volume starts")
    with short_lived(cluster, "materials", container, pod_spec) as pod:
        command = ["python", "-c", RECEIVE, WHERE, *(["delete"] if delete else [])]
        try:
            said = execute(cluster, pod, "work", command, given=_told(_tar(folder, files), space, size, progress))
        except CommandFailedError as error:
            raise Stop(Exit.FELL_OVER, f"The materials of {space} are not all there: {error}. Run it again.") from None
    done = json.loads(said)
    return Copied(done["written"], done["removed"], left_out, size)


def _known(cluster: Cluster, space: str) -> None:
    archive = (cluster.find(cluster.at("configmaps/courses")) or {}).get("binaryData", {}).get("courses.tar.gz")
    there = courses_in(archive) if archive else []
    if space not in there:
        known = f"it has {', '.join(there)}" if there else "it has none"
        raise Stop(Exit.NO, f"The lab has no course {space}: {known}. `kirzl-lab install --courses` brings courses.")


def _claim(cluster: Cluster, space: str, site: ClusterSite) -> None:
    try:
        cluster.create(cluster.at("persistentvolumeclaims"), materials_claim(space, site))
    except RefusedError as error:
        if error.status != 409:  # it is there
            raise Stop(Exit.CANNOT, f"The volume of {space} cannot be made: {error.message}") from None


def _listed(folder: Path) -> tuple[list[Path], list[str]]:
    """Folders and files, each folder before what is in it; and what is left out."""
    found: list[Path] = []
    left_out: list[str] = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if LEFT_OUT & set(relative.parts):
            continue
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            left_out.append(str(relative))
        elif not any(str(parent) in left_out for parent in relative.parents):
            found.append(path)
    return found, left_out


def _tar(folder: Path, files: list[Path]) -> Iterator[bytes]:
    for path in files:
        entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
        if path.is_dir():
            entry.type = tarfile.DIRTYPE
            yield _header(entry)
            continue
        with path.open("rb") as stream:
            about = os.fstat(stream.fileno())
            entry.size, entry.mtime = about.st_size, int(about.st_mtime)
            yield _header(entry)
            yield from _content(stream, entry.size)
        yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(tarfile.RECORDSIZE)  # the end, and whatever the reader asks for at once


def _content(stream: Any, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes: a file that is written to meanwhile must not spoil what follows."""
    left = size
    while left:
        chunk = stream.read(min(CHUNK, left)) or bytes(min(CHUNK, left))
        left -= len(chunk)
        yield chunk


def _header(entry: tarfile.TarInfo) -> bytes:
    return entry.tobuf(tarfile.PAX_FORMAT)


def _told(chunks: Iterator[bytes], space: str, size: int, progress: Progress) -> Iterator[bytes]:
    sent = 0
    for chunk in chunks:
        yield chunk
        sent += len(chunk)
        progress.now(f"{space}: {min(sent, size) / 1e6:.1f} of {size / 1e6:.1f} MB")


def courses_with_materials(courses: Path) -> list[tuple[str, Path]]:
    """The courses of a folder that have materials: (space, folder)."""
    return [(found.parent.name, found) for found in sorted(courses.glob("*/materials")) if found.is_dir()]
