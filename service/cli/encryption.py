"""Encryption at rest: a new master key, the encryption of what is stored, and rotations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from service.cli.operator import opened_storage
from service.core.encryption.keyring import FOLDER, owner_of
from service.core.storage import Storage, StorageMissing

_REPORT_EVERY: Final = 1000
_PATIENCE_S: Final = 60.0
_NO_KEY: Final = (
    "no master key is set: make one with 'finetuned-server new-master-key', and set "
    "FINETUNED_ENCRYPTION_KEY_FILE"
)


async def encrypt(data_dir: Path | None) -> AsyncIterator[str]:
    """Encrypt all objects that are not encrypted, and yield lines for the operator.

    If it is interrupted, the next run continues. Raises StorageError, and ValueError without a
    master key.
    """
    storage = _encrypting(data_dir)
    done = seen = 0
    for key in await storage.keys(""):
        if owner_of(key) is None:
            continue
        seen += 1
        try:
            if not await storage.is_encrypted(key):
                await storage.copy(key, key)
                done += 1
        except StorageMissing:
            continue  # deleted meanwhile
        if seen % _REPORT_EVERY == 0:
            yield f"looked at {seen:,} objects, encrypted {done:,}"
    yield f"encrypted {done:,} of {seen:,} objects; the others were already"


async def rotate(data_dir: Path | None) -> AsyncIterator[str]:
    """Wrap all data keys with the first master key, and yield a line for the operator."""
    storage = _encrypting(data_dir)
    assert storage.keyring is not None
    keys = await storage.keys(f"{FOLDER}/")
    owners = [key.removeprefix(f"{FOLDER}/").removesuffix(".json") for key in keys]
    done = sum([await storage.rewrap(owner) for owner in owners])
    yield f"wrapped {done:,} of {len(owners):,} data keys with {storage.keyring.master.id}"


def _encrypting(data_dir: Path | None) -> Storage:
    storage = opened_storage(data_dir, patience_s=_PATIENCE_S)
    if storage.keyring is None:
        raise ValueError(_NO_KEY)
    return storage
