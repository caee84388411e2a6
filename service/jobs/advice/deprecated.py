"""`/v1/fine_tuning/advice` of version 0.2, which `/v1/advice` replaces."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal, Self

from fastapi import Depends, Header
from pydantic import BaseModel, ConfigDict, Field

from service.jobs.advice.records import AdviceRecord, AdviceStatus
from service.jobs.advice.routes import (
    AdviceOperations,
    FileStore,
    Registry,
    Store,
    start_advice,
)
from service.jobs.advice.schemas import AdviceResult, CreateAdvice
from service.web.audit_events import AuditEvent
from service.web.deprecation import deprecated_router
from service.web.deps import AppSettings, Caller
from service.web.idempotency import comparable, create_once
from service.web.permissions import Permission, needs
from service.web.resources import Resource
from service.work.records import WorkError

router = deprecated_router("/v1/fine_tuning/advice", successor="/v1/advice", tags=["Fine-tuning"])
ADVICE = Resource("advice")


class CreateFineTuningAdvice(BaseModel):
    """Request for advice before a training, in version 0.2."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    training_file: str = Field(min_length=1, max_length=128, description="ID of the file.")
    model: str = Field(min_length=1, max_length=256, description="ID of the base model.")


class FineTuningAdviceError(BaseModel):
    """Reason why the advice failed, in version 0.2."""

    code: str = Field(description="Machine-readable code.")
    message: str = Field(description="Description of the reason.")


class FineTuningAdvice(BaseModel):
    """Advice in version 0.2, which also has the fields of `AdviceResult`."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(description="ID of the advice.")
    object: Literal["fine_tuning.advice"] = "fine_tuning.advice"
    created_at: int = Field(description="Creation time, in Unix seconds.")
    finished_at: int | None = Field(description="Time at which the advice ended.")
    expires_at: int = Field(description="Time at which the advice is deleted.")
    training_file: str = Field(description="ID of the training file.")
    model: str = Field(description="ID of the base model.")
    status: AdviceStatus = Field(description="Status of the advice.")
    error: FineTuningAdviceError | None = Field(description="Reason for the status `failed`.")

    @classmethod
    def from_record(cls, record: AdviceRecord) -> Self:
        """Build the API object of a record."""
        known = set(cls.model_fields)
        if record.status is AdviceStatus.CANCELLED:  # version 0.2 could not cancel it
            error = WorkError(code="cancelled", message="It was cancelled.")
            record = record.model_copy(update={"status": AdviceStatus.FAILED, "error": error})
        result = dict.fromkeys(AdviceResult.model_fields)
        if record.result is not None:
            result = AdviceResult.model_validate(record.result).model_dump()
        return cls.model_validate(
            {**result, **record.model_dump(include=known, mode="json")}, strict=False
        )


class FineTuningAdviceDeleted(BaseModel):
    """Response to deleting advice, in version 0.2."""

    id: str = Field(description="ID of the deleted advice.")
    object: Literal["fine_tuning.advice"] = "fine_tuning.advice"
    deleted: Literal[True] = True


async def _existing(
    advice_id: str, caller: Caller, operations: Annotated[AdviceOperations, Depends()]
) -> AdviceRecord:
    return ADVICE.get_or_404(await operations.get(caller.project_id, advice_id), advice_id)


Existing = Annotated[AdviceRecord, Depends(_existing)]


@router.post(
    "",
    operation_id="createFineTuningAdvice",
    summary="Ask for advice before a training",
    openapi_extra=needs(Permission.FINE_TUNING_WRITE, AuditEvent.ADVICE_CREATED),
)
async def create_advice(
    body: CreateFineTuningAdvice,
    caller: Caller,
    store: Store,
    files: FileStore,
    registry: Registry,
    settings: AppSettings,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> FineTuningAdvice:
    """Use `createTrainingAdvice`."""
    wanted = CreateAdvice(training_file_id=body.training_file, model=body.model)
    make = partial(
        start_advice, wanted, caller, store, files, registry, settings, param="training_file"
    )
    return await create_once(
        FineTuningAdvice, store.redis, caller.project_id, idempotency_key, comparable(body), make
    )


@router.get(
    "/{advice_id}",
    operation_id="retrieveFineTuningAdvice",
    summary="Retrieve advice",
    openapi_extra=needs(Permission.FINE_TUNING_READ),
)
async def retrieve_advice(advice: Existing) -> FineTuningAdvice:
    """Use `getTrainingAdvice`."""
    return FineTuningAdvice.from_record(advice)


@router.delete(
    "/{advice_id}",
    operation_id="deleteFineTuningAdvice",
    summary="Delete advice",
    openapi_extra=needs(Permission.FINE_TUNING_WRITE, AuditEvent.ADVICE_DELETED),
)
async def delete_advice(advice: Existing, store: Store) -> FineTuningAdviceDeleted:
    """Use `deleteTrainingAdvice`."""
    if not await store.delete(advice):
        raise ADVICE.not_found(advice.id)
    return FineTuningAdviceDeleted(id=advice.id)
