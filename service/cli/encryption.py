"""Encryption at rest: a new master key, the encryption of what is stored, and rotations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from service.backup.restore import require_alone
from service.cli.connections import opened_storage, running_or_alone, stopped
from service.cli.recorded import recorded
from service.config import Settings
from service.core.encryption.keyring import FOLDER, owner_of
from service.core.encryption.master import MasterKeyError
from service.web.audit_events import AuditEvent

_REPORT_EVERY: Final = 1000
_CHECK_EVERY: Final = 100  # objects between checks for processes that have started
_PATIENCE_S: Final = 60.0
_NO_KEY: Final = (
    "no master key is set: make one with 'finetuned-server new-master-key', and set "
    "FINETUNED_ENCRYPTION_KEY_FILE"
)


async def encrypt(data_dir: Path | None) -> AsyncIterator[str]:
    """Encrypt all objects that are not encrypted, and yield lines for the operator.

    Objects are rewritten in place. So what a process deletes or writes at the same time could come
    back or be lost. If it is interrupted, the next run continues.

    Raises InUse or AlreadyRunning while the API or a worker runs; StorageError; BackupError without
    Redis, and ValueError without a master key.
    """
    _require_key()
    done = seen = 0
    async with stopped(data_dir) as redis, recorded(redis, AuditEvent.STORAGE_ENCRYPTED) as chore:
        storage = opened_storage(data_dir, patience_s=_PATIENCE_S)
        for key in await storage.keys(""):
            if owner_of(key) is None:
                continue
            if seen % _CHECK_EVERY == 0:
                await require_alone(redis)
            seen += 1
            if not await storage.is_encrypted(key):
                await storage.copy(key, key)
                done += 1
                chore.counts["objects"] = done
            if seen % _REPORT_EVERY == 0:
                yield f"looked at {seen:,} objects, encrypted {done:,}"
    yield f"encrypted {done:,} of {seen:,} objects; the others were already"


async def rotate(data_dir: Path | None) -> AsyncIterator[str]:
    """Wrap all data keys with the first master key, and yield a line for the operator."""
    _require_key()
    async with (
        running_or_alone(data_dir) as redis,
        recorded(redis, AuditEvent.MASTER_KEY_ROTATED) as chore,
    ):
        storage = opened_storage(data_dir, patience_s=_PATIENCE_S)
        assert storage.keyring is not None  # there is a key
        keys = await storage.keys(f"{FOLDER}/")
        owners = [key.removeprefix(f"{FOLDER}/").removesuffix(".json") for key in keys]
        done = sum([await storage.rewrap(owner) for owner in owners])
        chore.objects, chore.counts = (storage.keyring.master.id,), {"keys": done}
    yield f"wrapped {done:,} of {len(owners):,} data keys with {storage.keyring.master.id}"


def _require_key() -> None:
    """Raise ValueError without a master key, before anything is started or made."""
    try:
        key = Settings().master_key()
    except MasterKeyError as e:
        raise ValueError(str(e)) from e
    if key is None:
        raise ValueError(_NO_KEY)
