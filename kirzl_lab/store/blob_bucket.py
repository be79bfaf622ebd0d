"""Blobs in a bucket of an S3 server, through obstore. Drafts are on this machine's disk.

Address and credentials come from the environment, as every program for S3 has them: `AWS_ENDPOINT_URL`, `AWS_REGION`,
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`. An address that begins with `http://` is taken at its word.
"""

import os
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from obstore import delete_async, get_async, head_async, put_async
from obstore import list as list_objects
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from kirzl_lab.problems import FileLost, StorageAway
from kirzl_lab.store.blobs import BATCH, PART, Blob, Draft, Spool, Threads

PIECE = 5 << 20
"""Bytes of a piece of a larger file, the least that S3 takes; at most `PIECES` of them are in memory for one file."""
PIECES = 2
LIMIT = timedelta(seconds=30)
"""How long one question may take before the server counts as away."""


class S3Blobs:
    """Blobs in a bucket, each at `PREFIX/aa/bb/SHA256` after the first letters of its name."""

    def __init__(self, address: str, drafts: Path) -> None:
        """`address` is `s3://BUCKET` or `s3://BUCKET/PREFIX`."""
        parts = urlsplit(address)
        self._bucket = S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            client_options={
                "timeout": LIMIT,
                "connect_timeout": timedelta(seconds=5),
                "allow_http": os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"),
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=10)},
        )
        self._run = Threads()
        self._spool = Spool(drafts, self._run)
        self.draft = self._spool.draft
        self.remove_drafts = self._spool.remove_drafts

    async def keep(self, draft: Draft) -> Blob:
        """See `Blobs.keep`."""
        blob = await draft.finish()
        if await self.has(blob.sha256):
            return blob
        small = blob.size <= PIECE
        with _telling(), suppress(AlreadyExistsError):
            await put_async(
                self._bucket,
                _key(blob.sha256),
                draft.path,
                # Larger ones appear whole, too, and what they replace is the same; S3 has no condition for them.
                mode="create" if small else "overwrite",
                use_multipart=not small,
                chunk_size=PIECE,
                max_concurrency=PIECES,
            )
        return blob

    async def has(self, sha256: str) -> bool:
        """See `Blobs.has`."""
        with _telling():
            try:
                await head_async(self._bucket, _key(sha256))
            except FileNotFoundError:
                return False
        return True

    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        """See `Blobs.read`."""
        with _telling():
            try:
                found = await get_async(self._bucket, _key(sha256))
            except FileNotFoundError as error:
                raise FileLost() from error

        async def parts() -> AsyncIterator[bytes]:
            with _telling():
                async for part in found.stream(min_chunk_size=PART):
                    yield bytes(part)

        return parts()

    async def old(self, before: datetime) -> AsyncIterator[list[str]]:
        """See `Blobs.old`."""
        with _telling():
            async for metas in list_objects(self._bucket, chunk_size=BATCH):
                yield [meta["path"].rpartition("/")[2] for meta in metas if meta["last_modified"] < before]

    async def remove(self, sha256s: Collection[str]) -> None:
        """See `Blobs.remove`."""
        with _telling():
            if sha256s:
                await delete_async(self._bucket, [_key(sha256) for sha256 in sha256s])

    def close(self) -> None:
        """See `Blobs.close`."""
        self._run.close()


def _key(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


@contextmanager
def _telling() -> Iterator[None]:
    """Raise whatever the server or the way to it has as `StorageAway`."""
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        raise StorageAway() from error
