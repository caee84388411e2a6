"""Redis records of exports.

    finetuned:{project}:exports:{id}   an export
    finetuned:exports-unfinished       "project/id" of those without a final status
    finetuned:exports-expiring         "project/id", scored by expiration time
    finetuned:exports-swept            "project/id" of those whose objects must be deleted

The archive of an export is one object in storage. Its name contains the attempt that wrote it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Self

from redis.asyncio.client import Pipeline

from service.core import clock, ids, queue
from service.core.leases import Leases
from service.core.records import PREFIX, Stored
from service.core.redis import reply, text
from service.core.redis.transactions import touch
from service.core.storage import Storage
from service.work.records import Kind, OperationRecord, RestartedRecord, WorkError
from service.work.store import WorkStore

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


class ExportProgress(Stored):
    """The step that is being worked on, and its finished parts."""

    step: str
    done: int
    total: int


class ExportError(WorkError):
    """Reason why an export failed. The prompts are set if the chat template is wrong."""

    expected_prompt: str | None = None
    rendered_prompt: str | None = None


class ExportRecord(OperationRecord, RestartedRecord):
    """An export of a trained model. `artifact` and `digest` are those of its adapter."""

    work = Kind(
        noun="export",
        collection="exports",
        function="export_model",
        lane=queue.EVALS,
        id_prefix=ids.EXPORT,
        doing="exported the model",
        interrupted="export_interrupted",
        event="export",
    )
    final = frozenset({ExportStatus.SUCCEEDED, ExportStatus.FAILED, ExportStatus.CANCELLED})
    failed = ExportStatus.FAILED
    cancelled = ExportStatus.CANCELLED

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
    def folder(self) -> str:
        """The storage folder of the export."""
        return f"{self.project_id}/exports/{self.id}"

    @property
    def filename(self) -> str:
        """The file name of the downloaded archive."""
        return f"{self.id}-{self.format}.tar"

    def next_attempt(self, **fields: Any) -> Self:
        """Return the record with the next attempt, which starts again."""
        return super().next_attempt(status=ExportStatus.QUEUED, progress=None, **fields)

    def end(self, status: StrEnum, now_s: int, **fields: Any) -> Self:
        """Return the record with a final status."""
        return super().end(status, now_s, progress=None, **fields)


class Exports(WorkStore[ExportRecord]):
    """The exports of all projects."""

    record = ExportRecord

    async def get(self, project_id: str, record_id: str) -> ExportRecord | None:
        """Return the project's export with this ID, or None if it is unknown or has expired."""
        found = await super().get(project_id, record_id)
        return found if found is not None and found.expires_at > clock.now_s() else None

    async def count(self, project_id: str) -> int:
        """Return the number of the project's exports."""
        return int(await self.redis.zcard(self.records.index(project_id)))

    async def expired(self, now_s: int) -> list[ExportRecord]:
        """Return the readable exports that have expired."""
        return await self.records.read_expired(EXPIRING, now_s)

    async def sweep_again(self, record: ExportRecord) -> None:
        """Note that a stopped attempt may have left objects."""
        await reply(self.redis.sadd(TO_SWEEP, record.member))

    async def leftovers(self, now_s: int) -> list[str]:
        """Return the members of exports that may have left objects."""
        return sorted(text(member) for member in await reply(self.redis.smembers(TO_SWEEP)))

    async def clean_up(self, member: str, storage: Storage, leases: Leases) -> None:
        """Delete the objects of an export that was deleted, or that ended without an archive."""
        project_id, export_id = member.split("/", 1)
        record = await self.records.get(project_id, export_id)
        if record is None or (record.is_final and record.key is None):
            await storage.delete_prefix(f"{project_id}/exports/{export_id}")
        await reply(self.redis.srem(TO_SWEEP, member))

    def _on_created(self, pipe: Pipeline, record: ExportRecord) -> None:
        super()._on_created(pipe, record)
        touch(record.model)  # so that the audit log names it after the export is deleted
        pipe.zadd(EXPIRING, {record.member: record.expires_at})

    def _on_ended(self, pipe: Pipeline, record: ExportRecord) -> None:
        super()._on_ended(pipe, record)
        if record.key is None:
            pipe.sadd(TO_SWEEP, record.member)

    def _on_deleted(self, pipe: Pipeline, record: ExportRecord) -> None:
        pipe.zrem(EXPIRING, record.member)
        pipe.sadd(TO_SWEEP, record.member)
