"""The next version of the lab's hub image: the same one with one more migration, as one more layer on top of it.

Only what is new is in the archive; containerd has the other layers already.
"""

import hashlib
import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory

from images.build import Built
from kirzl_lab.store.migrate import FOLDER
from tools.onenode import images

STEP = "9999"
TABLE = "of_the_next_version"
_SITE = "opt/lab/lib/python3.11/site-packages/kirzl_lab/store/migrations/versions"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def newest_step() -> str:
    """The newest migration of this version."""
    head = ScriptDirectory(str(FOLDER)).get_current_head()
    assert head
    return head


def load(base: Built) -> str:
    """Brings the image into the cluster, which has `base`; returns its reference."""
    reference = f"{base.reference}-next"
    layer = _tar({f"{_SITE}/{STEP}_{TABLE}.py": _migration().encode()})
    with tarfile.open(base.archive) as archive:
        index = _blob(archive, "index.json")
        manifest = _blob(archive, _path(index["manifests"][0]["digest"]))
        config = _blob(archive, _path(manifest["config"]["digest"]))
    config["rootfs"]["diff_ids"].append(_digest(layer))
    config["history"].append({"created_by": "one more migration"})
    manifest["config"] |= _described(_json(config))
    manifest["layers"].append({"mediaType": _LAYER, **_described(layer)})
    manifest.setdefault("mediaType", "application/vnd.oci.image.manifest.v1+json")
    named = {
        "mediaType": manifest["mediaType"],
        **_described(_json(manifest)),
        "annotations": {"io.containerd.image.name": reference},
    }
    blobs = {_path(_digest(blob)): blob for blob in (layer, _json(config), _json(manifest))}
    index = {"schemaVersion": 2, "manifests": [named]}
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(_tar({"oci-layout": _json({"imageLayoutVersion": "1.0.0"}), "index.json": _json(index), **blobs}))
        file.flush()
        images.load(Path(file.name))
    return reference


def _migration() -> str:
    return f'''"""A table of the next version."""

import sqlalchemy as sa
from alembic import op

revision = "{STEP}"
down_revision = "{newest_step()}"


def upgrade() -> None:
    op.create_table("{TABLE}", sa.Column("id", sa.Integer, primary_key=True))
'''


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _blob(archive: tarfile.TarFile, path: str) -> Any:
    file = archive.extractfile(path)
    assert file is not None, path
    return json.load(file)


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _described(content: bytes) -> dict[str, object]:
    return {"digest": _digest(content), "size": len(content)}


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True).encode()
