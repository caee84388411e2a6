"""`/v1/datasets`: create, list, retrieve, cancel and delete generations of training rows."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header

from service.core import clock, ids, tracing
from service.core.claims import Claim
from service.core.errors import Conflict, NotFound
from service.generation.documents import check_documents
from service.generation.records import GenerationRecord, Generations
from service.generation.schemas import CreateGeneration, DatasetGeneration, GenerationDeleted
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import AppSettings, Caller, resource
from service.web.idempotency import comparable, create_once
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, Paged, Resource
from service.work.unfinished import check_room

router = APIRouter(prefix="/v1/datasets", tags=["Data sets"])

Store = Annotated[Generations, Depends(resource("generations"))]
Registry = Annotated[ModelRegistry, Depends(resource("registry"))]


GENERATION = Resource("generation")


async def _existing(generation_id: str, caller: Caller, store: Store) -> GenerationRecord:
    found = await store.get(caller.project_id, generation_id)
    return GENERATION.get_or_404(found, generation_id)


Existing = Annotated[GenerationRecord, Depends(_existing)]


@router.post(
    "/generate",
    operation_id="createDatasetGeneration",
    summary="Generate training rows from documents",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.GENERATION_CREATED),
)
async def generate(
    body: CreateGeneration,
    caller: Caller,
    store: Store,
    registry: Registry,
    settings: AppSettings,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> DatasetGeneration:
    """Generate training rows from documents. A worker cuts them into passages, asks a model of this
    installation for rows about each at the lowest priority, has each row checked, and writes those
    that pass to a new file with the purpose `fine-tune`. Nothing leaves the installation.

    The status changes from `queued` to `in_progress` and `completed`. The file may have fewer rows
    than wanted: `incomplete_details` and `counts` say why. A generation that becomes `failed` or
    `cancelled` keeps the rows so far.
    """

    async def make(claim: Claim[GenerationRecord]) -> GenerationRecord:
        await _check_model(body.model, caller, registry)
        await check_documents(store.files, caller.project_id, body.documents)
        waiting = await store.count_unfinished(caller.project_id)
        most = settings.max_unfinished_generations_per_project
        check_room(waiting, most, "generations")
        return await store.create(_new(body, caller), claim)

    raw = comparable(body)
    return await create_once(
        DatasetGeneration, store.redis, caller.project_id, idempotency_key, raw, make
    )


@router.get(
    "/generations",
    operation_id="listDatasetGenerations",
    summary="List generations",
    openapi_extra=needs(Permission.FILES_READ),
)
async def list_generations(
    caller: Caller, store: Store, paging: Paged
) -> ListOf[DatasetGeneration]:
    """List the project's generations, newest first."""
    page = store.records.page(caller.project_id, **paging.bounds)
    return await GENERATION.list(page, DatasetGeneration.from_record)


@router.get(
    "/generations/{generation_id}",
    operation_id="retrieveDatasetGeneration",
    summary="Retrieve a generation",
    openapi_extra=needs(Permission.FILES_READ),
)
async def retrieve_generation(generation: Existing) -> DatasetGeneration:
    """Retrieve a generation: its status, its counters, and its file once it has ended."""
    return DatasetGeneration.from_record(generation)


@router.post(
    "/generations/{generation_id}/cancel",
    operation_id="cancelDatasetGeneration",
    summary="Cancel a generation",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.GENERATION_CANCELLED),
)
async def cancel_generation(generation: Existing, store: Store) -> DatasetGeneration:
    """Cancel a generation. The status is `cancelling` until a worker has written the rows so far to
    the file, which usually takes seconds, and then `cancelled`. Returns 409 if the generation has
    ended or is about to.
    """
    with GENERATION.cancelling(generation.id):
        changed = await store.change(generation, lambda record: record.cancel(clock.now_s()))
    return DatasetGeneration.from_record(changed)


@router.delete(
    "/generations/{generation_id}",
    operation_id="deleteDatasetGeneration",
    summary="Delete a generation",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.GENERATION_DELETED),
)
async def delete_generation(generation: Existing, store: Store) -> GenerationDeleted:
    """Delete a generation that has ended. Its file and its documents are kept. Returns 409 if it
    has not ended.
    """
    if not generation.is_final:
        raise Conflict(
            f"The generation {generation.id} is {generation.status}. Cancel it, and delete it once "
            "it has ended.",
        )
    if not await store.delete(generation):
        raise GENERATION.not_found(generation.id)
    return GenerationDeleted(id=generation.id)


async def _check_model(model: str, caller: Principal, registry: ModelRegistry) -> None:
    if await registry.resolve(caller.project_id, model) is None:
        raise NotFound(
            f"The model '{model[:200]}' does not exist or you do not have access to it.",
            param="model",
            code="model_not_found",
        )


def _new(body: CreateGeneration, caller: Principal) -> GenerationRecord:
    return GenerationRecord(
        id=ids.new(ids.GENERATION),
        project_id=caller.project_id,
        created_at=clock.now_s(),
        key_id=caller.key_id,
        documents=tuple(body.documents),
        model=body.model,
        kinds=tuple(body.kinds),
        language=body.language,
        n=body.n,
        max_tokens_total=body.max_tokens_total,
        seed=body.seed,
        metadata=body.metadata,
        trace=dict(tracing.carrier()) or None,
    )
