"""Runs inside a person's server: files as Jupyter keeps them, with a plain answer where the materials are read-only.

Jupyter's own answer to a read-only file system is a status 500 with a path of the machine in it.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from tornado.web import HTTPError

MATERIALS = "materials"
"""The folder beside the work; `folders.MATERIALS`, which is not imported so that a server starts as fast as before."""

READ_ONLY = "The materials are read-only: go up to your own folder first."
NOT_PERMITTED = "This file or folder does not let itself be opened or changed: look at its permissions."

REFUSALS = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class LabContents(AsyncLargeFileManager):
    """Jupyter's default contents manager; what the file system refuses becomes a 403 in words, without a path."""

    @contextmanager
    def perm_to_403(self, os_path: str = "") -> Iterator[None]:
        """Raises `HTTPError` 403 for what the file system refuses, and every other `OSError` as it is."""
        try:
            yield
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
            materials = Path(self.root_dir, MATERIALS)
            touched = (os_path, error.filename, error.filename2)
            among = any(Path(path).is_relative_to(materials) for path in touched if isinstance(path, str) and path)
            raise HTTPError(403, READ_ONLY if among else NOT_PERMITTED) from error
