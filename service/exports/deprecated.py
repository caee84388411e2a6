"""`/v1/exports` of version 0.2, which `/v1/model_exports` replaces."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal, Self

from fastapi import Depends, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from service.exports.records import ExportRecord, ExportStatus
from service.exports.routes import (
    CONTENT_RESPONSES,
    Artifacts,
    IfRange,
    ModelExports,
    RangeHeader,
    Registry,
    Store,
    send_content,
    start_export,
)
from service.exports.schemas import CreateModelExport, ExportProof
from service.web.audit_events import AuditEvent
from service.web.deprecation import deprecated_router
from service.web.deps import AppSettings, Caller
from service.web.idempotency import comparable, create_once
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, NewestFirst, Resource

router = deprecated_router("/v1/exports", successor="/v1/model_exports", tags=["Exports"])
EXPORT = Resource("export")
Kind = Annotated[ModelExports, Depends()]


async def _existing(export_id: str, caller: Caller, exports: Kind) -> ExportRecord:
    return EXPORT.get_or_404(await exports.get(caller.project_id, export_id), export_id)


Existing = Annotated[ExportRecord, Depends(_existing)]


class ExportProgressObject(BaseModel):
    """Current step of an export."""

    step: str = Field(
        description="`asking` the engine, `merging`, `comparing` both base models, "
        "`converting`, `quantizing`, `loading`, `proving`, `hashing` or `packing`.",
        examples=["merging"],
    )
    done: int = Field(description="Number of finished parts of the step.")
    total: int = Field(description="Number of all parts of the step.")


class ExportErrorObject(BaseModel):
    """Reason why an export failed."""

    code: str = Field(description="Machine-readable code.", examples=["disk_full"])
    message: str = Field(description="Description of the reason.")
    expected_prompt: str | None = Field(
        default=None,
        description="Prompt as the engine renders it, if the artifact renders it differently.",
    )
    rendered_prompt: str | None = Field(
        default=None, description="The same prompt as the artifact renders it."
    )


class ExportObject(BaseModel):
    """Export of a trained model for other software."""

    id: str = Field(description="ID of the export. Starts with `export-`.")
    object: Literal["export"] = "export"
    created_at: int = Field(description="Creation time, in Unix seconds.")
    finished_at: int | None = Field(
        description="Time at which the export ended, in Unix seconds; null if it has not."
    )
    expires_at: int = Field(description="Time at which the export is deleted, in Unix seconds.")
    model: str = Field(description="Name of the trained model.")
    format: str = Field(description="Format of the export.", examples=["merged"])
    quantization: str | None = Field(description="Quantization of the weights.")
    status: ExportStatus = Field(description="Status of the export.")
    progress: ExportProgressObject | None = Field(
        description="Step of an export in progress; otherwise null."
    )
    bytes: int | None = Field(description="Size of the archive; null until it exists.")
    sha256: str | None = Field(
        description="SHA-256 of the archive in hexadecimal digits; null until it exists."
    )
    proof: ExportProof | None = Field(
        description="Comparison of the artifact's answers with the engine's; null if there is none."
    )
    error: ExportErrorObject | None = Field(
        description="Reason for the status `failed`; otherwise null."
    )

    @classmethod
    def from_record(cls, record: ExportRecord) -> Self:
        """Return the API object of a record."""
        return cls.model_validate(
            record.model_dump(include=cls.model_fields.keys() - {"object"}), strict=False
        )


class ExportDeleted(BaseModel):
    """Response to deleting an export."""

    id: str = Field(description="ID of the deleted export.")
    object: Literal["export"] = "export"
    deleted: Literal[True] = True
    receipt: str | None = Field(
        default=None, description="ID of the receipt of the erasure, which says what was erased."
    )


@router.post(
    "",
    operation_id="createExport",
    summary="Export a trained model",
    openapi_extra=needs(Permission.EXPORTS_WRITE, AuditEvent.EXPORT_CREATED),
)
async def create_export(
    body: CreateModelExport,
    caller: Caller,
    store: Store,
    registry: Registry,
    settings: AppSettings,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> ExportObject:
    """Use `createModelExport`."""
    make = partial(start_export, body, caller, store, registry, settings)
    return await create_once(
        ExportObject,
        store.redis,
        caller.project_id,
        idempotency_key,
        comparable(body, "metadata"),
        make,
    )


@router.get(
    "",
    operation_id="listExports",
    summary="List exports",
    openapi_extra=needs(Permission.EXPORTS_READ),
)
async def list_exports(
    caller: Caller,
    exports: Kind,
    paging: NewestFirst,
    model: Annotated[str | None, Query(description="Model to filter by.")] = None,
) -> ListOf[ExportObject]:
    """Use `listModelExports`."""
    page = exports.page(caller.project_id, paging, lambda r: model in (None, r.model))
    return await EXPORT.list(page, ExportObject.from_record)


@router.get(
    "/{export_id}",
    operation_id="retrieveExport",
    summary="Retrieve an export",
    openapi_extra=needs(Permission.EXPORTS_READ),
)
async def retrieve_export(export: Existing) -> ExportObject:
    """Use `getModelExport`."""
    return ExportObject.from_record(export)


@router.get(
    "/{export_id}/content",
    operation_id="downloadExport",
    summary="Download an export",
    response_class=StreamingResponse,
    responses=CONTENT_RESPONSES,
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.EXPORT_CONTENT_READ),
)
async def download_export(
    export: Existing,
    storage: Artifacts,
    registry: Registry,
    range_: RangeHeader = None,
    if_range: IfRange = None,
) -> StreamingResponse:
    """Use `getModelExportContent`."""
    return await send_content(export, storage, registry, range_, if_range, param="export_id")


@router.post(
    "/{export_id}/cancel",
    operation_id="cancelExport",
    summary="Cancel an export",
    openapi_extra=needs(Permission.EXPORTS_WRITE, AuditEvent.EXPORT_CANCELLED),
)
async def cancel_export(export: Existing, exports: Kind) -> ExportObject:
    """Use `cancelModelExport`."""
    with EXPORT.cancelling(export.id):
        return ExportObject.from_record(await exports.cancel(export))


@router.delete(
    "/{export_id}",
    operation_id="deleteExport",
    summary="Delete an export",
    openapi_extra=needs(Permission.EXPORTS_WRITE, AuditEvent.EXPORT_DELETED),
)
async def delete_export(export: Existing, caller: Caller, exports: Kind) -> ExportDeleted:
    """Use `deleteModelExport`."""
    gone = EXPORT.get_or_404(await exports.delete(export, caller), export.id)
    return ExportDeleted(id=gone.id, receipt=gone.receipt)
