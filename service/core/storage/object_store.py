"""The object store at a URL, a folder or S3: opening, writing, and explaining refusals."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.store import LocalStore, ObjectStore, S3Store

if TYPE_CHECKING:
    from obstore.store import RetryConfig

PART_BYTES = 8 * 1024 * 1024
"""Part size of a multipart upload. S3 allows 10,000 parts per object: 78 GiB."""
_PARTS_AT_ONCE = 4  # each is held in memory
# Time for running parts to arrive before an upload is aborted: S3 keeps parts that arrive later.
_QUIET_S = 1.0
# About 3 s. obstore's default of 3 minutes would block a request; a worker retries for longer.
_RETRIES: RetryConfig = {"max_retries": 5, "retry_timeout": timedelta(seconds=10)}
_STATUS = re.compile(r"status code: (?P<status>401|403)\b")
# Matches a response body, or the error of one of several keys to delete.
_CODE = re.compile(r"""(?:<Code>|\bcode: ")(?P<code>\w{1,64})(?:</Code>|")""")
_CHECK_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_REMEDIES = {
    "SignatureDoesNotMatch": "the secret is wrong: check AWS_SECRET_ACCESS_KEY and AWS_REGION",
    "InvalidAccessKeyId": "S3 does not recognize the key: check AWS_ACCESS_KEY_ID",
    "AccessDenied": "the key lacks permission: allow it to read, write, list and delete in the "
    "bucket",
    "NoSuchBucket": "the bucket does not exist: create it, or fix FINETUNED_STORAGE_URL",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
}


def open_store(url: str) -> ObjectStore:
    """Open the store at a `file:///…` or `s3://bucket/prefix` URL.

    S3's credentials, region and endpoint come from the standard `AWS_…` variables.
    """
    if url.startswith("file://"):
        path = Path(url.removeprefix("file://"))
        path.mkdir(parents=True, exist_ok=True)
        return LocalStore(path, automatic_cleanup=True)
    return S3Store.from_url(url, retry_config=_RETRIES)


def refusal(error: Exception) -> str | None:
    """Return why S3 refused and how to fix it; None if it did not refuse or was not reached.

    Only errors that an operator can fix count as refusals. Retrying does not help with those.
    """
    text = str(error)
    if "169.254.169.254" in text or "MissingAccessKeyId" in text:
        return f"no credentials for S3: {_CHECK_KEYS}"
    if "MissingSecretAccessKey" in text:
        return "no secret for S3: set AWS_SECRET_ACCESS_KEY"
    if "builder error" in text and "http://" in text:
        return "plain http:// to S3 must be allowed: set AWS_ALLOW_HTTP=true"
    code, status = _CODE.search(text), _STATUS.search(text)
    if code is not None and (remedy := _REMEDIES.get(code["code"])):
        return f"S3 refused ({code['code']}): {remedy}"
    if status is None:
        return None
    return f"S3 refused ({code['code'] if code else status['status']}): {_CHECK_KEYS}"


class S3Writer:
    """Like obstore's own writer, but an abandoned write leaves no parts in the bucket.

    obstore 0.12 makes S3 drop the parts if the source of a put fails, but not if a writer is
    dropped. S3 would keep them, invisible and billed.
    """

    def __init__(self, store: ObjectStore, key: str) -> None:
        self._store = store
        self._key = key
        self._first = bytearray()  # data that fits into one part needs only one request
        self._chunks: asyncio.Queue[bytes | _GivenUp | None] = asyncio.Queue(maxsize=1)
        self._put: asyncio.Future[object] | None = None

    async def write(self, chunk: bytes) -> None:
        """Append bytes."""
        if self._put is not None:
            await self._hand_over(self._put, chunk)
            return
        self._first += chunk
        if len(self._first) > PART_BYTES:
            self._put = self._begin()
            await self._hand_over(self._put, bytes(self._first))
            self._first = bytearray()

    async def close(self) -> None:
        """Finish the write and make the object visible."""
        if self._put is None:
            first = bytes(self._first)
            await obstore.put_async(self._store, self._key, first, use_multipart=False)
            return
        await self._hand_over(self._put, None)
        await self._put

    async def discard(self) -> None:
        """Abort the write and discard the object."""
        if self._put is None or self._put.done():
            return
        await asyncio.wait([self._put], timeout=_QUIET_S)
        with contextlib.suppress(_GivenUp, obstore.exceptions.BaseError, OSError):
            await self._hand_over(self._put, _GivenUp())
            await self._put

    def _begin(self) -> asyncio.Future[object]:
        return asyncio.ensure_future(
            obstore.put_async(
                self._store,
                self._key,
                self._source(),
                chunk_size=PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )
        )

    async def _source(self) -> AsyncIterator[bytes]:
        while (item := await self._chunks.get()) is not None:
            if isinstance(item, _GivenUp):
                raise item
            yield item

    async def _hand_over(self, put: asyncio.Future[object], item: bytes | _GivenUp | None) -> None:
        """Pass the next piece to the put, or raise the error that ended it."""
        giving = asyncio.ensure_future(self._chunks.put(item))
        try:
            both: set[asyncio.Future[Any]] = {giving, put}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not giving.done():
                giving.cancel()
        if put.done():
            put.result()


class _GivenUp(Exception):
    """The writer of an object was discarded."""
