"""Redis records of batches. Their results are kept in parts (parted_work.py, results.py)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from service.core import ids
from service.core.records import Stored
from service.inference.background.parted_work import PartedRecord, PartedWork

FUNCTION: Final = "run_batch"  # the task's name in the queue of batches
WINDOW_S: Final = 24 * 3600


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


class BatchRecord(PartedRecord):
    """A batch. `ending` is the final status that its worker is preparing, once that is known."""

    name = "batches"
    parts_name = "batch-parts"
    id_prefix = ids.BATCH
    function = FUNCTION
    event = "batch"
    final = FINAL

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

    def reads(self, file_id: str) -> bool:
        """Whether this is the batch's input file."""
        return self.input_file_id == file_id


class Batches(PartedWork[BatchRecord]):
    """The batches of all projects."""

    kind = BatchRecord
