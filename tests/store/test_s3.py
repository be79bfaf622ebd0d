"""The S3 server of the tests, asked as the lab asks: what is put is there, whole, until it is deleted."""

import hashlib
import os
from collections.abc import Iterator

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, PermissionDeniedError
from obstore.store import S3Store

from tests.support.s3 import S3

pytestmark = pytest.mark.cluster


def store_of(s3: S3, **other: str) -> S3Store:
    return S3Store(**{**s3.options(s3.bucket()), **other}, client_options={"allow_http": True})


@pytest.fixture
def bucket(s3: S3) -> S3Store:
    return store_of(s3)


def names(store: S3Store, prefix: str = "") -> list[str]:
    return sorted(entry["path"] for page in obstore.list(store, prefix) for entry in page)


async def test_put_get_list_and_delete(bucket: S3Store) -> None:
    content = os.urandom(100_000)
    await obstore.put_async(bucket, "ab/cdef", content)
    await obstore.put_async(bucket, "ab/empty", b"")
    assert bytes(await (await obstore.get_async(bucket, "ab/cdef")).bytes_async()) == content
    assert (await obstore.head_async(bucket, "ab/cdef"))["size"] == len(content)
    assert names(bucket, "ab") == ["ab/cdef", "ab/empty"]
    await obstore.delete_async(bucket, "ab/cdef")
    assert names(bucket) == ["ab/empty"]
    with pytest.raises(FileNotFoundError):
        await obstore.get_async(bucket, "ab/cdef")


async def test_a_large_one_is_streamed_both_ways(bucket: S3Store) -> None:
    sent = hashlib.sha256()

    def parts() -> Iterator[bytes]:
        for number in range(24):
            part = bytes([number]) * (1 << 20)
            sent.update(part)
            yield part

    await obstore.put_async(bucket, "large", parts(), chunk_size=5 << 20)
    found = hashlib.sha256()
    async for part in (await obstore.get_async(bucket, "large")).stream(min_chunk_size=1 << 20):
        found.update(part)
    assert found.digest() == sent.digest()


async def test_what_is_there_is_not_replaced_when_asked_to_create(bucket: S3Store) -> None:
    await obstore.put_async(bucket, "a", b"first", mode="create")
    with pytest.raises(AlreadyExistsError):
        await obstore.put_async(bucket, "a", b"second", mode="create")
    assert bytes(await (await obstore.get_async(bucket, "a")).bytes_async()) == b"first"


async def test_a_wrong_secret_is_refused(s3: S3) -> None:
    with pytest.raises(PermissionDeniedError):
        await obstore.put_async(store_of(s3, secret_access_key="wrong"), "a", b"")


def test_buckets_are_apart(s3: S3) -> None:
    one, other = store_of(s3), store_of(s3)
    obstore.put(one, "a", b"")
    assert (names(one), names(other)) == (["a"], [])
