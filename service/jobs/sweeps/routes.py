"""`/v1/sweeps`: jobs that differ in some hyperparameters, of which the best is kept."""

from __future__ import annotations

import contextlib
from typing import Annotated, ClassVar

from fastapi import APIRouter, Depends, Header

from service.core import queue
from service.core.claims import Claim
from service.core.errors import Conflict
from service.core.redis import REDIS_ERRORS
from service.files.records import Files
from service.jobs.create import check_queue
from service.jobs.sweeps import halving
from service.jobs.sweeps.create import build_sweep, first_events
from service.jobs.sweeps.halving import advance
from service.jobs.sweeps.records import MAX_UNFINISHED, SweepRecord, Sweeps
from service.jobs.sweeps.schemas import CreateSweep, Sweep, SweepAndJobs
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.deps import AppSettings, Caller, resource
from service.web.idempotency import comparable, create_once
from service.web.operations import Operations, add_routes
from service.web.permissions import Permission, needs
from service.work.unfinished import check_room

router = APIRouter(prefix="/v1/sweeps", tags=["Fine-tuning"])

Store = Annotated[Sweeps, Depends(resource("sweeps"))]
FileStore = Annotated[Files, Depends(resource("files"))]
Registry = Annotated[ModelRegistry, Depends(resource("registry"))]


class SweepOperations(Operations[SweepRecord]):
    """The sweeps, each with its jobs."""

    noun = "sweep"
    schema = Sweep
    store_name = "sweeps"
    deletes_unfinished = False
    kept = "jobs"
    filters: ClassVar = {
        "model": "ID of the base model.",
        "training_file": "ID of the training file.",
    }

    async def show(self, record: SweepRecord) -> Sweep:
        """Return the API object of a sweep."""
        return Sweep.from_record((record, await self.store.trials(record)))

    async def cancel(self, record: SweepRecord) -> SweepRecord:
        """Cancel a sweep and all of its jobs that have not ended. Raises Conflict."""
        store: Sweeps = self.store
        try:
            after = await store.change(record, halving.cancel)
        except halving.SweepEnded as e:
            raise Conflict(
                f"The sweep {record.id} is {e.status} and cannot be cancelled.",
            ) from e
        # The reconciler continues what fails here.
        with contextlib.suppress(*REDIS_ERRORS):
            await advance(store, record.project_id, record.id)
            await self.request.app.state.dispatcher.dispatch()
            after = await store.get(record.project_id, record.id) or after
        return after


@router.post(
    "",
    operation_id="createSweep",
    summary="Create a sweep",
    openapi_extra=needs(Permission.FINE_TUNING_WRITE, AuditEvent.SWEEP_CREATED),
)
async def create_sweep(
    body: CreateSweep,
    caller: Caller,
    store: Store,
    files: FileStore,
    registry: Registry,
    settings: AppSettings,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Sweep:
    """Create a sweep: one fine-tuning job, called a trial, for each combination of the values. The
    trials are compared by their loss on held-out rows, so a sweep needs a `validation_file` or a
    `validation_share`.

    Every trial trains a third of its steps and then waits for the others. The better half trains up
    to two thirds, and the better half of those to the end. The rest are cancelled; an event of each
    job gives the two losses. With `stop_losers` set to false, all trials train to the end.

    Each trial is an ordinary job, which can be watched, paused, resumed and cancelled by itself.
    While a trial is paused by a user, the sweep waits for it.
    """

    async def make(claim: Claim[SweepAndJobs]) -> SweepAndJobs:
        check_room(await store.running(caller.project_id), MAX_UNFINISHED, "sweeps")
        record, jobs = await build_sweep(
            body, caller, sweeps=store, files=files, registry=registry, settings=settings
        )
        most = settings.max_queued_jobs_per_project
        await check_queue(caller, store.jobs, most, new=len(jobs))
        trials = [(job, first_events(job)) for job in jobs]
        sweep = record, jobs
        await store.create(record, trials, lambda pipe: claim.settle(pipe, sweep), claim)
        for job in jobs:
            with queue.left_to_the_reconciler():
                await queue.enqueue(
                    store.redis, queue.CPU, "prepare_job", job.project_id, job.id, job.attempt
                )
        return sweep

    return await create_once(
        Sweep, store.redis, caller.project_id, idempotency_key, comparable(body), make
    )


add_routes(
    router,
    SweepOperations,
    read=Permission.FINE_TUNING_READ,
    write=Permission.FINE_TUNING_WRITE,
    cancelled=AuditEvent.SWEEP_CANCELLED,
    deleted=AuditEvent.SWEEP_DELETED,
)
