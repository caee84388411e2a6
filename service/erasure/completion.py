"""The end of an erasure: nothing is left in storage and Redis' files, and the receipt is signed.

The API empties storage in the request. The reconciler of a worker does the rest, and what the API
could not do because storage was down or a worker still wrote. One that has the signing key signs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from service.core import ids
from service.core.claims import forget_answers
from service.core.encryption.signing import InstallationKey
from service.core.records import Missing
from service.core.redis import rewriting
from service.core.redis.rewriting import Rewriter
from service.core.storage import Storage
from service.erasure.receipts import signature_of
from service.erasure.records import ErasureRecord, Erasures

log = logging.getLogger(__name__)


class Completion:
    """Finishes erasures."""

    def __init__(
        self,
        erasures: Erasures,
        storage: Storage,
        rewriter: Rewriter,
        key: InstallationKey | None,
    ) -> None:
        self._erasures = erasures
        self._rewriter = rewriter
        self._known: set[str] = set()
        """IDs of unfinished erasures whose stored answers are removed."""
        self._storage = storage
        self._key = key

    async def complete(self, record: ErasureRecord) -> ErasureRecord:
        """Remove what is left, and sign the receipt if Redis' files are rewritten.

        Nothing is done while work that may write still runs. Without the key, another process signs
        it later. Raises StorageError, SigningKeyError and REDIS_ERRORS.
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
        rewrite = await self._rewriter.covering(record.created_at)
        if rewrite is None:
            return record
        completed_at = ids.now_s()
        signature = signature_of(record, completed_at, rewrite, self._key.get())
        try:
            return await self._erasures.sign(record, completed_at, rewrite, signature)
        except Missing:
            return record  # its project has been deleted

    async def rewrite(self) -> None:
        """Forget the stored answers about what was deleted, and rewrite Redis' files if needed.

        Raises StorageError and REDIS_ERRORS.
        """
        requested = await rewriting.requests(self._erasures.redis)  # what comes now is for the next
        unfinished = await self._erasures.unfinished()
        new = (record for record in unfinished if record.id not in self._known)
        await forget_answers(self._erasures.redis, _subjects(new))
        self._known = {record.id for record in unfinished}
        await self._rewriter.advance(requested)

    async def sweep(self) -> None:
        """Finish all erasures that can be finished, if this process has the signing key."""
        if self._key is None or not self._key.exists:
            return
        for record in await self._erasures.unfinished():
            after = await self.complete(record)
            if after.is_complete:
                log.info("erasure %s is complete", record.id)


def _subjects(erasures: Iterable[ErasureRecord]) -> dict[str, set[str]]:
    """Return the IDs of what was deleted, by project."""
    found: dict[str, set[str]] = {}
    for record in erasures:
        found.setdefault(record.project_id, set()).add(record.subject_id)
    return found
