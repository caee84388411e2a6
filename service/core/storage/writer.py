"""Writes objects in chunks, within quotas and the space of the disk, to a folder or to S3."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol, Self

import obstore
from obstore.store import LocalStore, ObjectStore

from service.core import local_disk, metrics
from service.core.encryption.sealed import Sealer
from service.core.errors import QuotaExceeded, StorageError, StorageFull, StorageMissing
from service.core.storage.cipher import ObjectCipher
from service.core.storage.errors import guard

PART_BYTES = 8 * 1024 * 1024
"""Part size of a multipart upload. S3 allows 10,000 parts per object: 78 GiB."""
_PARTS_AT_ONCE = 4  # each is held in memory
# Time for running parts to arrive before an upload is aborted: S3 keeps parts that arrive later.
_QUIET_S = 1.0
_CHUNK_BYTES = 1024 * 1024
_MAX_AHEAD_BYTES = 8 * _CHUNK_BYTES  # reserved by a writer that does not know its size
_RESERVE_PART = 0.01
_MAX_RESERVE_BYTES = 1024**3


class AccountedWrite(Protocol):
    """Accounting of one write: `reserve` before bytes are written, then `done` or `undone`."""

    async def reserve(self, size: int, ahead: int = 0) -> int:
        """Reserve `size` bytes in all, and `ahead` more if there is room. Returns their number.

        Raises QuotaExceeded.
        """
        ...

    async def done(self, size: int) -> None:
        """Count the bytes that were written."""
        ...

    async def undone(self) -> None:
        """Release the reservation, because nothing was written."""
        ...


async def reserve_bytes(write: AccountedWrite, size: int, ahead: int = 0) -> int:
    """Reserve bytes for a write, and return their number. Raises QuotaExceeded."""
    try:
        return await write.reserve(size, ahead)
    except QuotaExceeded:
        metrics.STORAGE_ERRORS.cell("write", "quota").inc()
        raise


class Writer:
    """Writes one object in chunks. Use it as a context manager: an error discards the object."""

    def __init__(
        self,
        store: ObjectStore,
        key: str,
        *,
        disk: Disk,
        cipher: ObjectCipher,
        write: AccountedWrite | None,
    ) -> None:
        self._key = key
        self._disk = disk
        self._cipher = cipher
        self._write = write
        self._written = self._room = 0
        self._sealer: Sealer | None = None
        self._writer: S3Writer | obstore.AsyncWritableFile
        if isinstance(store, LocalStore):
            # If it is dropped without close(), it removes its staged data. With 8 MiB, an upload
            # that stalled took 5.5 MiB of memory instead of 3, and writes were not faster.
            self._writer = obstore.open_writer_async(store, key, buffer_size=_CHUNK_BYTES)
        else:
            self._writer = S3Writer(store, key)

    async def expect(self, size: int) -> None:
        """Reserve room for this many bytes in all. Raises StorageFull and QuotaExceeded."""
        if size <= self._room:
            return
        await self._disk.require_space(self._key, size - self._written)
        self._room = size if self._write is None else await reserve_bytes(self._write, size)

    async def write(self, chunk: bytes) -> None:
        """Append bytes. Raises StorageFull and QuotaExceeded before they are written."""
        written = self._written + len(chunk)
        if written > self._room:
            await self._disk.require_space(self._key, len(chunk))
            ahead = min(self._written, _MAX_AHEAD_BYTES)
            self._room = written + ahead
            if self._write is not None:
                self._room = await reserve_bytes(self._write, written, ahead)
        await self._put(await self._seal(chunk))
        self._written = written

    async def _seal(self, chunk: bytes) -> bytes:
        """Return the bytes to write now: of a chunk, and of earlier ones that were held back."""
        if self._sealer is None and self._written == 0:
            self._sealer = await self._cipher.sealer(self._key)
        return chunk if self._sealer is None else self._sealer.update(chunk)

    async def _put(self, data: bytes) -> None:
        if data:
            await guard("write", self._writer.write(data), self._key)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                if self._written == 0:
                    await self._put(await self._seal(b""))
                if self._sealer is not None:
                    await self._put(self._sealer.finish())
                await guard("commit", self._writer.close(), self._key)
                await self._disk.sync(self._key)
            except BaseException:
                await self._undo()
                raise
            if self._write is not None:
                await self._write.done(self._written)
            return
        if isinstance(self._writer, S3Writer):
            await self._writer.discard()
        await self._undo()

    async def _undo(self) -> None:
        if self._write is not None:
            await self._write.undone()


class Disk:
    """The disk of a storage folder. On S3, it has space for everything, and syncs nothing."""

    def __init__(self, folder: Path | None, reserve_bytes: int | None) -> None:
        self.reserve_bytes = reserve_bytes
        self._folder = folder

    async def require_space(self, key: str, size: int) -> None:
        """Raise StorageFull if the disk has no room for these bytes and its reserve."""
        if self._folder is not None and size:
            free = await asyncio.to_thread(_free_bytes, self._folder, self.reserve_bytes)
            if free is not None and size > free:
                metrics.STORAGE_ERRORS.cell("write", "full").inc()
                raise StorageFull(f"no space left in storage for {key}: the rest is a reserve")

    async def sync(self, key: str) -> None:
        """Write an object in a folder to the disk, so that it survives a power failure.

        An object on S3 does so once it is written. Whatever cannot be synced is removed.
        """
        if (folder := self._folder) is None:
            return
        path = folder / key
        try:
            await guard("sync", asyncio.to_thread(local_disk.sync, folder, path), key)
        except StorageMissing as e:
            # It was just written: the folder is unavailable, which is worth another try.
            raise StorageError(f"storage lost {key} while it was written") from e
        except StorageError:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise


def _free_bytes(folder: Path, reserve_bytes: int | None) -> int | None:
    """Return the free space on a folder's disk beyond the reserve; None if unknown."""
    try:
        disk = shutil.disk_usage(folder)
    except OSError:
        return None  # the write itself will fail with the reason
    if reserve_bytes is None:
        reserve_bytes = min(int(_RESERVE_PART * disk.total), _MAX_RESERVE_BYTES)
    return disk.free - reserve_bytes


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
