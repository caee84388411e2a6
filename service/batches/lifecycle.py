"""The state machine of a batch: pure functions from one record to the next.

    validating → failed
    validating → in_progress → finalizing → completed | expired | failed
    validating | in_progress → cancelling → cancelled

While a batch is finalizing or cancelling, a worker writes its files. A lost attempt, or one that a
worker hands back, continues as the next attempt; the status stays. A final status is written once.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.batches.records import BatchFault, BatchRecord, BatchStatus, BatchTally

INTERRUPTED = "batch_interrupted"
_CANCELLABLE = frozenset({BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS})


class BatchEnded(Exception):
    """The batch has ended, or is about to, which does not allow the action."""

    def __init__(self, record: BatchRecord) -> None:
        super().__init__(f"the batch {record.id} is {record.status}")
        self.status = record.status


class BatchSuperseded(Exception):
    """The attempt is no longer the batch's current one, or the batch has ended."""


def fenced(record: BatchRecord, own: BatchRecord) -> BatchRecord:
    """Return the record if our own attempt may write to it. Raises BatchSuperseded otherwise."""
    if not record.is_attempt_of(own) or record.is_final:
        raise BatchSuperseded(record.id)
    return record


def begin(record: BatchRecord, total: int, model: str, now_s: int) -> BatchRecord:
    """Begin to answer the requests of a valid file, unless the batch is being cancelled."""
    if record.status is not BatchStatus.VALIDATING:
        return record
    return record.model_copy(
        update={
            "status": BatchStatus.IN_PROGRESS,
            "in_progress_at": now_s,
            "total": total,
            "model": model,
            "fruitless_attempts": 0,
        }
    )


def reject(record: BatchRecord, faults: Sequence[BatchFault], now_s: int) -> BatchRecord:
    """Fail a batch without results."""
    return record.model_copy(
        update={"status": BatchStatus.FAILED, "failed_at": now_s, "errors": tuple(faults)}
    )


def advance(record: BatchRecord, more: BatchTally) -> BatchRecord:
    """Add results to the counters."""
    return record.model_copy(update={"tally": record.tally.plus(more), "fruitless_attempts": 0})


def finalize(
    record: BatchRecord, ending: BatchStatus, now_s: int, faults: Sequence[BatchFault] = ()
) -> BatchRecord:
    """Prepare the end, unless the batch is being cancelled."""
    if record.status is BatchStatus.CANCELLING:
        return record
    return record.model_copy(
        update={
            "status": BatchStatus.FINALIZING,
            "finalizing_at": now_s,
            "ending": ending,
            "errors": tuple(faults),
        }
    )


def finish(
    record: BatchRecord, now_s: int, *, output: str | None, errors: str | None
) -> BatchRecord:
    """End the batch with its files."""
    assert record.ending is not None
    return record.model_copy(
        update={
            "status": record.ending,
            f"{record.ending}_at": now_s,
            "output_file_id": output,
            "error_file_id": errors,
        }
    )


def cancel(record: BatchRecord, now_s: int) -> BatchRecord:
    """Cancel the batch. Raises BatchEnded if it has ended or is about to."""
    if record.status is BatchStatus.CANCELLING:
        return record
    if record.status not in _CANCELLABLE:
        raise BatchEnded(record)
    return record.model_copy(
        update={
            "status": BatchStatus.CANCELLING,
            "cancelling_at": now_s,
            "ending": BatchStatus.CANCELLED,
        }
    )


def hand_back(record: BatchRecord) -> BatchRecord:
    """Release an attempt that its worker stopped on purpose."""
    return record.model_copy(update={"attempt": record.attempt + 1})


def give_up(record: BatchRecord, fault: BatchFault, now_s: int) -> BatchRecord:
    """Fail the batch. Another attempt writes the results that it has, unless that is what failed.

    So the record is not final if requests may have results.
    """
    if record.status is not BatchStatus.IN_PROGRESS:
        return reject(record, [fault], now_s)
    failing = finalize(record, BatchStatus.FAILED, now_s, [fault])
    return hand_back(failing).model_copy(update={"fruitless_attempts": 0})


def lose(record: BatchRecord, attempt: int, most_fruitless: int, now_s: int) -> BatchRecord:
    """Release an attempt whose worker died.

    The batch fails after `most_fruitless` attempts in a row without a result.
    """
    if record.attempt != attempt or record.is_final:
        raise BatchSuperseded(record.id)
    fruitless = record.fruitless_attempts + 1
    if fruitless < most_fruitless:
        return hand_back(record).model_copy(update={"fruitless_attempts": fruitless})
    fault = BatchFault(
        code=INTERRUPTED,
        message=f"The worker died {fruitless} times in a row before another request had a result. "
        "The worker's log has the cause; it may need more memory.",
    )
    return give_up(record, fault, now_s)
