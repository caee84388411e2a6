"""Imports of version 0.2: `POST /v1/models/import`, and the imports of a file."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import msgspec
from fastapi import Header
from pydantic import BaseModel, ConfigDict, Field

from service.core import ids
from service.core.claims import Claim
from service.files.curation.deprecated import OldState, TaskFailure, old_state
from service.files.curation.file_tasks import TaskStore, check_room, get_task, list_tasks
from service.files.curation.records import Task, TaskKind
from service.files.routes import Store, require_file
from service.imports.records import ImportOptions
from service.imports.routes import Registry, new_import
from service.imports.schemas import BaseModelId, ImportFinding, Suffix
from service.web.audit_events import AuditEvent
from service.web.deprecation import deprecated_router
from service.web.deps import AppSettings, Caller
from service.web.idempotency import comparable, create_once
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, Paged, Resource

router = deprecated_router("/v1", successor="/v1/model_imports", tags=["Models"])

IMPORT = Resource("import")


class ImportModelRequest(BaseModel):
    """Request to import an adapter that was trained elsewhere."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    file: str = Field(
        max_length=128,
        description="ID of a file with the purpose `model-import`: the folder that PEFT's "
        "`save_pretrained` wrote, packed as .tar, .tar.gz, .tar.zst or .zip.",
    )
    base_model: BaseModelId
    suffix: Suffix = None


class FileImportObject(BaseModel):
    """An import of an adapter."""

    id: str = Field(description="ID of the import, prefixed with `modelimport-`.")
    object: Literal["model.import"] = "model.import"
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    finished_at: int | None = Field(
        description="Time the import ended, as a Unix timestamp in seconds; null while it runs."
    )
    file_id: str = Field(description="ID of the archive.")
    base_model: str = Field(description="Base model of the adapter.")
    suffix: str | None = Field(description="Suffix in the model's name; null if none was given.")
    status: OldState = Field(
        description="Status of the import: `in_progress`, then `completed` or `failed`."
    )
    error: TaskFailure | None = Field(
        description="Reason the adapter was not imported; null otherwise."
    )
    model: str | None = Field(
        default=None, description="Name of the imported model; null until the import is completed."
    )
    base_model_name_or_path: str | None = Field(
        default=None, description="Base model that the adapter's configuration names."
    )
    skipped_files: int | None = Field(
        default=None, description="Number of files in the archive that are not part of an adapter."
    )
    findings: list[ImportFinding] | None = Field(
        default=None,
        description="Differences between the adapter's folder and the base model; null until the "
        "import is completed.",
    )

    @classmethod
    def from_record(cls, task: Task) -> Self:
        """Return the API object of a record."""
        options = msgspec.convert(task.options, ImportOptions)
        result: dict[str, Any] = task.result or {}
        return cls(
            id=task.id,
            created_at=task.created_at,
            finished_at=task.finished_at,
            file_id=task.file_id,
            base_model=options.base_model,
            suffix=options.suffix,
            status=old_state(task),
            error=TaskFailure.from_record(task),
            **result,
        )


@router.post(
    "/models/import",
    operation_id="importModel",
    summary="Import a model",
    openapi_extra=needs(Permission.MODEL_WRITE, AuditEvent.MODEL_IMPORT_CREATED),
)
async def import_model(
    body: ImportModelRequest,
    caller: Caller,
    files: Store,
    tasks: TaskStore,
    registry: Registry,
    settings: AppSettings,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> FileImportObject:
    """Use `createModelImport`."""

    async def make(claim: Claim[Task]) -> Task:
        task = await new_import(body, body.file, "file", caller, files, registry)
        await check_room(settings, tasks, caller)
        return await tasks.create(task, claim)

    raw = comparable(body)
    return await create_once(
        FileImportObject, tasks.redis, caller.project_id, idempotency_key, raw, make
    )


@router.get(
    "/files/{file_id}/imports",
    operation_id="listFileImports",
    summary="List imports",
    openapi_extra=needs(Permission.FILES_READ),
)
async def list_imports(
    file_id: str, caller: Caller, files: Store, tasks: TaskStore, paging: Paged
) -> ListOf[FileImportObject]:
    """Use `listModelImports`."""
    file = await require_file(files, caller.project_id, file_id)
    page = list_tasks(tasks, file, TaskKind.IMPORT, paging)
    return await IMPORT.list(page, FileImportObject.from_record)


@router.get(
    "/files/{file_id}/imports/{import_id}",
    operation_id="retrieveFileImport",
    summary="Retrieve an import",
    openapi_extra=needs(Permission.FILES_READ),
)
async def retrieve_import(
    file_id: str, import_id: str, caller: Caller, files: Store, tasks: TaskStore
) -> FileImportObject:
    """Use `getModelImport`."""
    file = await require_file(files, caller.project_id, file_id)
    return FileImportObject.from_record(
        await get_task(tasks, file, import_id, ids.MODEL_IMPORT, IMPORT)
    )
