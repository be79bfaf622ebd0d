"""Images of a single static program, and loading images into the cluster.

An image from nothing but a binary needs no builder: two tar files and three JSON documents, laid out as in the OCI
image specification, "Image Layout".
"""

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tools.onenode.build import binary
from tools.onenode.paths import CONTAINERD_SOCKET
from tools.onenode.programs import BY_NAME

DOMAIN = "onenode.local"  # no registry: these images exist on this machine only


@dataclass(frozen=True)
class ProgramImage:
    """An image that holds one built command, at `path`."""

    command: str
    program: str
    path: str
    user: str = "65532:65532"

    @property
    def reference(self) -> str:
        """Its name in the cluster."""
        return f"{DOMAIN}/{self.command}:{BY_NAME[self.program].version}"


PAUSE = ProgramImage("pause", "small", "/pause")
PROBE = ProgramImage("probe", "small", "/probe")
VOLUME = ProgramImage("volume", "small", "/volume", user="0:0")  # it makes folders that belong to root
COREDNS = ProgramImage("coredns", "coredns", "/coredns")
KUEUE = ProgramImage("kueue", "kueue", "/manager")
PROVISIONER = ProgramImage("local-path-provisioner", "local-path-provisioner", "/local-path-provisioner")
SYSTEM_IMAGES = (PAUSE, VOLUME, COREDNS, KUEUE, PROVISIONER)


def present() -> set[str]:
    """The names of the images that the cluster has."""
    return set(_ctr(["images", "list", "--quiet"]).split())


def load_programs(images: tuple[ProgramImage, ...]) -> None:
    """Brings those that the cluster does not have into it."""
    there = present()
    for image in images:
        if image.reference not in there:
            _import_program(image)


def load(archive: Path) -> list[str]:
    """Brings the images of an archive (OCI or Docker) into the cluster; returns their names.

    Raises `subprocess.CalledProcessError` when it is no such archive.
    """
    before = present()
    _ctr(["images", "import", "--all-platforms", str(archive)])
    return sorted(present() - before)


def _ctr(arguments: list[str]) -> str:
    command = [str(binary("ctr")), "--address", str(CONTAINERD_SOCKET), "--namespace", "k8s.io", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own program
    return done.stdout


def _import_program(image: ProgramImage) -> None:
    command = [
        str(binary("ctr")),
        "--address",
        str(CONTAINERD_SOCKET),
        "--namespace",
        "k8s.io",
        "images",
        "import",
        "-",
    ]
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as importing:
        assert importing.stdin is not None  # noqa: S101 - for the type checker
        write_archive(image, importing.stdin)
        importing.stdin.close()
        said = importing.stderr.read() if importing.stderr else b""
        if importing.wait():
            raise subprocess.CalledProcessError(importing.returncode, command, stderr=said)


def write_archive(image: ProgramImage, to: IO[bytes]) -> None:
    """Writes the image as an OCI archive; the same binary gives the same bytes."""
    layer = _layer(image)
    config = _json(
        {
            "architecture": _architecture(),
            "os": "linux",
            "config": {
                "User": image.user,
                "Entrypoint": [image.path],
                "Env": ["PATH=/"],
                "Labels": {"org.opencontainers.image.version": BY_NAME[image.program].version},
            },
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
        }
    )
    named = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    named["annotations"] = {"io.containerd.image.name": image.reference}
    index = _json({"schemaVersion": 2, "manifests": [named]})
    with tarfile.open(fileobj=to, mode="w|") as archive:
        _add(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(archive, "index.json", index)
        for blob in (config, manifest, layer):
            _add(archive, "blobs/sha256/" + _digest(blob).removeprefix("sha256:"), blob)


def _layer(image: ProgramImage) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        _add(layer, image.path.lstrip("/"), binary(image.command).read_bytes(), mode=0o755)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = mode
    archive.addfile(entry, io.BytesIO(content))


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True).encode()
