"""Stores the records of one kind of work, and enqueues their attempts.

    finetuned:{project}:{collection}:{id}   a record
    finetuned:{collection}-unfinished       "project/…/id" of those without a final status

A record is always written before its queue entry. If a process dies in between, `recovery.py` adds
the entry. A final status, its event, and the removal from the unfinished set are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from redis.asyncio.client import Pipeline

from service.core import clock, ids, outbox, queue
from service.core.claims import Claim
from service.core.leases import Leases
from service.core.outbox import Event
from service.core.records import Check, Collection
from service.core.redis import Client
from service.core.storage import Storage
from service.work.records import Kind, WorkRecord
from service.work.unfinished import count_unfinished, read_unfinished

R = TypeVar("R", bound=WorkRecord)
Also = Callable[[Pipeline, R], Any]


def _nothing(_pipe: Pipeline, _after: Any) -> None:
    pass


class WorkStore(Generic[R]):
    """The work of one kind, of all projects. A subclass sets `record`, and overrides hooks."""

    record: ClassVar[type[Any]]

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.kind: Kind = self.record.work

    @property
    def records(self) -> Collection[R]:
        """The records of a kind without parents."""
        return self.collection()

    def collection(self, *parents: str) -> Collection[R]:
        """Return the records within these parents."""
        return Collection(self.redis, self.kind.collection, self.record)

    async def create(
        self,
        record: R,
        claim: Claim[R] | None = None,
        also: Callable[[Pipeline], Any] = lambda _: None,
    ) -> R:
        """Store a new record and enqueue its work. Raises ClaimLost."""
        claim = claim or Claim()

        def together(pipe: Pipeline) -> None:
            self._on_created(pipe, record)
            claim.settle(pipe, record)
            also(pipe)

        records = self.collection(*record.parents)
        await records.create(record, also=together, check=claim.check)
        with queue.left_to_the_reconciler():
            await self.enqueue(record)
        return record

    def add(self, pipe: Pipeline, record: R) -> None:
        """Add a new record to a transaction, after which the caller enqueues it."""
        self.collection(*record.parents).add(pipe, record)
        self._on_created(pipe, record)

    async def get(self, project_id: str, record_id: str) -> R | None:
        """Return the project's record with this ID, or None."""
        if not ids.is_valid(record_id, self.kind.id_prefix):
            return None
        return await self.records.get(project_id, record_id)

    async def find(self, project_id: str, subject: str) -> R | None:
        """Return the record with this `subject`, or None."""
        *parents, record_id = subject.split("/")
        return await self.collection(*parents).get(project_id, record_id)

    async def enqueue(self, record: R) -> None:
        """Enqueue the current attempt unless it is already queued."""
        await queue.enqueue(
            self.redis,
            self.kind.lane,
            self.kind.function,
            record.project_id,
            record.subject,
            record.attempt,
        )

    async def change(
        self,
        record: R,
        change: Callable[[R], R],
        also: Also[R] = _nothing,
        check: Check | None = None,
    ) -> R:
        """Change a record in a transaction. Exceptions of `change` propagate. Raises Missing.

        All changes of records go through this method, which maintains the set of unfinished work
        and adds the event of a final status to the outbox.
        """
        was_final = False

        def track(current: R) -> R:
            nonlocal was_final
            was_final = current.is_final
            return change(current)

        def together(pipe: Pipeline, after: R) -> None:
            if after.is_final and not was_final:
                pipe.srem(self.kind.unfinished_key, after.member)
                self._on_ended(pipe, after)
            elif was_final and not after.is_final:
                pipe.sadd(self.kind.unfinished_key, after.member)
            also(pipe, after)

        records = self.collection(*record.parents)
        return await records.update(record.project_id, record.id, track, also=together, check=check)

    async def change_own(self, own: R, change: Callable[[R], R], also: Also[R] = _nothing) -> R:
        """Change the record of a worker's own attempt, fenced.

        Raises AttemptSuperseded and Missing.
        """
        return await self.change(own, lambda current: change(current.require_attempt(own)), also)

    async def give_up(self, own: R, code: str, message: str) -> None:
        """End a worker's own attempt with an error. Raises as `change_own`."""
        after = await self.change_own(
            own, lambda current: current.give_up(code, message, clock.now_s())
        )
        await self._enqueue_unfinished(after)

    async def hand_back(self, own: R) -> None:
        """Enqueue the next attempt, because the worker stops. Raises as `change_own`."""
        await self.enqueue(await self.change_own(own, lambda current: current.next_attempt()))

    async def lose(self, own: R, most_lost: int) -> R:
        """Enqueue the next attempt after the worker died, or give up. Raises as `change_own`."""
        after = await self.change_own(
            own, lambda current: current.lose_attempt(most_lost, clock.now_s())
        )
        await self._enqueue_unfinished(after)
        return after

    async def restart(self, record: R, **fields: Any) -> R:
        """Start ended work again, unless another process has. Raises Missing."""

        def change(current: R) -> R:
            if not current.is_attempt_of(record):
                return current
            return current.restart(**fields)

        after = await self.change(record, change)
        await self.enqueue(after)
        return after

    async def delete(self, record: R, also: Callable[[Pipeline], Any] = lambda _: None) -> bool:
        """Delete a record. Its worker stops. Returns False if it was already gone."""

        def together(pipe: Pipeline) -> None:
            pipe.srem(self.kind.unfinished_key, record.member)
            self._on_deleted(pipe, record)
            also(pipe)

        records = self.collection(*record.parents)
        return await records.delete(record.project_id, record.id, also=together)

    async def count_unfinished(self, project_id: str) -> int:
        """Return the number of the project's records without a final status."""
        return await count_unfinished(self.redis, self.kind.unfinished_key, project_id)

    async def unfinished(self) -> list[R]:
        """Return all readable records without a final status."""
        return await read_unfinished(
            self.redis,
            self.kind.unfinished_key,
            lambda parts: self.collection(*parts[1:-1]),
            self._is_unfinished,
        )

    def observe(self, unfinished: Sequence[R]) -> None:
        """Set the gauge of the kind from all unfinished work."""
        if self.kind.gauge is not None:
            self.kind.gauge.cell().set(len(unfinished))

    async def leftovers(self, now_s: int) -> list[str]:
        """Hook: return the members of expired, deleted or ended work to `clean_up`."""
        return []

    async def clean_up(self, member: str, storage: Storage, leases: Leases) -> None:
        """Hook: delete what the member's work left in Redis and storage."""

    def _is_unfinished(self, record: R) -> bool:
        return not record.is_final

    async def _enqueue_unfinished(self, record: R) -> None:
        if not record.is_final:
            await self.enqueue(record)

    def _on_created(self, pipe: Pipeline, record: R) -> None:
        """Hook: add commands to the transaction that creates a record."""
        pipe.sadd(self.kind.unfinished_key, record.member)

    def _on_ended(self, pipe: Pipeline, record: R) -> None:
        """Hook: add commands to the transaction that writes a final status."""
        if self.kind.event is not None:
            outbox.add(pipe, self._end_of(record))

    def _on_deleted(self, pipe: Pipeline, record: R) -> None:
        """Hook: add commands to the transaction that deletes a record."""

    def _end_of(self, record: R) -> Event:
        """Return the event of the final status. It has the work's own ID, since work ends once."""
        return Event(
            id=ids.WEBHOOK_EVENT + record.id.removeprefix(self.kind.id_prefix),
            project_id=record.project_id,
            created_at=getattr(record, "finished_at", None) or clock.now_s(),
            type=f"{self.kind.event}.{record.current_status}",
            subject_id=record.id,
        )
