"""Check of the configured storage, run before a process starts and by `doctor`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable

import obstore

from service.core.encryption.keyring import FOLDER, INSTALLATION
from service.core.encryption.master import MasterKey, MasterKeyError
from service.core.storage import Storage, StorageError, StorageRefused

log = logging.getLogger(__name__)

_PATIENCE_S = 15.0


MasterKeyOf = Callable[[], MasterKey | None]
"""Returns the master key of the settings. Raises MasterKeyError."""


def storage_fault(url: str, master_key: MasterKeyOf = lambda: None) -> StorageError | None:
    """Return what is wrong with the storage at a URL; StorageRefused if waiting does not help.

    Encrypted storage needs the master key with which its data keys are wrapped.
    """
    try:
        asyncio.run(_use(url, master_key()))
    except MasterKeyError as e:
        return StorageRefused(str(e))
    except StorageError as e:
        return e
    except TimeoutError:
        return StorageError(f"no answer within {_PATIENCE_S:.0f} s")
    except (obstore.exceptions.BaseError, OSError, ValueError) as e:
        return StorageRefused(str(e).partition("\n")[0])
    return None


def require_storage(url: str, master_key: MasterKeyOf = lambda: None) -> None:
    """Exit this process if storage rejects it. Unavailable storage may recover, so it passes."""
    fault = storage_fault(url, master_key)
    if isinstance(fault, StorageRefused):
        print(f"finetuned-server: storage cannot be used: {fault}", file=sys.stderr, flush=True)  # noqa: T201
        # obstore's threads may still call into Python, which aborts an interpreter that shuts
        # down: the exit code was -6 once on a busy machine.
        os._exit(1)
    if fault is not None:
        log.warning("storage is unavailable: %s", fault)


async def _use(url: str, master_key: MasterKey | None) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        storage = Storage.from_url(url, master_key=master_key)
        await storage.check()
        if storage.keyring is not None:
            # This makes the data key of the installation, or unwraps it.
            await storage.cipher.sealer(f"{INSTALLATION}/check")
        elif await storage.keys(f"{FOLDER}/"):
            raise StorageRefused(
                "its objects are encrypted: set FINETUNED_ENCRYPTION_KEY_FILE, or the other "
                "setting of the master key, as it was"
            )
