"""Copies of stored objects into a target that may have most of them already."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Final

from service.backup.at_once import each
from service.backup.contents import SavedObject
from service.backup.errors import BackupError
from service.backup.target import Target
from service.core.storage import Storage, StorageMissing, StoredObject
from service.core.storage.object_store import PART_BYTES

_MOST_TRIES: Final = 3


class Copier:
    """Copies objects from storage to the target.

    `known` are the objects of the backup before, by key. `copied` counts objects and bytes.
    """

    def __init__(
        self,
        storage: Storage,
        target: Target,
        known: dict[str, SavedObject],
        present: dict[str, int],
    ) -> None:
        self._storage = storage
        self._target = target
        self._present = present
        self.saved = known
        self.copied: Counter[str] = Counter()

    async def copy(self, objects: Iterable[StoredObject]) -> None:
        """Copy objects whose present version is not in the target.

        Skips objects that are deleted while it runs. Raises BackupError and StorageError.
        """
        await each([found for found in objects if not self._is_saved(found)], self._copy)

    def _is_saved(self, found: StoredObject) -> bool:
        saved = self.saved.get(found.key)
        return (
            saved is not None
            and found.tag == saved.tag != ""
            and self._present.get(saved.sha256) == found.size == saved.size
        )

    async def _copy(self, found: StoredObject) -> None:
        try:
            saved = await (
                self._copy_small(found) if found.size <= PART_BYTES else self._copy_large(found)
            )
        except StorageMissing:
            return
        self.saved[found.key] = saved

    async def _copy_small(self, found: StoredObject) -> SavedObject:
        data = await self._storage.get_bytes(found.key)
        digest = hashlib.sha256(data).hexdigest()
        if self._present.get(digest) != len(data):
            await self._target.put_object(digest, data)
            self._note(digest, len(data))
        return SavedObject(key=found.key, size=len(data), sha256=digest, tag=found.tag)

    async def _copy_large(self, found: StoredObject) -> SavedObject:
        """Read the object twice: first for its digest, which is its name in the target."""
        for _ in range(_MOST_TRIES):
            digest = await self._digest(found.key)
            if self._present.get(digest) == found.size or await self._stream(found.key, digest):
                now = await self._storage.stat(found.key)
                if now.tag == found.tag:
                    self._note(digest, found.size)
                    return SavedObject(found.key, found.size, digest, found.tag)
            found = await self._storage.stat(found.key)
        raise BackupError(f"{found.key} changes while it is read: run the backup again")

    async def _digest(self, key: str) -> str:
        digest = hashlib.sha256()
        async for chunk in await self._storage.stream(key):
            await asyncio.to_thread(digest.update, chunk)
        return digest.hexdigest()

    async def _stream(self, key: str, expected: str) -> bool:
        """Copy an object. Returns False, and writes nothing, if it no longer has the digest."""
        digest = hashlib.sha256()

        async def read() -> AsyncIterator[bytes]:
            async for chunk in await self._storage.stream(key):
                await asyncio.to_thread(digest.update, chunk)
                yield chunk
            if digest.hexdigest() != expected:
                raise _Changed

        try:
            await self._target.write_object(expected, read())
        except _Changed:
            return False
        return True

    def _note(self, digest: str, size: int) -> None:
        if self._present.get(digest) != size:
            self._present[digest] = size
            self.copied["objects"] += 1
            self.copied["bytes"] += size


class _Changed(Exception):
    """An object was overwritten between two reads."""
