"""The state machine of a generation: pure functions from one record to the next.

    queued → failed
    queued → in_progress → completed | failed
    queued | in_progress → cancelling → cancelled

Once the `ending` of a generation is known, a worker writes its file. A lost attempt, or one that a
worker hands back, continues as the next attempt; the status stays. A final status is written once.
"""

from __future__ import annotations

from service.generation.records import (
    GenerationFault,
    GenerationRecord,
    GenerationStatus,
    GenerationTally,
    IncompleteReason,
)

INTERRUPTED = "generation_interrupted"
_CANCELLABLE = frozenset({GenerationStatus.QUEUED, GenerationStatus.IN_PROGRESS})


class GenerationEnded(Exception):
    """The generation has ended, or is about to, which does not allow the action."""

    def __init__(self, record: GenerationRecord) -> None:
        super().__init__(f"the generation {record.id} is {record.status}")
        self.status = record.status


class GenerationSuperseded(Exception):
    """The attempt is no longer the generation's current one, or the generation has ended."""


def fenced(record: GenerationRecord, own: GenerationRecord) -> GenerationRecord:
    """Return the record if our own attempt may write to it. Raises GenerationSuperseded."""
    if not record.is_attempt_of(own) or record.is_final:
        raise GenerationSuperseded(record.id)
    return record


def begin(record: GenerationRecord, passages: int, now_s: int) -> GenerationRecord:
    """Begin to ask about the documents, unless the generation is being cancelled."""
    if record.status is not GenerationStatus.QUEUED:
        return record
    return record.model_copy(
        update={
            "status": GenerationStatus.IN_PROGRESS,
            "in_progress_at": now_s,
            "passages": passages,
            "fruitless_attempts": 0,
        }
    )


def reject(record: GenerationRecord, fault: GenerationFault, now_s: int) -> GenerationRecord:
    """Fail a generation without rows."""
    return record.model_copy(
        update={"status": GenerationStatus.FAILED, "failed_at": now_s, "error": fault}
    )


def advance(record: GenerationRecord, more: GenerationTally) -> GenerationRecord:
    """Add passages to the counters."""
    return record.model_copy(update={"tally": record.tally.plus(more), "fruitless_attempts": 0})


def complete(record: GenerationRecord, incomplete: IncompleteReason | None) -> GenerationRecord:
    """Prepare the end of a generation whose questions are asked, unless it is being cancelled."""
    if record.ending is not None:
        return record
    return record.model_copy(
        update={"ending": GenerationStatus.COMPLETED, "incomplete": incomplete}
    )


def fail(record: GenerationRecord, fault: GenerationFault) -> GenerationRecord:
    """Prepare the failure of a generation that may have rows, unless it is being cancelled."""
    if record.status is GenerationStatus.CANCELLING:
        return record
    return record.model_copy(update={"ending": GenerationStatus.FAILED, "error": fault})


def finish(record: GenerationRecord, now_s: int, *, output: str | None) -> GenerationRecord:
    """End the generation with its file."""
    assert record.ending is not None
    return record.model_copy(
        update={
            "status": record.ending,
            f"{record.ending}_at": now_s,
            "output_file_id": output,
        }
    )


def cancel(record: GenerationRecord, now_s: int) -> GenerationRecord:
    """Cancel the generation. Raises GenerationEnded if it has ended or is about to."""
    if record.status is GenerationStatus.CANCELLING:
        return record
    if record.status not in _CANCELLABLE or record.ending is not None:
        raise GenerationEnded(record)
    return record.model_copy(
        update={
            "status": GenerationStatus.CANCELLING,
            "cancelling_at": now_s,
            "ending": GenerationStatus.CANCELLED,
        }
    )


def hand_back(record: GenerationRecord) -> GenerationRecord:
    """Release an attempt that its worker stopped on purpose."""
    return record.model_copy(update={"attempt": record.attempt + 1})


def give_up(record: GenerationRecord, fault: GenerationFault, now_s: int) -> GenerationRecord:
    """Fail the generation. Another attempt writes its rows, unless that is what failed.

    So the record is not final if there may be rows.
    """
    if record.status is not GenerationStatus.IN_PROGRESS or record.ending is not None:
        return reject(record, fault, now_s)
    return hand_back(fail(record, fault)).model_copy(update={"fruitless_attempts": 0})


def lose(
    record: GenerationRecord, attempt: int, most_fruitless: int, now_s: int
) -> GenerationRecord:
    """Release an attempt whose worker died.

    The generation fails after `most_fruitless` attempts in a row without another passage.
    """
    if record.attempt != attempt or record.is_final:
        raise GenerationSuperseded(record.id)
    fruitless = record.fruitless_attempts + 1
    if fruitless < most_fruitless:
        return hand_back(record).model_copy(update={"fruitless_attempts": fruitless})
    fault = GenerationFault(
        code=INTERRUPTED,
        message=f"The worker died {fruitless} times in a row before another passage was done. The "
        "worker's log has the cause; it may need more memory.",
    )
    return give_up(record, fault, now_s)
