"""`POST /v1/models/import`, and the imports of a file."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Header

from service.core import clock, ids
from service.core.claims import Claim
from service.core.errors import BadRequest, NotFound
from service.files.curation.file_tasks import TaskStore, check_room, get_task, list_tasks
from service.files.curation.records import Task, TaskKind
from service.files.records import FileRecord, Files, Purpose
from service.files.routes import Store, require_file
from service.imports.schemas import CreateModelImport, ImportOptions, ModelImport
from service.models.records import clean_suffix, model_name, new_tag
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import AppSettings, Caller, resource
from service.web.idempotency import comparable, create_once
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, Paged, Resource

router = APIRouter(prefix="/v1", tags=["Models"])

IMPORT = Resource("import")

Registry = Annotated[ModelRegistry, Depends(resource("registry"))]


@router.post(
    "/models/import",
    operation_id="createModelImport",
    summary="Import a model",
    openapi_extra=needs(Permission.MODEL_WRITE, AuditEvent.MODEL_IMPORT_CREATED),
)
async def import_model(
    body: CreateModelImport,
    caller: Caller,
    files: Store,
    tasks: TaskStore,
    registry: Registry,
    settings: AppSettings,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> ModelImport:
    """Import a LoRA adapter that was trained elsewhere, in the background.

    Upload the folder that PEFT's `save_pretrained` wrote, as a tar or zip archive with the purpose
    `model-import`. Only safetensors are accepted. The adapter's tensors are matched with the base
    model's, and its tokenizer and chat template are compared with those of the base model, which
    are used in any case. Poll `retrieveModelImport` until the status is `completed` or `failed`.
    The model can then be used like one that was trained here.
    """

    async def make(claim: Claim[Task]) -> Task:
        file = await _archive(files, caller, body.file)
        options = _options(body, caller, registry)
        await check_room(settings, tasks, caller)
        task = Task(
            id=ids.new(ids.MODEL_IMPORT),
            project_id=caller.project_id,
            created_at=clock.now_s(),
            file_id=file.id,
            kind=TaskKind.IMPORT,
            options=msgspec.to_builtins(options),
        )
        return await tasks.create(task, claim)

    raw = comparable(body)
    return await create_once(
        ModelImport, tasks.redis, caller.project_id, idempotency_key, raw, make
    )


@router.get(
    "/files/{file_id}/imports",
    operation_id="listModelImports",
    summary="List imports",
    openapi_extra=needs(Permission.FILES_READ),
)
async def list_imports(
    file_id: str, caller: Caller, files: Store, tasks: TaskStore, paging: Paged
) -> ListOf[ModelImport]:
    """List the imports of an archive, newest first. They are deleted with the file."""
    file = await require_file(files, caller.project_id, file_id)
    page = list_tasks(tasks, file, TaskKind.IMPORT, paging)
    return await IMPORT.list(page, ModelImport.from_record)


@router.get(
    "/files/{file_id}/imports/{import_id}",
    operation_id="retrieveModelImport",
    summary="Retrieve an import",
    openapi_extra=needs(Permission.FILES_READ),
)
async def retrieve_import(
    file_id: str, import_id: str, caller: Caller, files: Store, tasks: TaskStore
) -> ModelImport:
    """Retrieve an import's status, the name of its model, and the differences that were found
    between the adapter's folder and the base model; or the reason why it failed.
    """
    file = await require_file(files, caller.project_id, file_id)
    return ModelImport.from_record(await get_task(tasks, file, import_id, ids.MODEL_IMPORT, IMPORT))


async def _archive(files: Files, caller: Principal, file_id: str) -> FileRecord:
    try:
        file = await require_file(files, caller.project_id, file_id)
    except NotFound as e:
        raise NotFound(e.message, param="file", code="file_not_found") from e
    if file.purpose is not Purpose.MODEL_IMPORT:
        raise BadRequest(
            f"The file {file.id} has the purpose '{file.purpose}'; upload it again with purpose "
            "'model-import'.",
            param="file",
            code="invalid_file_purpose",
        )
    return file


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
    return ImportOptions(base_model=entry.id, suffix=suffix, model=name)
