"""Writes of objects in chunks, and the room for them: a project's quota, and the disk's space."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import obstore
from obstore.store import LocalStore

from service.core import metrics
from service.core.encryption.sealed import Sealer
from service.core.storage.errors import QuotaExceeded, StorageFull, guard
from service.core.storage.object_store import S3Writer

if TYPE_CHECKING:
    from service.core.storage.objects import Storage


_RESERVE_PART = 0.01
_MOST_RESERVE_BYTES = 1024**3


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


class Accounting(Protocol):
    """Counts the bytes of projects in storage, and enforces their quotas."""

    def write(self, key: str, *, is_limited: bool = True) -> AccountedWrite | None:
        """Return the accounting of a write to an object; None if it belongs to no project."""
        ...

    async def freed(self, key: str, size: int) -> None:
        """Count deleted bytes of an object or a folder."""
        ...

    async def totals(self, project_ids: Sequence[str]) -> list[int]:
        """Return the bytes of projects, including those of writes in progress."""
        ...

    async def recount(self, storage: Storage, project_ids: Iterable[str]) -> None:
        """Count projects whose sum is uncertain, or a day old, from listings of the storage."""
        ...


class Room:
    """Reserves room for objects before they are written, and counts them afterwards."""

    def __init__(
        self, folder: Path | None, use: Accounting | None, reserve_bytes: int | None
    ) -> None:
        self.reserve_bytes = reserve_bytes
        self._folder = folder
        self._use = use

    @contextlib.asynccontextmanager
    async def of(self, key: str, size: int, *, is_limited: bool = True) -> AsyncIterator[None]:
        """Reserve room for an object, and count it once it is written. Raises StorageFull."""
        await self.need_space(key, size)
        write = self._use.write(key, is_limited=is_limited) if self._use else None
        if write is None:
            yield
            return
        await reserve_bytes(write, size)
        try:
            yield
        except BaseException:
            await write.undone()
            raise
        await write.done(size)

    async def need_space(self, key: str, size: int) -> None:
        """Raise StorageFull if a folder's disk has no room for these bytes and its reserve."""
        if self._folder is not None and size:
            free = await asyncio.to_thread(_free_bytes, self._folder, self.reserve_bytes)
            if free is not None and size > free:
                metrics.STORAGE_ERRORS.cell("write", "full").inc()
                raise StorageFull(f"no space left in storage for {key}: the rest is a reserve")


async def reserve_bytes(write: AccountedWrite, size: int, ahead: int = 0) -> int:
    """Reserve bytes for a write, and return their number. Raises QuotaExceeded."""
    try:
        return await write.reserve(size, ahead)
    except QuotaExceeded:
        metrics.STORAGE_ERRORS.cell("write", "quota").inc()
        raise


def _free_bytes(folder: Path, reserve_bytes: int | None) -> int | None:
    """Return the free space on a folder's disk beyond the reserve; None if unknown."""
    try:
        disk = shutil.disk_usage(folder)
    except OSError:
        return None  # the write itself says what is wrong
    if reserve_bytes is None:
        reserve_bytes = min(int(_RESERVE_PART * disk.total), _MOST_RESERVE_BYTES)
    return disk.free - reserve_bytes


_CHUNK_BYTES = 1024 * 1024
_MOST_AHEAD_BYTES = 8 * _CHUNK_BYTES  # that a writer reserves which does not know its size


class Writer:
    """Writes one object in chunks. Use it as a context manager: an error discards the object."""

    def __init__(self, storage: Storage, key: str, *, is_limited: bool = True) -> None:
        self._storage = storage
        self._key = key
        self._write = storage.use.write(key, is_limited=is_limited) if storage.use else None
        self._written = self._room = 0
        self._sealer: Sealer | None = None
        self._writer: S3Writer | obstore.AsyncWritableFile
        if isinstance(storage.store, LocalStore):
            # If it is dropped without close(), it removes its staged data. With 8 MiB, an upload
            # that stalled took 5.5 MiB of memory instead of 3, and writes were not faster.
            self._writer = obstore.open_writer_async(storage.store, key, buffer_size=_CHUNK_BYTES)
        else:
            self._writer = S3Writer(storage.store, key)

    async def expect(self, size: int) -> None:
        """Reserve room for this many bytes in all. Raises StorageFull and QuotaExceeded."""
        if size <= self._room:
            return
        await self._storage.room.need_space(self._key, size - self._written)
        self._room = size if self._write is None else await reserve_bytes(self._write, size)

    async def write(self, chunk: bytes) -> None:
        """Append bytes. Raises StorageFull and QuotaExceeded before they are written."""
        written = self._written + len(chunk)
        if written > self._room:
            await self._storage.room.need_space(self._key, len(chunk))
            ahead = min(self._written, _MOST_AHEAD_BYTES)
            self._room = written + ahead
            if self._write is not None:
                self._room = await reserve_bytes(self._write, written, ahead)
        await self._put(await self._sealed(chunk))
        self._written = written

    async def _sealed(self, chunk: bytes) -> bytes:
        """Return the bytes to write now: of a chunk, and of earlier ones that were held back."""
        if self._sealer is None and self._written == 0:
            self._sealer = await self._storage.cipher.sealer(self._key)
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
                    await self._put(await self._sealed(b""))
                if self._sealer is not None:
                    await self._put(self._sealer.finish())
                await guard("commit", self._writer.close(), self._key)
                await self._storage.sync(self._key)
            except BaseException:
                await self._undone()
                raise
            if self._write is not None:
                await self._write.done(self._written)
            return
        if isinstance(self._writer, S3Writer):
            await self._writer.discard()
        await self._undone()

    async def _undone(self) -> None:
        if self._write is not None:
            await self._write.undone()
