"""Redis records of generations and their lifecycle. Rows are kept in parts (work/parts.py).

    queued → failed
    queued → in_progress → completed | failed
    queued | in_progress → cancelling → cancelled

Once the `ending` of a generation is known, a worker writes its file. A lost attempt, or one that a
worker hands back, continues as the next attempt; the status stays.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Final, Self

from pydantic import Field
from redis.asyncio.client import Pipeline

from service.core import ids, queue
from service.core.records import Stored
from service.core.redis import rewriting
from service.files.records import Files
from service.work.parts import PartedRecord, PartedStore
from service.work.records import Kind, OperationRecord, WorkEnded


class GenerationStatus(StrEnum):
    """Status of a generation."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


_CANCELLABLE: Final = frozenset({GenerationStatus.QUEUED, GenerationStatus.IN_PROGRESS})


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
    """Counters of a generation, or of passages to add to it."""

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
        """Return the sum of both."""
        return GenerationTally(
            asked=self.asked + other.asked,
            kept=self.kept + other.kept,
            dropped=dict(Counter(self.dropped) + Counter(other.dropped)),
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )


class GenerationRecord(OperationRecord, PartedRecord):
    """A generation. `ending` is the final status that its worker is preparing, once it is known."""

    work = Kind(
        noun="generation",
        collection="generations",
        function="generate_rows",
        lane=queue.BATCHES,
        id_prefix=ids.GENERATION,
        doing="another passage was done",
        interrupted="generation_interrupted",
        event="dataset.generation",
    )
    final = frozenset(
        {GenerationStatus.COMPLETED, GenerationStatus.FAILED, GenerationStatus.CANCELLED}
    )
    failed = GenerationStatus.FAILED
    cancelled = GenerationStatus.CANCELLED
    parts_name = "generation-parts"

    key_id: str  # the requests count as its usage
    documents: tuple[str, ...]
    model: str
    kinds: tuple[RowKind, ...]
    language: str | None
    n: int
    max_tokens_total: int | None
    seed: int
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

    @property
    def finished_at(self) -> int | None:
        """When the generation ended."""
        return self.completed_at or self.failed_at or self.cancelled_at

    def reads(self, file_id: str) -> bool:
        """Return whether this is one of the generation's documents."""
        return file_id in self.documents

    def begin(self, passages: int, now_s: int) -> Self:
        """Start to ask about the documents, unless the generation is being cancelled."""
        if self.status is not GenerationStatus.QUEUED:
            return self
        return self.make_progress(
            status=GenerationStatus.IN_PROGRESS, in_progress_at=now_s, passages=passages
        )

    def reject(self, fault: GenerationFault, now_s: int) -> Self:
        """Fail a generation without rows."""
        return self.model_copy(
            update={"status": GenerationStatus.FAILED, "failed_at": now_s, "error": fault}
        )

    def advance(self, more: GenerationTally) -> Self:
        """Add passages to the counters."""
        return self.make_progress(tally=self.tally.plus(more))

    def complete(self, incomplete: IncompleteReason | None) -> Self:
        """Let a worker complete the generation, unless it is being cancelled."""
        if self.ending is not None:
            return self
        return self.model_copy(
            update={"ending": GenerationStatus.COMPLETED, "incomplete": incomplete}
        )

    def fail(self, fault: GenerationFault) -> Self:
        """Let a worker fail a generation that may have rows, unless it is being cancelled."""
        if self.status is GenerationStatus.CANCELLING:
            return self
        return self.model_copy(update={"ending": GenerationStatus.FAILED, "error": fault})

    def finish(self, now_s: int, *, output: str | None) -> Self:
        """End the generation with its file."""
        assert self.ending is not None
        return self.model_copy(
            update={
                "status": self.ending,
                f"{self.ending}_at": now_s,
                "output_file_id": output,
            }
        )

    def cancel(self, now_s: int) -> Self:
        """Cancel the generation. Raises WorkEnded if it has ended or is about to."""
        if self.status is GenerationStatus.CANCELLING:
            return self
        if self.status not in _CANCELLABLE or self.ending is not None:
            raise WorkEnded(self)
        return self.model_copy(
            update={
                "status": GenerationStatus.CANCELLING,
                "cancelling_at": now_s,
                "ending": GenerationStatus.CANCELLED,
            }
        )

    def give_up(self, code: str, message: str, now_s: int) -> Self:
        """Fail the generation. Another attempt writes its rows, unless that is what failed.

        So the record is not final if there may be rows.
        """
        fault = GenerationFault(code=code, message=message)
        if self.status is not GenerationStatus.IN_PROGRESS or self.ending is not None:
            return self.reject(fault, now_s)
        return self.fail(fault).next_attempt(fruitless_attempts=0)


class Generations(PartedStore[GenerationRecord]):
    """The generations of all projects."""

    record = GenerationRecord

    def __init__(self, files: Files) -> None:
        super().__init__(files.redis)
        self.files = files

    def _on_deleted(self, pipe: Pipeline, record: GenerationRecord) -> None:
        super()._on_deleted(pipe, record)
        rewriting.request(pipe)
