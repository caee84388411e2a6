"""What is in storage before it is erased, with the digest of each object."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.core.storage import Storage, StorageError, StorageMissing
from service.erasure.records import ErasedObject

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inventory:
    """The objects of some folders. It is not complete if storage was down."""

    objects: tuple[ErasedObject, ...]
    is_complete: bool = True


async def take(storage: Storage, folders: Sequence[str], known: Mapping[str, str]) -> Inventory:
    """List the objects below the folders. `known` has the SHA-256 of large ones, by key.

    All others are read.
    """
    found: list[ErasedObject] = []
    try:
        for folder in folders:
            for item in sorted(await storage.objects(folder)):
                digest = known.get(item.key) or await _digest(storage, item.key)
                if digest is not None:
                    found.append(ErasedObject(key=item.key, bytes=item.size, sha256=digest))
    except StorageError as e:
        log.warning("what is erased cannot be listed: %s", e)
        return Inventory(tuple(found), is_complete=False)
    return Inventory(tuple(found))


async def digests_of_folder(storage: Storage, folder: str) -> dict[str, str]:
    """Return the digests in a folder's manifest by key; none if there is no manifest."""
    try:
        manifest = await storage.manifest(folder)
    except StorageError:
        return {}
    return {f"{folder}/{entry.path}": entry.sha256 for entry in manifest.files}


async def _digest(storage: Storage, key: str) -> str | None:
    """Return the SHA-256 of an object, or None if it no longer exists."""
    digest = hashlib.sha256()
    try:
        async for chunk in await storage.stream(key):
            digest.update(chunk)
    except StorageMissing:
        return None
    return digest.hexdigest()
