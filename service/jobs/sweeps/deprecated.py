"""`/v1/fine_tuning/sweeps` of version 0.2, which `/v1/sweeps` replaces."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal, Self

from fastapi import Depends, Header
from pydantic import BaseModel, Field

from service.jobs.schemas.jobs import MixedFileObject
from service.jobs.sweeps.records import SweepRecord, SweepStatus
from service.jobs.sweeps.routes import (
    FileStore,
    Registry,
    Store,
    SweepOperations,
    start_sweep,
)
from service.jobs.sweeps.schemas import (
    CreateSweep,
    SweepAndJobs,
    TrialObject,
    best_model,
    inputs_of,
    trials_of,
)
from service.training.contract.methods import MethodName
from service.web.audit_events import AuditEvent
from service.web.deprecation import deprecated_router
from service.web.deps import AppSettings, Caller
from service.web.idempotency import comparable, create_once
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, Paged, Resource, list_of

router = deprecated_router("/v1/fine_tuning/sweeps", successor="/v1/sweeps", tags=["Fine-tuning"])
SWEEP = Resource("sweep")
Kind = Annotated[SweepOperations, Depends()]


class FineTuningSweepError(BaseModel):
    """Reason why a sweep failed."""

    code: str = Field(description="Machine-readable code.", examples=["no_trial_succeeded"])
    message: str = Field(description="Description of the reason.")


class FineTuningSweep(BaseModel):
    """A sweep in version 0.2."""

    id: str = Field(description="ID of the sweep. Starts with `ftsweep-`.")
    object: Literal["fine_tuning.sweep"] = "fine_tuning.sweep"
    created_at: int = Field(description="Creation time, in Unix seconds.")
    finished_at: int | None = Field(
        description="Time at which the sweep ended, in Unix seconds. Null until then."
    )
    status: SweepStatus = Field(
        description="Status of the sweep. It has `succeeded` if one of its trials has."
    )
    error: FineTuningSweepError | None = Field(
        description="Reason for the status `failed`; otherwise null."
    )
    model: str = Field(description="ID of the base model.")
    method: MethodName = Field(description="Training method.")
    training_file: str = Field(description="ID of the training file.")
    validation_file: str | None = Field(description="ID of the validation file.")
    mixed_files: list[MixedFileObject] = Field(
        default=[],
        description="Files whose rows are mixed with those of the training file; empty if there "
        "are none.",
    )
    suffix: str | None = Field(description="Suffix in the names of the fine-tuned models.")
    seed: int = Field(description="Random seed of all trials.")
    metadata: dict[str, str] | None = Field(
        description="Key-value pairs that were set when the sweep was created. All jobs have them."
    )
    stop_losers: bool = Field(description="Whether the worse trials are stopped early.")
    best_job: str | None = Field(
        description="ID of the job that succeeded with the lowest held-out loss. Null until the "
        "sweep has ended."
    )
    fine_tuned_model: str | None = Field(
        description="Name of the fine-tuned model of the best job. Null until the sweep has ended."
    )
    trials: list[TrialObject] = Field(description="Trials, in the order of their values.")

    @classmethod
    def from_record(cls, sweep: SweepAndJobs) -> Self:
        """Build the API object of a sweep and its jobs."""
        record, jobs = sweep
        error = record.error
        return cls.model_validate(
            {
                **record.model_dump(include={"id", "created_at", "finished_at", "status"}),
                **inputs_of(record),
                "error": error and {"code": error.code, "message": error.message},
                "metadata": record.metadata,
                "best_job": record.best_job,
                "fine_tuned_model": best_model(record, jobs),
                "trials": trials_of(record, jobs),
            }
        )


async def _existing(sweep_id: str, caller: Caller, kind: Kind) -> SweepRecord:
    return SWEEP.get_or_404(await kind.get(caller.project_id, sweep_id), sweep_id)


async def _show(kind: Kind, record: SweepRecord) -> FineTuningSweep:
    return FineTuningSweep.from_record((record, await kind.sweeps.trials(record)))


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
) -> FineTuningSweep:
    """Use `createSweep`."""
    make = partial(start_sweep, body, caller, store, files, registry, settings)
    return await create_once(
        FineTuningSweep, store.redis, caller.project_id, idempotency_key, comparable(body), make
    )


@router.get(
    "",
    operation_id="listFineTuningSweeps",
    summary="List sweeps",
    openapi_extra=needs(Permission.FINE_TUNING_READ),
)
async def list_sweeps(caller: Caller, kind: Kind, paging: Paged) -> ListOf[FineTuningSweep]:
    """Use `listSweeps`."""
    page = await SWEEP.read(kind.page(caller.project_id, paging, lambda _: True))
    return list_of([await _show(kind, record) for record in page.items], page.has_more)


@router.get(
    "/{sweep_id}",
    operation_id="retrieveFineTuningSweep",
    summary="Retrieve a sweep",
    openapi_extra=needs(Permission.FINE_TUNING_READ),
)
async def retrieve_sweep(sweep: Existing, kind: Kind) -> FineTuningSweep:
    """Use `getSweep`."""
    return await _show(kind, sweep)


@router.post(
    "/{sweep_id}/cancel",
    operation_id="cancelFineTuningSweep",
    summary="Cancel a sweep",
    openapi_extra=needs(Permission.FINE_TUNING_WRITE, AuditEvent.SWEEP_CANCELLED),
)
async def cancel_sweep(sweep: Existing, kind: Kind) -> FineTuningSweep:
    """Use `cancelSweep`."""
    return await _show(kind, await kind.cancel(sweep))
