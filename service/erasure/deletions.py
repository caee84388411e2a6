"""Deletions that leave a receipt, from the list of the objects to the signature."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from service.core import ids
from service.core.encryption.signing import SigningKeyError
from service.core.redis import REDIS_ERRORS
from service.core.storage import Storage, StorageError
from service.erasure import inventory
from service.erasure.completion import Completion
from service.erasure.records import ErasureRecord, Erasures, Subject

log = logging.getLogger(__name__)


class Deletions:
    """Plans deletions, and ends them."""

    def __init__(self, erasures: Erasures, storage: Storage, completion: Completion) -> None:
        self.add = erasures.add
        self._storage = storage
        self._completion = completion

    async def planned(
        self,
        project_id: str,
        subject: Subject,
        subject_id: str,
        key_id: str,
        *,
        folders: tuple[str, ...],
        leases: tuple[str, ...],
        known: Mapping[str, str],
    ) -> ErasureRecord:
        """Return the erasure of what is in these folders now. `known` has digests by key."""
        found = await inventory.take(self._storage, folders, known)
        return ErasureRecord(
            id=ids.new(ids.ERASURE),
            project_id=project_id,
            created_at=ids.now_s(),
            subject=subject,
            subject_id=subject_id,
            key_id=key_id,
            folders=folders,
            leases=leases,
            objects=found.objects,
            is_inventory_complete=found.is_complete,
        )

    async def try_to_complete(self, erasure: ErasureRecord) -> None:
        """Sign the receipt now if nothing is left. Otherwise, the reconciler does it later."""
        try:
            await self._completion.complete(erasure)
        except (*REDIS_ERRORS, StorageError, SigningKeyError) as e:
            log.warning("the receipt %s will be signed later: %s", erasure.id, e)
