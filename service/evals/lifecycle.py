"""The state machine of a run: pure functions from one record to the next.

    queued → in_progress → completed | failed | canceled

A lost attempt, or one that a worker hands back, continues as the next attempt; the status stays
`in_progress`. A final status is written only once.
"""

from __future__ import annotations

from service.evals.records import FINAL, RunFailure, RunRecord, RunStatus
from service.evals.tally import Tally

INTERRUPTED = "run_interrupted"


class RunEnded(Exception):
    """The run has a final status, which does not allow the action."""

    def __init__(self, run: RunRecord) -> None:
        super().__init__(f"the run {run.id} is {run.status}")
        self.status = run.status


class RunSuperseded(Exception):
    """The attempt is no longer the run's current one, or the run has ended."""


def same_attempt(run: RunRecord, own: RunRecord) -> RunRecord:
    """Return the record if it is still that of our own attempt. Raises RunSuperseded."""
    if not run.is_attempt_of(own):
        raise RunSuperseded
    return run


def start(run: RunRecord, attempt: int, now_s: int) -> RunRecord:
    """Mark the run as in progress when a worker takes the attempt."""
    if run.attempt != attempt or run.status in FINAL:
        raise RunSuperseded
    return run.model_copy(
        update={
            "status": RunStatus.IN_PROGRESS,
            "started_at": run.started_at or now_s,
            "attempt_started_at": now_s,
            "attempt_started_with": run.tally.done,
        }
    )


def fenced(run: RunRecord, attempt: int) -> RunRecord:
    """Return the record if this attempt may write to it. Raises RunSuperseded otherwise."""
    if run.attempt != attempt or run.status is not RunStatus.IN_PROGRESS:
        raise RunSuperseded
    return run


def counted(run: RunRecord, attempt: int, items: int) -> RunRecord:
    """Note the number of items."""
    return fenced(run, attempt).model_copy(update={"items": items})


def advance(run: RunRecord, attempt: int, more: Tally) -> RunRecord:
    """Add outcomes to the counters."""
    tally = fenced(run, attempt).tally.plus(more)
    return run.model_copy(update={"tally": tally, "fruitless_attempts": 0})


def complete(run: RunRecord, attempt: int, now_s: int) -> RunRecord:
    """Complete the run. Raises ValueError if items are missing, which would be a bug."""
    if fenced(run, attempt).tally.done != run.items:
        raise ValueError(f"{run.tally.done} of {run.items} items have an outcome")
    return _ended(run, RunStatus.COMPLETED, now_s)


def fail(run: RunRecord, attempt: int, failure: RunFailure, now_s: int) -> RunRecord:
    """Fail the run. Outcomes of its items are kept."""
    return _ended(fenced(run, attempt), RunStatus.FAILED, now_s).model_copy(
        update={"error": failure}
    )


def cancel(run: RunRecord, now_s: int) -> RunRecord:
    """Cancel the run. Raises RunEnded if it has ended."""
    if run.status in FINAL:
        raise RunEnded(run)
    return _ended(run, RunStatus.CANCELED, now_s)


def hand_back(run: RunRecord, attempt: int) -> RunRecord:
    """Release an attempt that its worker stopped on purpose."""
    return fenced(run, attempt).model_copy(update={"attempt": attempt + 1})


def lose(run: RunRecord, attempt: int, most_fruitless: int, now_s: int) -> RunRecord:
    """Release an attempt whose worker died.

    The run fails after `most_fruitless` attempts in a row without an outcome.
    """
    if run.attempt != attempt or run.status in FINAL:
        raise RunSuperseded
    fruitless = run.fruitless_attempts + 1
    if fruitless >= most_fruitless:
        failure = RunFailure(
            code=INTERRUPTED,
            message=f"The worker died {fruitless} times in a row before another item had an "
            "outcome. The worker's log has the cause; a grader may need too much memory.",
        )
        return _ended(run, RunStatus.FAILED, now_s).model_copy(update={"error": failure})
    return run.model_copy(update={"attempt": attempt + 1, "fruitless_attempts": fruitless})


def estimated_finish(run: RunRecord, now_s: int) -> int | None:
    """The time at which the run is expected to end, by the pace of its attempt; None if unknown."""
    if run.status is not RunStatus.IN_PROGRESS or run.items is None:
        return None
    began, done = run.attempt_started_at, run.tally.done - run.attempt_started_with
    if began is None or done <= 0:
        return None
    return now_s + round((run.items - run.tally.done) * max(now_s - began, 1) / done)


def _ended(run: RunRecord, status: RunStatus, now_s: int) -> RunRecord:
    return run.model_copy(update={"status": status, "finished_at": now_s})
