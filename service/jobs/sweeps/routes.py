"""Routes of sweeps: create, list, retrieve and cancel."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Header

from service.core import queue
from service.core.claims import Claim
from service.core.errors import Conflict
from service.core.redis import REDIS_ERRORS
from service.files.records import Files
from service.jobs.create import check_queue
from service.jobs.dispatch import Dispatcher
from service.jobs.records import JobRecord
from service.jobs.sweeps import halving
from service.jobs.sweeps.create import build_sweep, first_events
from service.jobs.sweeps.halving import advance
from service.jobs.sweeps.records import MAX_UNFINISHED, SweepRecord, Sweeps
from service.jobs.sweeps.schemas import CreateSweep, SweepObject
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.deps import AppSettings, Caller, resource
from service.web.idempotency import comparable, create_once
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, Paged, Resource, list_of
from service.work.unfinished import check_room

router = APIRouter(prefix="/v1/fine_tuning/sweeps", tags=["Fine-tuning"])

Store = Annotated[Sweeps, Depends(resource("sweeps"))]
FileStore = Annotated[Files, Depends(resource("files"))]
Registry = Annotated[ModelRegistry, Depends(resource("registry"))]
Dispatch = Annotated[Dispatcher, Depends(resource("dispatcher"))]
_Created = tuple[SweepRecord, Sequence[JobRecord]]


SWEEP = Resource("sweep")


async def _existing(sweep_id: str, caller: Caller, store: Store) -> SweepRecord:
    return SWEEP.get_or_404(await store.get(caller.project_id, sweep_id), sweep_id)


Existing = Annotated[SweepRecord, Depends(_existing)]


@router.post(
    "",
    operation_id="createFineTuningSweep",
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
) -> SweepObject:
    """Create a sweep: one fine-tuning job, called a trial, for each combination of the values. The
    trials are compared by their loss on held-out rows, so a sweep needs a `validation_file` or a
    `validation_share`.

    Every trial trains a third of its steps and then waits for the others. The better half trains up
    to two thirds, and the better half of those to the end. The rest are cancelled; an event of each
    job gives the two losses. With `stop_losers` set to false, all trials train to the end.

    Each trial is an ordinary job, which can be watched, paused, resumed and cancelled by itself.
    While a trial is paused by a user, the sweep waits for it.
    """

    async def make(claim: Claim[_Created]) -> _Created:
        check_room(
            await store.running(caller.project_id),
            MAX_UNFINISHED,
            "sweeps",
        )
        record, jobs = await build_sweep(
            body, caller, sweeps=store, files=files, registry=registry, settings=settings
        )
        most = settings.max_queued_jobs_per_project
        await check_queue(caller, store.jobs, most, new=len(jobs))
        trials = [(job, first_events(job)) for job in jobs]
        await store.create(record, trials, lambda pipe: claim.settle(pipe, (record, jobs)), claim)
        for job in jobs:
            with queue.left_to_the_reconciler():
                await queue.enqueue(
                    store.redis, queue.CPU, "prepare_job", job.project_id, job.id, job.attempt
                )
        return record, jobs

    raw = comparable(body)
    return await create_once(
        SweepObject, store.redis, caller.project_id, idempotency_key, raw, make
    )


@router.get(
    "",
    operation_id="listFineTuningSweeps",
    summary="List sweeps",
    openapi_extra=needs(Permission.FINE_TUNING_READ),
)
async def list_sweeps(caller: Caller, store: Store, paging: Paged) -> ListOf[SweepObject]:
    """List the project's sweeps, newest first."""
    page = await SWEEP.read(store.records.page(caller.project_id, **paging.bounds))
    shown = [SweepObject.from_record((record, await store.trials(record))) for record in page.items]
    return list_of(shown, page.has_more)


@router.get(
    "/{sweep_id}",
    operation_id="retrieveFineTuningSweep",
    summary="Retrieve a sweep",
    openapi_extra=needs(Permission.FINE_TUNING_READ),
)
async def retrieve_sweep(sweep: Existing, store: Store) -> SweepObject:
    """Retrieve the current state of a sweep: its trials with their losses and, once it has ended,
    the best one.
    """
    return SweepObject.from_record((sweep, await store.trials(sweep)))


@router.post(
    "/{sweep_id}/cancel",
    operation_id="cancelFineTuningSweep",
    summary="Cancel a sweep",
    openapi_extra=needs(Permission.FINE_TUNING_WRITE, AuditEvent.SWEEP_CANCELLED),
)
async def cancel_sweep(sweep: Existing, store: Store, dispatcher: Dispatch) -> SweepObject:
    """Cancel a sweep and all of its jobs that have not ended. Existing checkpoints and models are
    kept. Returns 409 if the sweep has succeeded or failed.
    """
    try:
        after = await store.change(sweep, halving.cancel)
    except halving.SweepEnded as e:
        raise Conflict(
            f"The sweep {sweep.id} is {e.status} and cannot be cancelled.",
        ) from e
    # The reconciler continues what fails here.
    with contextlib.suppress(*REDIS_ERRORS):
        await advance(store, sweep.project_id, sweep.id)
        await dispatcher.dispatch()
        after = await store.get(sweep.project_id, sweep.id) or after
    return SweepObject.from_record((after, await store.trials(after)))
