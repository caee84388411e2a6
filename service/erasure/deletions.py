"""Plans deletions and completes them: from the inventory of an object to its signed receipt.

The API deletes an object, lists what is in storage in the erasure's record, and removes the bytes.
The reconciler of a worker completes what the API could not, because storage was down or a worker
still wrote. A deletion is complete when nothing is left in storage, the files of Redis have been
rewritten, and a process with the signing key has signed the receipt.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from service.core import clock, ids
from service.core.claims import forget_answers
from service.core.encryption.signing import InstallationKey, SigningKeyError
from service.core.records import Missing
from service.core.redis import REDIS_ERRORS, Client, rewriting
from service.core.redis.rewriting import JOURNAL, Rewriter
from service.core.storage import Storage, StorageError, StorageMissing
from service.erasure.receipts import sign_receipt
from service.erasure.records import ErasedObject, ErasureRecord, Erasures, Subject

log = logging.getLogger(__name__)


class Deletions:
    """Deletions that leave receipts. Without a signing key, another process signs them later."""

    def __init__(
        self, redis: Client, storage: Storage, signing_key: Path | None, *, has_journal: bool
    ) -> None:
        self._erasures = Erasures(redis)
        self._redis = redis
        self._storage = storage
        self._key = None if signing_key is None else InstallationKey(signing_key)
        self._known: set[str] = set()
        """IDs of unfinished erasures whose stored answers are removed."""
        self.rewriter = Rewriter(redis, partial(storage.keys, JOURNAL), has_journal=has_journal)
        self.add = self._erasures.add

    async def plan(
        self,
        project_id: str,
        subject: Subject,
        subject_id: str,
        key_id: str,
        *,
        folders: tuple[str, ...],
        leases: tuple[str, ...],
        digests: Mapping[str, str],
    ) -> ErasureRecord:
        """Return the erasure of all that is in the folders now.

        `digests` has the SHA-256 of large objects, by key. All other objects are read.
        """
        objects, is_complete = await self._take_inventory(folders, digests)
        return ErasureRecord(
            id=ids.new(ids.RECEIPT),
            project_id=project_id,
            created_at=clock.now_s(),
            subject=subject,
            subject_id=subject_id,
            key_id=key_id,
            folders=folders,
            leases=leases,
            objects=objects,
            is_inventory_complete=is_complete,
        )

    async def try_to_complete(self, erasure: ErasureRecord) -> None:
        """Complete an erasure now if possible. Otherwise, the reconciler does it later."""
        try:
            await self._complete(erasure)
        except (*REDIS_ERRORS, StorageError, SigningKeyError) as e:
            log.warning("the receipt %s will be signed later: %s", erasure.id, e)

    async def rewrite(self) -> None:
        """Remove the stored answers about deleted objects, and rewrite Redis' files if needed.

        Raises StorageError and REDIS_ERRORS.
        """
        requested = await rewriting.requests(self._redis)  # later requests wait for the next round
        unfinished = await self._erasures.unfinished()
        subjects: dict[str, set[str]] = {}
        for record in unfinished:
            if record.id not in self._known:
                subjects.setdefault(record.project_id, set()).add(record.subject_id)
        await forget_answers(self._redis, subjects, also=rewriting.request)
        self._known = {record.id for record in unfinished}
        await self.rewriter.advance(requested)

    async def sweep(self) -> None:
        """Complete all erasures that can be completed, if this process has the signing key."""
        if self._key is None or not self._key.exists:
            return
        for record in await self._erasures.unfinished():
            after = await self._complete(record)
            if after.is_complete:
                log.info("erasure %s is complete", record.id)

    async def _complete(self, record: ErasureRecord) -> ErasureRecord:
        """Remove what is left, and sign the receipt if Redis' files are rewritten.

        Does nothing while a worker may still write. Raises StorageError, SigningKeyError and
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
        rewrite = await self.rewriter.covering(record.created_at)
        if rewrite is None:
            return record
        completed_at = clock.now_s()
        signature = sign_receipt(record, completed_at, rewrite, self._key.get())
        try:
            return await self._erasures.sign(record, completed_at, rewrite, signature)
        except Missing:
            return record  # its project has been deleted

    async def _take_inventory(
        self, folders: Sequence[str], digests: Mapping[str, str]
    ) -> tuple[tuple[ErasedObject, ...], bool]:
        """Return the objects in the folders, and whether they are all. They are not on an error."""
        found: list[ErasedObject] = []
        try:
            for folder in folders:
                for item in sorted(await self._storage.objects(folder)):
                    digest = digests.get(item.key) or await self._digest(item.key)
                    if digest is not None:
                        found.append(ErasedObject(key=item.key, bytes=item.size, sha256=digest))
        except StorageError as e:
            log.warning("the objects to erase cannot be listed: %s", e)
            return tuple(found), False
        return tuple(found), True

    async def _digest(self, key: str) -> str | None:
        """Return the SHA-256 of an object, or None if it no longer exists."""
        digest = hashlib.sha256()
        try:
            async for chunk in await self._storage.stream(key):
                digest.update(chunk)
        except StorageMissing:
            return None
        return digest.hexdigest()
