"""Redis records of exports.

    finetuned:{project}:exports:{id}   an export
    finetuned:exports-unfinished       "project/id" of those without a final status
    finetuned:exports-expiring         "project/id", scored by expiration time
    finetuned:exports-swept            "project/id" of those whose objects must be deleted

The archive of an export is one object in storage. Its name contains the attempt that wrote it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from redis.asyncio.client import Pipeline

from service.core import ids, outbox, queue
from service.core.attempts import AttemptedRecord
from service.core.claims import Claim
from service.core.expiring import read_expired
from service.core.outbox import Event
from service.core.records import PREFIX, Also, Collection, Stored
from service.core.redis import Client, reply, text
from service.core.unfinished import count_unfinished, read_unfinished

FUNCTION: Final = "export_model"  # the task's name in the queue of evals
UNFINISHED: Final = f"{PREFIX}:exports-unfinished"
EXPIRING: Final = f"{PREFIX}:exports-expiring"
TO_SWEEP: Final = f"{PREFIX}:exports-swept"
KEPT_S: Final = 7 * 24 * 3600
MAX_UNFINISHED: Final = 4  # of a project


class ExportStatus(StrEnum):
    """Status of an export."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL: Final = frozenset({ExportStatus.SUCCEEDED, ExportStatus.FAILED, ExportStatus.CANCELLED})


class ExportProgress(Stored):
    """The step that is being worked on, and its finished parts."""

    step: str
    done: int
    total: int


class ExportError(Stored):
    """Reason why an export failed. The prompts are set if the chat template is wrong."""

    code: str
    message: str
    expected_prompt: str | None = None
    rendered_prompt: str | None = None


class ExportRecord(AttemptedRecord):
    """An export of a trained model. `artifact` and `digest` are those of its adapter."""

    model: str
    base_model: str
    job_id: str | None  # None if the model was imported
    artifact: str
    digest: str
    key_id: str  # whose usage it is
    format: str
    quantization: str | None = None
    expires_at: int
    status: ExportStatus = ExportStatus.QUEUED
    progress: ExportProgress | None = None
    key: str | None = None  # of the archive in storage
    bytes: int | None = None
    sha256: str | None = None
    proof: dict[str, Any] | None = None
    error: ExportError | None = None
    finished_at: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether the export has a final status."""
        return self.status in FINAL

    @property
    def folder(self) -> str:
        """The storage folder of the export."""
        return f"{self.project_id}/exports/{self.id}"

    @property
    def filename(self) -> str:
        """The file name of the downloaded archive."""
        return f"{self.id}-{self.format}.tar"


Change = Callable[[ExportRecord], ExportRecord]


class Exports:
    """The exports of all projects."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.records = Collection(redis, "exports", ExportRecord)

    async def create(
        self, record: ExportRecord, claim: Claim[ExportRecord] | None = None
    ) -> ExportRecord:
        """Store a new export and enqueue it. Raises ClaimLost."""
        claim = claim or Claim()

        def also(pipe: Pipeline) -> None:
            pipe.sadd(UNFINISHED, _member(record))
            pipe.zadd(EXPIRING, {_member(record): record.expires_at})
            claim.settle(pipe, record)

        await self.records.create(record, also=also, check=claim.check)
        with queue.left_to_the_reconciler():
            await self.enqueue(record)
        return record

    async def get(self, project_id: str, export_id: str) -> ExportRecord | None:
        """Return the project's export with this ID, or None if it is unknown or has expired."""
        if not ids.is_valid(export_id, ids.EXPORT):
            return None
        found = await self.records.get(project_id, export_id)
        return found if found is not None and found.expires_at > ids.now_s() else None

    async def enqueue(self, record: ExportRecord) -> None:
        """Enqueue the attempt unless it is already queued."""
        await queue.enqueue(
            self.redis, queue.EVALS, FUNCTION, record.project_id, record.id, record.attempt
        )

    async def change(self, record: ExportRecord, change: Change) -> ExportRecord:
        """Change an export atomically. Exceptions of `change` propagate. Raises Missing.

        Every change goes through this method. A change to a final status also writes the end of the
        export to the outbox. Objects of an export without an archive are then deleted.
        """
        was_final = False

        def noting(current: ExportRecord) -> ExportRecord:
            nonlocal was_final
            was_final = current.is_final
            return change(current)

        def also(pipe: Pipeline, after: ExportRecord) -> None:
            if after.is_final and not was_final:
                pipe.srem(UNFINISHED, _member(after))
                outbox.add(pipe, _end_of(after))
                if after.key is None:
                    pipe.sadd(TO_SWEEP, _member(after))

        return await self.records.update(record.project_id, record.id, noting, also=also)

    async def count(self, project_id: str) -> int:
        """Return the number of the project's exports."""
        return int(await self.redis.zcard(self.records.index(project_id)))

    async def count_unfinished(self, project_id: str) -> int:
        """Return the number of the project's exports without a final status."""
        return await count_unfinished(self.redis, UNFINISHED, project_id)

    async def unfinished(self) -> list[ExportRecord]:
        """Return all readable exports without a final status."""
        return await read_unfinished(
            self.redis, UNFINISHED, lambda _: self.records, lambda record: not record.is_final
        )

    async def delete(self, record: ExportRecord, also: Also = lambda _: None) -> bool:
        """Delete an export. Its worker stops. Returns False if it is gone."""

        def together(pipe: Pipeline) -> None:
            pipe.srem(UNFINISHED, _member(record))
            pipe.zrem(EXPIRING, _member(record))
            pipe.sadd(TO_SWEEP, _member(record))
            also(pipe)

        return await self.records.delete(record.project_id, record.id, also=together)

    async def expired(self, now_s: int) -> list[ExportRecord]:
        """Return the readable exports that have expired."""
        return await read_expired(self.redis, EXPIRING, self.records, now_s)

    async def to_sweep(self) -> list[str]:
        """The exports whose objects must be deleted, as "project/id"."""
        return sorted(text(member) for member in await reply(self.redis.smembers(TO_SWEEP)))

    async def sweep_again(self, record: ExportRecord) -> None:
        """Note that a stopped attempt may have left objects."""
        await reply(self.redis.sadd(TO_SWEEP, _member(record)))

    async def swept(self, member: str) -> None:
        """Note that nothing is left in storage."""
        await reply(self.redis.srem(TO_SWEEP, member))


def _member(record: ExportRecord) -> str:
    return f"{record.project_id}/{record.id}"


def _end_of(record: ExportRecord) -> Event:
    """The event of a final export. It ends once, so its event has the export's own ID."""
    return Event(
        id=ids.WEBHOOK_EVENT + record.id.removeprefix(ids.EXPORT),
        project_id=record.project_id,
        created_at=record.finished_at or ids.now_s(),
        type=f"export.{record.status}",
        subject_id=record.id,
    )
