"""Generations of version 0.2 at `/v1/datasets`, which `/v1/dataset_generations` replaces."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal, Self

from fastapi import Depends, Header
from pydantic import BaseModel, Field

from service.core.errors import Conflict
from service.generation.documents import MAX_DOCUMENTS
from service.generation.records import GenerationRecord, GenerationStatus, RowKind
from service.generation.routes import DatasetGenerations, Registry, Store, start_generation
from service.generation.schemas import (
    CreateDatasetGeneration,
    DocumentIds,
    GenerationCounts,
    GenerationIncompleteDetails,
    GenerationUsage,
    counts_of,
    usage_of,
)
from service.web.audit_events import AuditEvent
from service.web.deprecation import deprecated_router
from service.web.deps import AppSettings, Caller
from service.web.idempotency import comparable, create_once
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, Paged, Resource

router = deprecated_router("/v1/datasets", successor="/v1/dataset_generations", tags=["Data sets"])
GENERATION = Resource("generation")
Kind = Annotated[DatasetGenerations, Depends()]


class OldCreateGeneration(CreateDatasetGeneration):
    """Request to generate training rows in version 0.2."""

    document_ids: DocumentIds = Field(
        alias="documents",
        min_length=1,
        max_length=MAX_DOCUMENTS,
        description="IDs of files with the purpose `user_data`.",
    )


class GenerationError(BaseModel):
    """Reason why a generation failed."""

    code: str = Field(description="Machine-readable error code.")
    message: str = Field(description="Human-readable message.")
    param: str | None = Field(description="Parameter that caused the failure.")


class OldDatasetGeneration(BaseModel):
    """A generation in version 0.2."""

    id: str = Field(description="ID of the generation, prefixed with `dsgen_`.")
    object: Literal["dataset.generation"] = "dataset.generation"
    documents: list[str] = Field(description="IDs of the documents.")
    model: str = Field(description="Model that writes and checks the rows.")
    kinds: list[RowKind] = Field(description="Kinds of rows.")
    language: str | None = Field(
        description="BCP 47 tag of the language of the rows; null for the language of each passage."
    )
    n: int = Field(description="Number of rows wanted.")
    max_tokens_total: int | None = Field(
        description="Number of tokens after which no more requests are sent, or null."
    )
    seed: int = Field(description="Random seed for choosing and ordering passages.")
    status: GenerationStatus = Field(description="Status of the generation.")
    error: GenerationError | None = Field(description="Reason why the generation failed, or null.")
    incomplete_details: GenerationIncompleteDetails | None = Field(
        description="Reason why a completed generation has fewer rows than wanted, or null."
    )
    output_file_id: str | None = Field(
        description="ID of the file with the rows, whose purpose is `fine-tune`; null until the "
        "generation has ended, or if there are none."
    )
    counts: GenerationCounts
    usage: GenerationUsage
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    in_progress_at: int | None = Field(
        description="Time at which the documents were read, as a Unix timestamp in seconds."
    )
    completed_at: int | None = Field(
        description="Time at which the generation was completed, as a Unix timestamp in seconds."
    )
    failed_at: int | None = Field(
        description="Time at which the generation failed, as a Unix timestamp in seconds."
    )
    cancelling_at: int | None = Field(
        description="Time at which the cancellation was requested, as a Unix timestamp in seconds."
    )
    cancelled_at: int | None = Field(
        description="Time at which the generation was cancelled, as a Unix timestamp in seconds."
    )
    metadata: dict[str, str] | None = Field(
        description="Key-value pairs attached to the generation."
    )

    @classmethod
    def from_record(cls, record: GenerationRecord) -> Self:
        """The API object for a record."""
        incomplete = record.incomplete
        return cls.model_validate(
            {
                **record.model_dump(exclude={"tally", "incomplete"}),
                "incomplete_details": None if incomplete is None else {"reason": incomplete},
                "counts": counts_of(record),
                "usage": usage_of(record.tally),
            }
        )


class GenerationDeleted(BaseModel):
    """Response to deleting a generation."""

    id: str = Field(description="ID of the deleted generation.")
    object: Literal["dataset.generation"] = "dataset.generation"
    deleted: Literal[True] = True


async def _existing(generation_id: str, caller: Caller, kind: Kind) -> GenerationRecord:
    return GENERATION.get_or_404(await kind.get(caller.project_id, generation_id), generation_id)


Existing = Annotated[GenerationRecord, Depends(_existing)]


@router.post(
    "/generate",
    operation_id="oldCreateDatasetGeneration",
    summary="Generate training rows from documents",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.GENERATION_CREATED),
)
async def generate(
    body: OldCreateGeneration,
    caller: Caller,
    store: Store,
    registry: Registry,
    settings: AppSettings,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> OldDatasetGeneration:
    """Use `createDatasetGeneration`."""
    make = partial(start_generation, body, caller, store, registry, settings, param="documents")
    return await create_once(
        OldDatasetGeneration,
        store.redis,
        caller.project_id,
        idempotency_key,
        comparable(body, by_alias=True),
        make,
    )


@router.get(
    "/generations",
    operation_id="oldListDatasetGenerations",
    summary="List generations",
    openapi_extra=needs(Permission.FILES_READ),
)
async def list_generations(
    caller: Caller, store: Store, paging: Paged
) -> ListOf[OldDatasetGeneration]:
    """Use `listDatasetGenerations`."""
    page = store.records.page(caller.project_id, **paging.bounds)
    return await GENERATION.list(page, OldDatasetGeneration.from_record)


@router.get(
    "/generations/{generation_id}",
    operation_id="oldGetDatasetGeneration",
    summary="Retrieve a generation",
    openapi_extra=needs(Permission.FILES_READ),
)
async def retrieve_generation(generation: Existing) -> OldDatasetGeneration:
    """Use `getDatasetGeneration`."""
    return OldDatasetGeneration.from_record(generation)


@router.post(
    "/generations/{generation_id}/cancel",
    operation_id="oldCancelDatasetGeneration",
    summary="Cancel a generation",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.GENERATION_CANCELLED),
)
async def cancel_generation(generation: Existing, kind: Kind) -> OldDatasetGeneration:
    """Use `cancelDatasetGeneration`."""
    with GENERATION.cancelling(generation.id):
        return OldDatasetGeneration.from_record(await kind.cancel(generation))


@router.delete(
    "/generations/{generation_id}",
    operation_id="oldDeleteDatasetGeneration",
    summary="Delete a generation",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.GENERATION_DELETED),
)
async def delete_generation(generation: Existing, caller: Caller, kind: Kind) -> GenerationDeleted:
    """Use `deleteDatasetGeneration`."""
    if not generation.is_final:
        raise Conflict(
            f"The generation {generation.id} is {generation.status}. Cancel it, and delete it once "
            "it has ended.",
        )
    gone = GENERATION.get_or_404(await kind.delete(generation, caller), generation.id)
    return GenerationDeleted(id=gone.id)
