"""Opens the blob store that the settings name."""

from pathlib import Path

from kirzl_lab.settings import Settings
from kirzl_lab.store.blob_bucket import S3Blobs
from kirzl_lab.store.blob_folder import DirectoryBlobs
from kirzl_lab.store.blobs import Blobs


def open_blobs(settings: Settings) -> Blobs:
    """The blob store of `Settings.blobs`. Nothing is touched before it is used; `close` it at the end."""
    if settings.in_bucket:
        return S3Blobs(settings.blobs, settings.data / "drafts")
    return DirectoryBlobs(Path(settings.blobs))
