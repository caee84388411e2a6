"""Redis records of batches and their lifecycle. Results are kept in parts (work/parts.py).

    validating → failed
    validating → in_progress → finalizing → completed | expired | failed
    validating | in_progress → cancelling → cancelled

While a batch is finalizing or cancelling, a worker writes its files. A lost attempt, or one that a
worker hands back, continues as the next attempt; the status stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Self

from service.core import ids, metrics, queue
from service.core.records import Stored
from service.files.records import Files
from service.work.parts import PartedRecord, PartedStore
from service.work.records import Kind, WorkEnded

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


_CANCELLABLE: Final = frozenset({BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS})


class BatchFault(Stored):
    """Reason why a batch failed, as shown in the API. `line` is the line of the input file."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class BatchTally(Stored):
    """Counters of a batch, or of results to add to it."""

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
        """Return the sum of both."""
        return BatchTally(
            **{name: getattr(self, name) + getattr(other, name) for name in BatchTally.model_fields}
        )


class BatchRecord(PartedRecord):
    """A batch. `ending` is the final status that its worker is preparing, once that is known."""

    work = Kind(
        noun="batch",
        collection="batches",
        function="run_batch",
        lane=queue.BATCHES,
        id_prefix=ids.BATCH,
        doing="another request had a result",
        interrupted="batch_interrupted",
        event="batch",
        gauge=metrics.BATCHES_UNFINISHED,
    )
    final = frozenset(
        {BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.EXPIRED, BatchStatus.CANCELLED}
    )
    failed = BatchStatus.FAILED
    parts_name = "batch-parts"

    key_id: str  # the requests count as its usage
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

    def reads(self, file_id: str) -> bool:
        """Return whether this is the batch's input file."""
        return self.input_file_id == file_id

    def begin(self, total: int, model: str, now_s: int) -> Self:
        """Start to answer the requests of a valid file, unless the batch is being cancelled."""
        if self.status is not BatchStatus.VALIDATING:
            return self
        return self.make_progress(
            status=BatchStatus.IN_PROGRESS, in_progress_at=now_s, total=total, model=model
        )

    def reject(self, faults: Sequence[BatchFault], now_s: int) -> Self:
        """Fail a batch without results."""
        return self.model_copy(
            update={"status": BatchStatus.FAILED, "failed_at": now_s, "errors": tuple(faults)}
        )

    def advance(self, more: BatchTally) -> Self:
        """Add results to the counters."""
        return self.make_progress(tally=self.tally.plus(more))

    def finalize(self, ending: BatchStatus, now_s: int, faults: Sequence[BatchFault] = ()) -> Self:
        """Let a worker end the batch with this status, unless it is being cancelled."""
        if self.status is BatchStatus.CANCELLING:
            return self
        return self.model_copy(
            update={
                "status": BatchStatus.FINALIZING,
                "finalizing_at": now_s,
                "ending": ending,
                "errors": tuple(faults),
            }
        )

    def finish(self, now_s: int, *, output: str | None, errors: str | None) -> Self:
        """End the batch with its files."""
        assert self.ending is not None
        return self.model_copy(
            update={
                "status": self.ending,
                f"{self.ending}_at": now_s,
                "output_file_id": output,
                "error_file_id": errors,
            }
        )

    def cancel(self, now_s: int) -> Self:
        """Cancel the batch. Raises WorkEnded if it has ended or is about to."""
        if self.status is BatchStatus.CANCELLING:
            return self
        if self.status not in _CANCELLABLE:
            raise WorkEnded(self)
        return self.model_copy(
            update={
                "status": BatchStatus.CANCELLING,
                "cancelling_at": now_s,
                "ending": BatchStatus.CANCELLED,
            }
        )

    def give_up(self, code: str, message: str, now_s: int) -> Self:
        """Fail the batch. Another attempt writes its results, unless that is what failed.

        So the record is not final if requests may have results.
        """
        fault = BatchFault(code=code, message=message)
        if self.status is not BatchStatus.IN_PROGRESS:
            return self.reject([fault], now_s)
        failing = self.finalize(BatchStatus.FAILED, now_s, [fault])
        return failing.next_attempt(fruitless_attempts=0)


class Batches(PartedStore[BatchRecord]):
    """The batches of all projects."""

    record = BatchRecord

    def __init__(self, files: Files) -> None:
        super().__init__(files.redis)
        self.files = files
