"""Redis records of batches, and where their results are while they are in progress.

    finetuned:{project}:batches:{id}       a batch, with its counters
    finetuned:{project}:batch-parts:{id}   hash: part → numbers of the requests whose results it has
    finetuned:batches-unfinished           "project/id" without a final status
    finetuned:batches-leftover             "project/id" of ended batches whose parts remain

The results are in storage (results.py). A part and the counters of its batch are recorded in one
transaction, which is fenced by the batch's attempt. The end of a batch, its output files and the
removal of its parts are one transaction, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec
from redis.asyncio.client import Pipeline

from service.core import ids, outbox, queue
from service.core.attempts import NumberedRecord
from service.core.claims import Claim
from service.core.leases import Leases
from service.core.leftovers import Leftovers
from service.core.outbox import Event
from service.core.records import PREFIX, Collection, Stored
from service.core.redis import reply, text
from service.core.unfinished import count_unfinished, read_unfinished
from service.files.records import FileRecord, Files

FUNCTION: Final = "run_batch"  # the task's name in the queue of batches
UNFINISHED: Final = f"{PREFIX}:batches-unfinished"
WINDOW_S: Final = 24 * 3600
_numbers = msgspec.json.Decoder(list[int])


class BatchStatus(StrEnum):
    """Status of a batch."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


FINAL: Final = frozenset(
    {BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.EXPIRED, BatchStatus.CANCELLED}
)


class BatchFault(Stored):
    """Reason why a batch failed, as shown in the API. `line` is the line of the input file."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class BatchTally(Stored):
    """Counters of results: of a batch, or of the requests that are added to it."""

    completed: int = 0
    failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def done(self) -> int:
        """Number of requests with a result."""
        return self.completed + self.failed

    def plus(self, other: BatchTally) -> BatchTally:
        """The sum of both."""
        return BatchTally(
            **{name: getattr(self, name) + getattr(other, name) for name in BatchTally.model_fields}
        )


class BatchRecord(NumberedRecord):
    """A batch. `ending` is the final status that its worker is preparing, once that is known."""

    key_id: str  # whose usage it is
    endpoint: str
    input_file_id: str
    completion_window: str
    expires_at: int
    metadata: dict[str, str] | None = None
    output_expires_after_s: int | None = None
    status: BatchStatus = BatchStatus.VALIDATING
    ending: BatchStatus | None = None
    model: str | None = None  # known once a worker has checked the file
    total: int = 0
    tally: BatchTally = BatchTally()
    errors: tuple[BatchFault, ...] = ()
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    fruitless_attempts: int = 0
    trace: dict[str, str] | None = None

    @property
    def subject(self) -> str:
        """The batch's name in the queue and in leases."""
        return self.id

    @property
    def is_final(self) -> bool:
        """Whether the batch has a final status."""
        return self.status in FINAL

    @property
    def member(self) -> str:
        """The batch's name in the sets of all projects."""
        return f"{self.project_id}/{self.id}"

    @property
    def folder(self) -> str:
        """The storage folder of the batch's parts."""
        return f"{self.project_id}/batches/{self.id}"

    @property
    def parts_key(self) -> str:
        """The Redis key of the batch's parts."""
        return f"{PREFIX}:{self.project_id}:batch-parts:{self.id}"


Change = Callable[[BatchRecord], BatchRecord]


class Batches:
    """The batches of all projects."""

    def __init__(self, files: Files) -> None:
        self.redis = files.redis
        self.files = files
        self.records = Collection(files.redis, "batches", BatchRecord)
        self._leftovers = Leftovers(files.redis, "batches")

    async def create(
        self, record: BatchRecord, claim: Claim[BatchRecord] | None = None
    ) -> BatchRecord:
        """Store a new batch and enqueue it. Raises ClaimLost."""
        claim = claim or Claim()

        def also(pipe: Pipeline) -> None:
            pipe.sadd(UNFINISHED, record.member)
            claim.settle(pipe, record)

        await self.records.create(record, also=also, check=claim.check)
        with queue.left_to_the_reconciler():
            await self.enqueue(record)
        return record

    async def get(self, project_id: str, batch_id: str) -> BatchRecord | None:
        """Return the project's batch with this ID, or None."""
        if not ids.is_valid(batch_id, ids.BATCH):
            return None
        return await self.records.get(project_id, batch_id)

    async def enqueue(self, record: BatchRecord) -> None:
        """Enqueue the attempt unless it is already queued."""
        await queue.enqueue(
            self.redis, queue.BATCHES, FUNCTION, record.project_id, record.id, record.attempt
        )

    async def change(
        self,
        record: BatchRecord,
        change: Change,
        also: Callable[[Pipeline], object] = lambda _: None,
    ) -> BatchRecord:
        """Change a batch atomically. Exceptions of `change` propagate. Raises Missing.

        Every change goes through this method. A change to a final status also writes the end of the
        batch to the outbox, and notes that its parts must be removed.
        """
        was_final = False

        def noting(current: BatchRecord) -> BatchRecord:
            nonlocal was_final
            was_final = current.is_final
            return change(current)

        def together(pipe: Pipeline, after: BatchRecord) -> None:
            if after.is_final and not was_final:
                pipe.srem(UNFINISHED, after.member)
                pipe.delete(after.parts_key)
                self._leftovers.note(pipe, after.member, ids.now_s())
                outbox.add(pipe, _end_of(after))
            also(pipe)

        return await self.records.update(record.project_id, record.id, noting, also=together)

    async def add_parts(
        self, record: BatchRecord, change: Change, parts: Mapping[str, Sequence[int]]
    ) -> BatchRecord:
        """Record parts in storage together with the change of the batch's counters."""
        rows = {name: msgspec.json.encode(numbers) for name, numbers in parts.items()}
        return await self.change(
            record, change, lambda pipe: pipe.hset(record.parts_key, mapping=rows)
        )

    async def finish(
        self, record: BatchRecord, change: Change, outputs: Sequence[FileRecord]
    ) -> BatchRecord:
        """End a batch together with the registration of its files, which are in storage."""

        def also(pipe: Pipeline) -> None:
            for output in outputs:
                self.files.write_new(pipe, output)

        return await self.change(record, change, also)

    async def parts(self, record: BatchRecord) -> dict[str, list[int]]:
        """Return the numbers of the requests by the part that has their results."""
        found = await reply(self.redis.hgetall(record.parts_key))
        return {text(name): _numbers.decode(numbers) for name, numbers in sorted(found.items())}

    async def count_unfinished(self, project_id: str) -> int:
        """Return the number of the project's batches without a final status."""
        return await count_unfinished(self.redis, UNFINISHED, project_id)

    async def unfinished(self) -> list[BatchRecord]:
        """Return all readable batches without a final status."""
        return await read_unfinished(
            self.redis, UNFINISHED, lambda _: self.records, lambda record: not record.is_final
        )

    async def needing(self, project_id: str, file_id: str) -> list[str]:
        """Return the IDs of the project's unfinished batches that read a file."""
        members = [text(member) for member in await reply(self.redis.smembers(UNFINISHED))]
        places = [member.split("/", 1) for member in sorted(members)]
        found = await self.records.get_many(project_id, [i for p, i in places if p == project_id])
        return [b.id for b in found if b.input_file_id == file_id and not b.is_final]

    async def parts_remain(self, record: BatchRecord) -> None:
        """Note that a stopped attempt at an ended batch may have left parts."""
        current = await self.records.get(record.project_id, record.id)
        if current is None or current.is_final:
            await self._leftovers.noted(record.member, ids.now_s())

    async def sweep(self, leases: Leases, now_s: int) -> None:
        """Remove the parts of ended batches that no worker may still write."""
        for member in await self._leftovers.due(now_s):
            project_id, batch_id = member.split("/", 1)
            record = await self.records.get(project_id, batch_id)
            if record is not None and not record.is_final:
                await self._leftovers.removed(member)
            elif not await leases.is_held(batch_id):
                await self.files.storage.delete_prefix(f"{project_id}/batches/{batch_id}")
                await self._leftovers.removed(member)


def _end_of(record: BatchRecord) -> Event:
    """The event of a final batch. It ends once, so its event has the batch's own ID."""
    return Event(
        id=ids.WEBHOOK_EVENT + record.id.removeprefix(ids.BATCH),
        project_id=record.project_id,
        created_at=ids.now_s(),
        type=f"batch.{record.status}",
        subject_id=record.id,
    )
