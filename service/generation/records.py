"""Redis records of generations, and where their rows are while they are in progress.

    finetuned:{project}:generations:{id}        a generation, with its counters
    finetuned:{project}:generation-parts:{id}   hash: part → numbers of the passages it is about
    finetuned:generations-unfinished            "project/id" without a final status
    finetuned:generations-leftover              "project/id" of ended ones whose parts remain

The rows are in storage (rows.py). A part and the counters of its generation are recorded in one
transaction, which is fenced by the generation's attempt. The end of a generation, its file and the
removal of its parts are one transaction, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

import msgspec
from pydantic import Field
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

FUNCTION: Final = "generate_rows"  # the task's name in the queue of batches
UNFINISHED: Final = f"{PREFIX}:generations-unfinished"
_numbers = msgspec.json.Decoder(list[int])


class GenerationStatus(StrEnum):
    """Status of a generation."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


FINAL: Final = frozenset(
    {GenerationStatus.COMPLETED, GenerationStatus.FAILED, GenerationStatus.CANCELLED}
)


class RowKind(StrEnum):
    """Kind of rows."""

    QUESTIONS = "questions"
    REWRITES = "rewrites"
    REFUSALS = "refusals"


class Dropped(StrEnum):
    """Reason why a row is left out."""

    MALFORMED = "malformed"
    ENGINE_ERROR = "engine_error"
    ECHO = "echo"
    WRONG_LANGUAGE = "wrong_language"
    UNSUPPORTED_FACT = "unsupported_fact"
    UNSUPPORTED = "unsupported"
    ANSWERED = "answered"
    DUPLICATE = "duplicate"
    SURPLUS = "surplus"


class IncompleteReason(StrEnum):
    """Reason why a completed generation has fewer rows than wanted."""

    MAX_TOKENS_TOTAL = "max_tokens_total"
    NO_MORE_PASSAGES = "no_more_passages"


class GenerationFault(Stored):
    """Reason why a generation failed, as shown in the API."""

    code: str
    message: str
    param: str | None = None


class GenerationTally(Stored):
    """Counters: of a generation, or of the passages that are added to it."""

    asked: int = 0  # passages
    kept: int = 0  # rows
    dropped: dict[str, int] = Field(default_factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Number of input and output tokens."""
        return self.input_tokens + self.output_tokens

    def plus(self, other: GenerationTally) -> GenerationTally:
        """The sum of both."""
        return GenerationTally(
            asked=self.asked + other.asked,
            kept=self.kept + other.kept,
            dropped=dict(Counter(self.dropped) + Counter(other.dropped)),
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )


class GenerationRecord(NumberedRecord):
    """A generation. `ending` is the final status that its worker is preparing, once it is known."""

    key_id: str  # whose usage it is
    documents: tuple[str, ...]
    model: str
    kinds: tuple[RowKind, ...]
    language: str | None
    n: int
    max_tokens_total: int | None
    seed: int
    metadata: dict[str, str] | None = None
    status: GenerationStatus = GenerationStatus.QUEUED
    ending: GenerationStatus | None = None
    incomplete: IncompleteReason | None = None
    passages: int = 0  # of all documents, known once a worker has read them
    tally: GenerationTally = GenerationTally()
    error: GenerationFault | None = None
    output_file_id: str | None = None
    in_progress_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    fruitless_attempts: int = 0
    trace: dict[str, str] | None = None

    @property
    def subject(self) -> str:
        """The generation's name in the queue and in leases."""
        return self.id

    @property
    def is_final(self) -> bool:
        """Whether the generation has a final status."""
        return self.status in FINAL

    @property
    def member(self) -> str:
        """The generation's name in the sets of all projects."""
        return f"{self.project_id}/{self.id}"

    @property
    def folder(self) -> str:
        """The storage folder of the generation's parts."""
        return f"{self.project_id}/generations/{self.id}"

    @property
    def parts_key(self) -> str:
        """The Redis key of the generation's parts."""
        return f"{PREFIX}:{self.project_id}:generation-parts:{self.id}"


Change = Callable[[GenerationRecord], GenerationRecord]


class Generations:
    """The generations of all projects."""

    def __init__(self, files: Files) -> None:
        self.redis = files.redis
        self.files = files
        self.records = Collection(files.redis, "generations", GenerationRecord)
        self._leftovers = Leftovers(files.redis, "generations")

    async def create(
        self, record: GenerationRecord, claim: Claim[GenerationRecord] | None = None
    ) -> GenerationRecord:
        """Store a new generation and enqueue it. Raises ClaimLost."""
        claim = claim or Claim()

        def also(pipe: Pipeline) -> None:
            pipe.sadd(UNFINISHED, record.member)
            claim.settle(pipe, record)

        await self.records.create(record, also=also, check=claim.check)
        with queue.left_to_the_reconciler():
            await self.enqueue(record)
        return record

    async def get(self, project_id: str, generation_id: str) -> GenerationRecord | None:
        """Return the project's generation with this ID, or None."""
        if not ids.is_valid(generation_id, ids.GENERATION):
            return None
        return await self.records.get(project_id, generation_id)

    async def enqueue(self, record: GenerationRecord) -> None:
        """Enqueue the attempt unless it is already queued."""
        await queue.enqueue(
            self.redis, queue.BATCHES, FUNCTION, record.project_id, record.id, record.attempt
        )

    async def change(
        self,
        record: GenerationRecord,
        change: Change,
        also: Callable[[Pipeline], object] = lambda _: None,
    ) -> GenerationRecord:
        """Change a generation atomically. Exceptions of `change` propagate. Raises Missing.

        Every change goes through this method. A change to a final status also writes the end to the
        outbox, and notes that the parts must be removed.
        """
        was_final = False

        def noting(current: GenerationRecord) -> GenerationRecord:
            nonlocal was_final
            was_final = current.is_final
            return change(current)

        def together(pipe: Pipeline, after: GenerationRecord) -> None:
            if after.is_final and not was_final:
                pipe.srem(UNFINISHED, after.member)
                pipe.delete(after.parts_key)
                self._leftovers.note(pipe, after.member, ids.now_s())
                outbox.add(pipe, _end_of(after))
            also(pipe)

        return await self.records.update(record.project_id, record.id, noting, also=together)

    async def add_part(
        self, record: GenerationRecord, change: Change, part: str, passages: Sequence[int]
    ) -> GenerationRecord:
        """Record a part in storage together with the change of the generation's counters."""
        rows = {part: msgspec.json.encode(passages)}
        return await self.change(
            record, change, lambda pipe: pipe.hset(record.parts_key, mapping=rows)
        )

    async def finish(
        self, record: GenerationRecord, change: Change, output: FileRecord | None
    ) -> GenerationRecord:
        """End a generation together with the registration of its file, which is in storage."""

        def also(pipe: Pipeline) -> None:
            if output is not None:
                self.files.write_new(pipe, output)

        return await self.change(record, change, also)

    async def parts(self, record: GenerationRecord) -> dict[str, list[int]]:
        """Return the numbers of the passages that were asked about, by part."""
        found = await reply(self.redis.hgetall(record.parts_key))
        return {text(name): _numbers.decode(numbers) for name, numbers in sorted(found.items())}

    async def delete(self, record: GenerationRecord) -> bool:
        """Delete a generation that has ended; its file is kept. Returns False if it was gone."""
        return await self.records.delete(record.project_id, record.id)

    async def count_unfinished(self, project_id: str) -> int:
        """Return the number of the project's generations without a final status."""
        return await count_unfinished(self.redis, UNFINISHED, project_id)

    async def unfinished(self) -> list[GenerationRecord]:
        """Return all readable generations without a final status."""
        return await read_unfinished(
            self.redis, UNFINISHED, lambda _: self.records, lambda record: not record.is_final
        )

    async def needing(self, project_id: str, file_id: str) -> list[str]:
        """Return the IDs of the project's unfinished generations that read a document."""
        members = [text(member) for member in await reply(self.redis.smembers(UNFINISHED))]
        places = [member.split("/", 1) for member in sorted(members)]
        found = await self.records.get_many(project_id, [i for p, i in places if p == project_id])
        return [one.id for one in found if file_id in one.documents and not one.is_final]

    async def parts_remain(self, record: GenerationRecord) -> None:
        """Note that a stopped attempt at an ended generation may have left parts."""
        current = await self.records.get(record.project_id, record.id)
        if current is None or current.is_final:
            await self._leftovers.noted(record.member, ids.now_s())

    async def sweep(self, leases: Leases, now_s: int) -> None:
        """Remove the parts of ended generations that no worker may still write."""
        for member in await self._leftovers.due(now_s):
            project_id, generation_id = member.split("/", 1)
            record = await self.records.get(project_id, generation_id)
            if record is not None and not record.is_final:
                await self._leftovers.removed(member)
            elif not await leases.is_held(generation_id):
                folder = f"{project_id}/generations/{generation_id}"
                await self.files.storage.delete_prefix(folder)
                await self._leftovers.removed(member)


def _end_of(record: GenerationRecord) -> Event:
    """The event of a final generation. It ends once, so its event has the generation's own ID."""
    return Event(
        id=ids.WEBHOOK_EVENT + record.id.removeprefix(ids.GENERATION),
        project_id=record.project_id,
        created_at=ids.now_s(),
        type=f"dataset.generation.{record.status}",
        subject_id=record.id,
    )
