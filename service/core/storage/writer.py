"""Writes of objects in chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import obstore
from obstore.store import LocalStore

from service.core.encryption.sealed import Sealer
from service.core.object_store import S3Writer
from service.core.storage.calls import guard
from service.core.storage.room import reserved

if TYPE_CHECKING:
    from service.core.storage.objects import Storage

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
        self._room = size if self._write is None else await reserved(self._write, size)

    async def write(self, chunk: bytes) -> None:
        """Append bytes. Raises StorageFull and QuotaExceeded before they are written."""
        written = self._written + len(chunk)
        if written > self._room:
            await self._storage.room.need_space(self._key, len(chunk))
            ahead = min(self._written, _MOST_AHEAD_BYTES)
            self._room = written + ahead
            if self._write is not None:
                self._room = await reserved(self._write, written, ahead)
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
