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

from service.core import ids, queue
from service.core.attempts import AttemptedRecord, died_while_it
from service.core.claims import Claim
from service.core.records import PREFIX, Collection, Stored
from service.core.redis import Client, reply, rewriting, text
from service.core.unfinished import count_unfinished, read_unfinished

FUNCTION: Final = "advise_training"  # the task's name in the queue of evals
UNFINISHED: Final = f"{PREFIX}:advice-unfinished"
EXPIRING: Final = f"{PREFIX}:advice-expiring"
KEPT_S: Final = 30 * 24 * 3600
MAX_UNFINISHED: Final = 10  # of a project


class AdviceStatus(StrEnum):
    """Status of the advice."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"


class AdviceFailure(Stored):
    """Reason why the advice failed."""

    code: str
    message: str


class AdviceRecord(AttemptedRecord):
    """A request for advice, and its result once it is completed."""

    training_file: str
    model: str
    project_name: str
    key_id: str  # the key that asked, for usage
    seed: int
    expires_at: int
    status: AdviceStatus = AdviceStatus.IN_PROGRESS
    error: AdviceFailure | None = None
    result: dict[str, Any] | None = None
    finished_at: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether the advice has a final status."""
        return self.status is not AdviceStatus.IN_PROGRESS


class AdviceSuperseded(Exception):
    """The advice has ended, or another attempt works on it."""


class AdviceStore:
    """The advice of all projects."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.records = Collection(redis, "advice", AdviceRecord)

    async def create(
        self, record: AdviceRecord, claim: Claim[AdviceRecord] | None = None
    ) -> AdviceRecord:
        """Store a new request and enqueue it. Raises ClaimLost."""
        claim = claim or Claim()

        def also(pipe: Pipeline) -> None:
            pipe.sadd(UNFINISHED, _member(record))
            pipe.zadd(EXPIRING, {_member(record): record.expires_at})
            claim.settle(pipe, record)

        await self.records.create(record, also=also, check=claim.check)
        with queue.left_to_the_reconciler():
            await self.enqueue(record)
        return record

    async def get(self, project_id: str, advice_id: str) -> AdviceRecord | None:
        """Return the project's advice with this ID, or None if it is unknown or has expired."""
        if not ids.is_valid(advice_id, ids.ADVICE):
            return None
        found = await self.records.get(project_id, advice_id)
        return found if found is not None and found.expires_at > ids.now_s() else None

    async def enqueue(self, record: AdviceRecord) -> None:
        """Enqueue the attempt unless it is already queued."""
        await queue.enqueue(
            self.redis, queue.EVALS, FUNCTION, record.project_id, record.id, record.attempt
        )

    async def end(
        self,
        record: AdviceRecord,
        *,
        result: dict[str, Any] | None = None,
        error: AdviceFailure | None = None,
    ) -> AdviceRecord:
        """Write the final status of this attempt. Raises AdviceSuperseded and Missing."""

        def change(current: AdviceRecord) -> AdviceRecord:
            status = AdviceStatus.COMPLETED if error is None else AdviceStatus.FAILED
            return _fenced(current, record.attempt).model_copy(
                update={
                    "status": status,
                    "result": result,
                    "error": error,
                    "finished_at": ids.now_s(),
                }
            )

        def also(pipe: Pipeline, _: AdviceRecord) -> None:
            pipe.srem(UNFINISHED, _member(record))

        return await self.records.update(record.project_id, record.id, change, also=also)

    async def hand_back(self, record: AdviceRecord) -> None:
        """Enqueue the next attempt of an advice whose worker stopped on purpose.

        Raises AdviceSuperseded and Missing.
        """
        await self._start_next(record, is_lost=False)

    async def lose(self, record: AdviceRecord, most_lost: int) -> None:
        """Enqueue the next attempt of an advice whose worker died, or fail the advice.

        Raises AdviceSuperseded and Missing.
        """
        if record.is_hopeless(most_lost):
            message = died_while_it("worked on this advice")
            await self.end(record, error=AdviceFailure(code="advice_interrupted", message=message))
        else:
            await self._start_next(record, is_lost=True)

    async def _start_next(self, record: AdviceRecord, *, is_lost: bool) -> None:
        def change(current: AdviceRecord) -> AdviceRecord:
            update = _fenced(current, record.attempt).next_attempt(is_lost=is_lost)
            return current.model_copy(update=update)

        await self.enqueue(await self.records.update(record.project_id, record.id, change))

    async def delete(self, record: AdviceRecord) -> bool:
        """Delete an advice. A worker that works on it stops. Returns False if it is gone."""
        return await self._remove(record.project_id, record.id)

    async def delete_expired(self, now_s: int) -> None:
        """Delete all advice that has expired."""
        for member in await reply(self.redis.zrangebyscore(EXPIRING, "-inf", now_s)):
            await self._remove(*text(member).split("/", 1))

    async def _remove(self, project_id: str, advice_id: str) -> bool:
        member = f"{project_id}/{advice_id}"

        def also(pipe: Pipeline) -> None:
            pipe.srem(UNFINISHED, member)
            pipe.zrem(EXPIRING, member)
            rewriting.request(pipe)

        return await self.records.delete(project_id, advice_id, also=also)

    async def waiting(self, project_id: str) -> int:
        """Return the number of the project's advice in progress."""
        return await count_unfinished(self.redis, UNFINISHED, project_id)

    async def unfinished(self) -> list[AdviceRecord]:
        """Return all readable advice in progress."""
        return await read_unfinished(
            self.redis, UNFINISHED, lambda _: self.records, lambda record: not record.is_final
        )


def _fenced(record: AdviceRecord, attempt: int) -> AdviceRecord:
    """Return the record if this attempt may write to it. Raises AdviceSuperseded otherwise."""
    if record.is_final or record.attempt != attempt:
        raise AdviceSuperseded(record.id)
    return record


def _member(record: AdviceRecord) -> str:
    return f"{record.project_id}/{record.id}"
