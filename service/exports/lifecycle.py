"""The state machine of an export: pure functions from one record to the next.

    queued → in_progress → succeeded | failed | cancelled

A lost attempt, or one that a worker hands back, starts again as the next attempt. A final status is
written only once.
"""

from __future__ import annotations

from typing import Any

from service.exports.records import ExportError, ExportProgress, ExportRecord, ExportStatus

INTERRUPTED = "export_interrupted"


class ExportEnded(Exception):
    """The export has a final status, which does not allow the action."""

    def __init__(self, record: ExportRecord) -> None:
        super().__init__(f"the export {record.id} is {record.status}")
        self.status = record.status


class ExportSuperseded(Exception):
    """The attempt is no longer the export's current one, or the export has ended."""


def fenced(record: ExportRecord, attempt: int) -> ExportRecord:
    """Return the record if this attempt may write to it. Raises ExportSuperseded otherwise."""
    if record.attempt != attempt or record.is_final:
        raise ExportSuperseded(record.id)
    return record


def same_attempt(record: ExportRecord, own: ExportRecord) -> ExportRecord:
    """Return the record if it is still that of our own attempt. Raises ExportSuperseded."""
    if not record.is_attempt_of(own):
        raise ExportSuperseded(record.id)
    return record


def start(record: ExportRecord, attempt: int) -> ExportRecord:
    """Mark the export as in progress when a worker takes the attempt."""
    return fenced(record, attempt).model_copy(
        update={"status": ExportStatus.IN_PROGRESS, "progress": None}
    )


def advance(record: ExportRecord, attempt: int, progress: ExportProgress) -> ExportRecord:
    """Note the progress."""
    return fenced(record, attempt).model_copy(update={"progress": progress})


def succeed(record: ExportRecord, attempt: int, now_s: int, **result: Any) -> ExportRecord:
    """End the export with its archive: `key`, `bytes`, `sha256` and `proof`."""
    return _ended(fenced(record, attempt), ExportStatus.SUCCEEDED, now_s, **result)


def fail(
    record: ExportRecord,
    attempt: int,
    error: ExportError,
    now_s: int,
    proof: dict[str, Any] | None = None,
) -> ExportRecord:
    """Fail the export, with the proof that its artifact did not pass, if there is one."""
    record = fenced(record, attempt)
    return _ended(record, ExportStatus.FAILED, now_s, error=error, proof=proof)


def cancel(record: ExportRecord, now_s: int) -> ExportRecord:
    """Cancel the export. Raises ExportEnded if it has ended."""
    if record.is_final:
        raise ExportEnded(record)
    return _ended(record, ExportStatus.CANCELLED, now_s)


def hand_back(record: ExportRecord, attempt: int) -> ExportRecord:
    """Release an attempt that its worker stopped on purpose."""
    return fenced(record, attempt).model_copy(
        update={"attempt": attempt + 1, "status": ExportStatus.QUEUED, "progress": None}
    )


def lose(record: ExportRecord, attempt: int, most_lost: int, now_s: int) -> ExportRecord:
    """Release an attempt whose worker died. The export fails after `most_lost` of them."""
    record = fenced(record, attempt)
    counted = record.next_attempt(is_lost=True)
    if record.is_hopeless(most_lost):
        lost = counted["lost_attempts"]
        message = (
            f"The worker died {lost} times on it. The worker's log has the cause; the export may "
            "need more memory than there is."
        )
        error = ExportError(code=INTERRUPTED, message=message)
        return _ended(record, ExportStatus.FAILED, now_s, error=error, lost_attempts=lost)
    return hand_back(record, attempt).model_copy(update=counted)


def _ended(record: ExportRecord, status: ExportStatus, now_s: int, **fields: Any) -> ExportRecord:
    return record.model_copy(
        update={"status": status, "finished_at": now_s, "progress": None, **fields}
    )
