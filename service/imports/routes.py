"""`/v1/model_imports`: imports of adapters that were trained elsewhere."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends

from service.core import clock, ids
from service.core.errors import NotFound
from service.files.curation.operations import IdempotencyKey, TaskOperations
from service.files.curation.records import Task, TaskKind
from service.files.lookup import named_file
from service.files.records import Purpose
from service.files.routes import Store
from service.imports.records import ImportOptions
from service.imports.schemas import CreateModelImport, ModelImport
from service.models.records import clean_suffix, model_name, new_tag
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import Caller, resource
from service.web.operations import add_routes
from service.web.permissions import Permission, needs

router = APIRouter(prefix="/v1/model_imports", tags=["Models"])

Registry = Annotated[ModelRegistry, Depends(resource("registry"))]


class ModelImports(TaskOperations[ModelImport]):
    """The imports of adapters."""

    noun = "import"
    schema = ModelImport
    id_prefix = ids.MODEL_IMPORT
    kept = "models"


@router.post(
    "",
    operation_id="createModelImport",
    summary="Import a model",
    openapi_extra=needs(Permission.MODEL_WRITE, AuditEvent.MODEL_IMPORT_CREATED),
)
async def create_import(
    body: CreateModelImport,
    caller: Caller,
    files: Store,
    registry: Registry,
    operations: Annotated[ModelImports, Depends()],
    idempotency_key: IdempotencyKey = None,
) -> ModelImport:
    """Import a LoRA adapter that was trained elsewhere, in the background.

    Upload the folder that PEFT's `save_pretrained` wrote, as a tar or zip archive with the purpose
    `model-import`. Only safetensors are accepted. The adapter's tensors are matched with the base
    model's, and its tokenizer and chat template are compared with those of the base model, which
    are used in any case. When the import is completed, `result.model` can be used like a model that
    was trained here.
    """

    async def make() -> Task:
        file = await named_file(
            files, caller.project_id, body.file_id, "file_id", Purpose.MODEL_IMPORT
        )
        options = _options(body, caller, registry)
        return Task(
            id=ids.new(ids.MODEL_IMPORT),
            project_id=caller.project_id,
            created_at=clock.now_s(),
            file_id=file.id,
            kind=TaskKind.IMPORT,
            options=msgspec.to_builtins(options),
            metadata=body.metadata,
        )

    return await operations.create(make, body, caller, idempotency_key)


add_routes(
    router,
    ModelImports,
    read=Permission.FILES_READ,
    write=Permission.MODEL_WRITE,
    cancelled=AuditEvent.MODEL_IMPORT_CANCELLED,
    deleted=AuditEvent.MODEL_IMPORT_DELETED,
)


def _options(body: CreateModelImport, caller: Principal, registry: ModelRegistry) -> ImportOptions:
    entry = registry.catalogue.get(body.base_model)
    if entry is None:
        offered = ", ".join(m.id for m in registry.catalogue.all()[:10]) or "none yet"
        raise NotFound(
            f"The base model '{body.base_model}' does not exist here. Base models offered here: "
            f"{offered}.",
            param="base_model",
            code="model_not_found",
        )
    suffix = clean_suffix(body.suffix)
    name = model_name(entry.id, caller.project_name, suffix or "", new_tag())
    return ImportOptions(base_model=entry.id, suffix=suffix, model=name, created_by=caller.identity)
