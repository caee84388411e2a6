"""Redis records of advice before trainings.

    finetuned:{project}:advice:{id}    the advice
    finetuned:advice-unfinished        "project/id" of those that have not ended
    finetuned:advice-expiring          "project/id", scored by expiration time

A record contains figures and line numbers, and no text of the training file.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from redis.asyncio.client import Pipeline

from service.core import clock, ids, queue
from service.core.leases import Leases
from service.core.records import PREFIX
from service.core.redis import rewriting
from service.core.storage import Storage
from service.work.records import Kind, OperationRecord, RestartedRecord, WorkError
from service.work.store import WorkStore

EXPIRING: Final = f"{PREFIX}:advice-expiring"
KEPT_S: Final = 30 * 24 * 3600
MAX_UNFINISHED: Final = 10  # of a project


class AdviceStatus(StrEnum):
    """Status of the advice."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AdviceRecord(OperationRecord, RestartedRecord):
    """A request for advice, and its result once it is completed."""

    work = Kind(
        noun="advice",
        collection="advice",
        function="advise_training",
        lane=queue.EVALS,
        id_prefix=ids.ADVICE,
        doing="worked on this advice",
        interrupted="advice_interrupted",
        event="advice",
    )
    final = frozenset({AdviceStatus.COMPLETED, AdviceStatus.FAILED, AdviceStatus.CANCELLED})
    failed = AdviceStatus.FAILED
    cancelled = AdviceStatus.CANCELLED

    training_file: str
    model: str
    project_name: str
    key_id: str  # the key that asked, for usage
    seed: int
    expires_at: int
    status: AdviceStatus = AdviceStatus.IN_PROGRESS
    error: WorkError | None = None
    result: dict[str, Any] | None = None
    finished_at: int | None = None


class AdviceStore(WorkStore[AdviceRecord]):
    """The advice of all projects."""

    record = AdviceRecord

    async def get(self, project_id: str, record_id: str) -> AdviceRecord | None:
        """Return the project's advice with this ID, or None if it is unknown or has expired."""
        found = await super().get(project_id, record_id)
        return found if found is not None and found.expires_at > clock.now_s() else None

    async def leftovers(self, now_s: int) -> list[str]:
        """Return the members of the advice that has expired."""
        expired = await self.records.read_expired(EXPIRING, now_s)
        return [record.member for record in expired]

    async def clean_up(self, member: str, storage: Storage, leases: Leases) -> None:
        """Delete advice that has expired."""
        record = await self.records.get(*member.split("/"))
        if record is not None:
            await self.delete(record)

    def _on_created(self, pipe: Pipeline, record: AdviceRecord) -> None:
        super()._on_created(pipe, record)
        pipe.zadd(EXPIRING, {record.member: record.expires_at})

    def _on_deleted(self, pipe: Pipeline, record: AdviceRecord) -> None:
        pipe.zrem(EXPIRING, record.member)
        rewriting.request(pipe)
