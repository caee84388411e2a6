"""Redis records of sweeps.

    finetuned:{project}:sweeps:{id}    the sweep, with what was decided about its trials
    finetuned:sweeps-unfinished        "project/id" of those that have not ended

A trial is an ordinary job, whose record names the sweep. The jobs are stored in the transaction
that stores the sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Final

from redis.asyncio.client import Pipeline

from service.core import clock, ids, outbox
from service.core.claims import Claim
from service.core.outbox import Event
from service.core.records import PREFIX, Collection, Record, Stored
from service.jobs.records import JobRecord, Jobs, MixedFile, NewEvent
from service.training.contract.methods import MethodName
from service.work.records import WorkError
from service.work.unfinished import count_unfinished, read_unfinished

UNFINISHED: Final = f"{PREFIX}:sweeps-unfinished"
MAX_UNFINISHED: Final = 10  # of a project


class SweepStatus(StrEnum):
    """Status of a sweep."""

    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Trial(Stored):
    """A job of a sweep, and what was decided about it.

    The decision is stored before the job is changed, so that a process that continues after another
    one died does not decide again.
    """

    job_id: str
    hyperparameters: dict[str, Any]  # that differ between the trials
    pause_after: float | None = None  # the point up to which it may train, as in the job's record
    stopped: str | None = None  # why it was stopped


_NO_SUCCESS: Final = WorkError(
    code="no_trial_succeeded",
    message="No trial succeeded. Each job has the reason why it failed.",
)


class SweepRecord(Record):
    """A sweep."""

    model: str
    method: MethodName
    training_file: str
    validation_file: str | None
    mixed_files: tuple[MixedFile, ...] = ()
    suffix: str | None
    seed: int
    metadata: dict[str, str] | None
    key_id: str = ""  # the key that created it; empty in records of versions before 0.3
    stop_losers: bool
    trials: tuple[Trial, ...]
    status: SweepStatus = SweepStatus.RUNNING
    best_job: str | None = None
    finished_at: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether the sweep has a final status."""
        return self.status not in (SweepStatus.RUNNING, SweepStatus.CANCELLING)

    @property
    def current_status(self) -> SweepStatus:
        """The status, by the name that records of work have for it."""
        return self.status

    @property
    def started_at(self) -> int:
        """When the sweep began: at once, with its jobs."""
        return self.created_at

    @property
    def error(self) -> WorkError | None:
        """Why the sweep failed."""
        return _NO_SUCCESS if self.status is SweepStatus.FAILED else None


class Sweeps:
    """The store of all sweeps."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.redis = jobs.redis
        self.records = Collection(jobs.redis, "sweeps", SweepRecord)

    async def create(
        self,
        record: SweepRecord,
        trials: Sequence[tuple[JobRecord, Sequence[NewEvent]]],
        settle: Callable[[Pipeline], None] = lambda _: None,
        claim: Claim[Any] | None = None,
    ) -> None:
        """Store a new sweep and its jobs with their first events. Raises ClaimLost."""

        def also(pipe: Pipeline) -> None:
            pipe.sadd(UNFINISHED, _member(record))
            for job, events in trials:
                self.jobs.add(pipe, job, *events)
            settle(pipe)

        check = (claim or Claim()).check
        await self.records.create(record, also=also, check=check)

    async def get(self, project_id: str, sweep_id: str) -> SweepRecord | None:
        """Return the project's sweep with this ID, or None."""
        if not ids.is_valid(sweep_id, ids.SWEEP):
            return None
        return await self.records.get(project_id, sweep_id)

    async def trials(self, record: SweepRecord) -> list[JobRecord]:
        """Return the jobs of a sweep, in its order."""
        wanted = [trial.job_id for trial in record.trials]
        return await self.jobs.records.get_many(record.project_id, wanted)

    async def change(
        self, record: SweepRecord, change: Callable[[SweepRecord], SweepRecord]
    ) -> SweepRecord:
        """Change a sweep atomically. Exceptions of `change` propagate. Raises Missing.

        A change to a final status also writes the end of the sweep to the outbox.
        """
        was_final = False

        def noting(current: SweepRecord) -> SweepRecord:
            nonlocal was_final
            was_final = current.is_final
            return change(current)

        def also(pipe: Pipeline, after: SweepRecord) -> None:
            if after.is_final and not was_final:
                pipe.srem(UNFINISHED, _member(after))
                outbox.add(pipe, _end_of(after))

        return await self.records.update(record.project_id, record.id, noting, also=also)

    async def delete(self, record: SweepRecord) -> bool:
        """Delete an ended sweep. Its jobs are kept. Returns False if it was already gone."""
        return await self.records.delete(record.project_id, record.id)

    async def running(self, project_id: str) -> int:
        """Return the number of the project's sweeps that have not ended."""
        return await count_unfinished(self.redis, UNFINISHED, project_id)

    async def unfinished(self) -> list[SweepRecord]:
        """Return all readable sweeps that have not ended."""
        return await read_unfinished(
            self.redis, UNFINISHED, lambda _: self.records, lambda record: not record.is_final
        )


def _end_of(record: SweepRecord) -> Event:
    """The event of a final sweep. It ends once, so its event has the sweep's own ID."""
    return Event(
        id=ids.WEBHOOK_EVENT + record.id.removeprefix(ids.SWEEP),
        project_id=record.project_id,
        created_at=record.finished_at or clock.now_s(),
        type=f"fine_tuning.sweep.{record.status}",
        subject_id=record.id,
    )


def _member(record: SweepRecord) -> str:
    return f"{record.project_id}/{record.id}"
