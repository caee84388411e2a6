"""The end of an erasure: nothing is left in storage, and the receipt is signed.

The API removes what is left in the request. The reconciler of a worker that has the signing key
does the rest: it signs, and removes what could not be removed because storage was down or another
worker still wrote.
"""

from __future__ import annotations

import logging

from service.core import ids
from service.core.records import Missing
from service.core.signing import InstallationKey
from service.core.storage import Storage
from service.erasure.receipts import signature_of
from service.erasure.records import ErasureRecord, Erasures

log = logging.getLogger(__name__)


class Completion:
    """Finishes erasures."""

    def __init__(self, erasures: Erasures, storage: Storage, key: InstallationKey | None) -> None:
        self._erasures = erasures
        self._storage = storage
        self._key = key

    async def complete(self, record: ErasureRecord) -> ErasureRecord:
        """Remove what is left and sign the receipt, unless work that may write still runs.

        Without the key, another process signs it later. Raises StorageError, SigningKeyError and
        REDIS_ERRORS.
        """
        if await self._erasures.are_held(record.leases):
            return record
        for folder in record.folders:
            if await self._storage.keys(folder):
                await self._storage.delete_prefix(folder)
            if await self._storage.keys(folder):
                return record
        if self._key is None or not self._key.exists:
            return record
        completed_at = ids.now_s()
        signature = signature_of(record, completed_at, self._key.get())
        try:
            return await self._erasures.sign(record, completed_at, signature)
        except Missing:
            return record  # its project has been deleted

    async def sweep(self) -> None:
        """Finish all erasures that can be finished, if this process has the signing key."""
        if self._key is None or not self._key.exists:
            return
        for record in await self._erasures.unfinished():
            after = await self.complete(record)
            if after.is_complete:
                log.info("erasure %s is complete", record.id)
