"""`/v1/dataset_generations`: generations of training rows from documents."""

from __future__ import annotations

from typing import Annotated, ClassVar

from fastapi import APIRouter, Depends, Header

from service.core import clock, ids, tracing
from service.core.claims import Claim
from service.generation.documents import check_documents
from service.generation.records import GenerationRecord, Generations
from service.generation.schemas import CreateDatasetGeneration, DatasetGeneration
from service.models.lookup import named_model
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import AppSettings, Caller, resource
from service.web.idempotency import comparable, create_once
from service.web.operations import Operations, add_routes
from service.web.permissions import Permission, needs
from service.work.unfinished import check_room

router = APIRouter(prefix="/v1/dataset_generations", tags=["Data sets"])

Store = Annotated[Generations, Depends(resource("generations"))]
Registry = Annotated[ModelRegistry, Depends(resource("registry"))]


class DatasetGenerations(Operations[GenerationRecord]):
    """The generations of training rows."""

    noun = "generation"
    schema = DatasetGeneration
    store_name = "generations"
    deletes_unfinished = False
    kept = "files"
    filters: ClassVar = {"model": "Model that writes the rows."}


@router.post(
    "",
    operation_id="createDatasetGeneration",
    summary="Generate training rows from documents",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.GENERATION_CREATED),
)
async def create_generation(
    body: CreateDatasetGeneration,
    caller: Caller,
    store: Store,
    registry: Registry,
    settings: AppSettings,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> DatasetGeneration:
    """Generate training rows from documents. A worker cuts them into passages, asks a model of this
    installation for rows about each at the lowest priority, has each row checked, and writes those
    that pass to a new file with the purpose `fine-tune`. Nothing leaves the installation.

    The file may have fewer rows than the target: `incomplete_details` and `counts` say why. A
    generation that becomes `failed` or `cancelled` keeps the rows so far.
    """

    async def make(claim: Claim[GenerationRecord]) -> GenerationRecord:
        await named_model(registry, caller.project_id, body.model)
        await check_documents(store.files, caller.project_id, body.document_ids)
        waiting = await store.count_unfinished(caller.project_id)
        most = settings.max_unfinished_generations_per_project
        check_room(waiting, most, "generations")
        return await store.create(_new(body, caller), claim)

    return await create_once(
        DatasetGeneration, store.redis, caller.project_id, idempotency_key, comparable(body), make
    )


add_routes(
    router,
    DatasetGenerations,
    read=Permission.FILES_READ,
    write=Permission.FILES_WRITE,
    cancelled=AuditEvent.GENERATION_CANCELLED,
    deleted=AuditEvent.GENERATION_DELETED,
)


def _new(body: CreateDatasetGeneration, caller: Principal) -> GenerationRecord:
    return GenerationRecord(
        id=ids.new(ids.GENERATION),
        project_id=caller.project_id,
        created_at=clock.now_s(),
        key_id=caller.key_id,
        documents=tuple(body.document_ids),
        model=body.model,
        kinds=tuple(body.kinds),
        language=body.language,
        n=body.n,
        max_tokens_total=body.max_tokens_total,
        seed=body.seed,
        metadata=body.metadata,
        trace=dict(tracing.carrier()) or None,
    )
