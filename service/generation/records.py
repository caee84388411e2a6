"""Redis records of generations. Their rows are kept in parts (parted_work.py, rows.py)."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Final

from pydantic import Field

from service.core import ids
from service.core.records import Stored
from service.core.redis import rewriting
from service.inference.background.parted_work import PartedRecord, PartedWork

FUNCTION: Final = "generate_rows"  # the task's name in the queue of batches


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


class GenerationRecord(PartedRecord):
    """A generation. `ending` is the final status that its worker is preparing, once it is known."""

    name = "generations"
    parts_name = "generation-parts"
    id_prefix = ids.GENERATION
    function = FUNCTION
    event = "dataset.generation"
    final = FINAL

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

    def reads(self, file_id: str) -> bool:
        """Whether this is one of the generation's documents."""
        return file_id in self.documents


class Generations(PartedWork[GenerationRecord]):
    """The generations of all projects."""

    kind = GenerationRecord

    async def delete(self, record: GenerationRecord) -> bool:
        """Delete a generation that has ended; its file is kept. Returns False if it was gone."""
        return await self.records.delete(record.project_id, record.id, also=rewriting.request)
