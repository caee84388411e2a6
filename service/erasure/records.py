"""Redis records of erasures, which become receipts once the bytes are gone.

    finetuned:{project}:erasures:{id}   an erasure
    finetuned:erasures-unfinished       "project/id" of those whose bytes are not gone yet

The transaction that deletes an object's record writes its erasure. So every deletion gets its
receipt, even if a process dies in between.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from redis.asyncio.client import Pipeline

from service.core import ids
from service.core.records import PREFIX, Collection, Record, Stored
from service.core.redis import Client, reply, rewriting
from service.core.redis.rewriting import Rewrite
from service.work.unfinished import read_unfinished

UNFINISHED: Final = f"{PREFIX}:erasures-unfinished"
EXPIRED: Final = "expires_after"
"""The `key_id` of an erasure whose object expired."""


class Subject(StrEnum):
    """The kind of object that was deleted."""

    FILE = "file"
    MODEL = "model"
    EXPORT = "export"
    EVAL = "eval"
    EVAL_RUN = "eval.run"


class ErasedObject(Stored):
    """An object in storage as it was before it was removed."""

    key: str
    bytes: int
    sha256: str


class ErasureSignature(Stored):
    """The signature of a receipt."""

    algorithm: str
    key_id: str
    public_key: str
    value: str


class ErasureRecord(Record):
    """The erasure of one object. With a signature, it is a receipt."""

    subject: Subject
    subject_id: str
    key_id: str  # of the API key that deleted the object, or EXPIRED
    folders: tuple[str, ...]  # in storage, which are emptied
    leases: tuple[str, ...] = ()  # of work that may still write there
    objects: tuple[ErasedObject, ...] = ()
    is_inventory_complete: bool = True  # not if storage was down when the object was deleted
    completed_at: int | None = None
    rewrite: Rewrite | None = None  # None in receipts of earlier versions
    signature: ErasureSignature | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the bytes are gone and the receipt is signed."""
        return self.signature is not None


class Erasures:
    """The erasures of all projects."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.records = Collection(redis, "erasures", ErasureRecord)

    def add(self, pipe: Pipeline, record: ErasureRecord) -> None:
        """Add a new erasure to the transaction that deletes its object."""
        self.records.add(pipe, record)
        pipe.sadd(UNFINISHED, f"{record.project_id}/{record.id}")
        rewriting.request(pipe)

    async def get(self, project_id: str, erasure_id: str) -> ErasureRecord | None:
        """Return the project's erasure with this ID, or None."""
        if not any(ids.is_valid(erasure_id, prefix) for prefix in (ids.RECEIPT, ids.ERASURE)):
            return None
        return await self.records.get(project_id, erasure_id)

    async def sign(
        self,
        record: ErasureRecord,
        completed_at: int,
        rewrite: Rewrite,
        signature: ErasureSignature,
    ) -> ErasureRecord:
        """Make the erasure a receipt. The first signature stays. Raises Missing."""
        signed = {"completed_at": completed_at, "rewrite": rewrite, "signature": signature}

        def change(current: ErasureRecord) -> ErasureRecord:
            if current.is_complete:
                return current
            return current.model_copy(update=signed)

        def also(pipe: Pipeline, _: ErasureRecord) -> None:
            pipe.srem(UNFINISHED, f"{record.project_id}/{record.id}")

        return await self.records.update(record.project_id, record.id, change, also=also)

    async def unfinished(self) -> list[ErasureRecord]:
        """Return all readable erasures without a receipt."""
        return await read_unfinished(
            self.redis, UNFINISHED, lambda _: self.records, lambda record: not record.is_complete
        )

    async def are_held(self, leases: tuple[str, ...]) -> bool:
        """Return whether a worker holds one of these leases."""
        keys = [f"{PREFIX}:lease:{subject}" for subject in leases]
        return bool(keys and await reply(self.redis.exists(*keys)))
