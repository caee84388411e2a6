"""Check of the configured storage, run before a process starts and by `doctor`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import obstore

from service.core.storage import Storage, StorageError, StorageRefused

log = logging.getLogger(__name__)

_PATIENCE_S = 15.0


def storage_fault(url: str) -> StorageError | None:
    """Return what is wrong with the storage at a URL; StorageRefused if waiting does not help."""
    try:
        asyncio.run(_use(url))
    except StorageError as e:
        return e
    except TimeoutError:
        return StorageError(f"no answer within {_PATIENCE_S:.0f} s")
    except (obstore.exceptions.BaseError, OSError, ValueError) as e:
        return StorageRefused(str(e).partition("\n")[0])
    return None


def require_storage(url: str) -> None:
    """Exit this process if storage rejects it. Unavailable storage may recover, so it passes."""
    fault = storage_fault(url)
    if isinstance(fault, StorageRefused):
        print(f"finetuned-server: storage cannot be used: {fault}", file=sys.stderr, flush=True)  # noqa: T201
        # obstore's threads may still call into Python, which aborts an interpreter that shuts
        # down: the exit code was -6 once on a busy machine.
        os._exit(1)
    if fault is not None:
        log.warning("storage is unavailable: %s", fault)


async def _use(url: str) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        await Storage.from_url(url).check()
