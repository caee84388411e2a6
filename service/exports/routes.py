"""`/v1/exports`: create, list, retrieve, download, cancel and delete exports."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse

from service.core import clock, ids
from service.core.claims import Claim
from service.core.errors import BadRequest, Conflict, LimitReached, NotFound, RangeNotSatisfiable
from service.core.storage import Storage, StorageMissing
from service.exporting import EXTRA, EXTRA_FORMATS, QUANTIZED_FORMATS
from service.exports.archive import MEDIA_TYPE
from service.exports.records import KEPT_S, MAX_UNFINISHED, ExportRecord, Exports, ExportStatus
from service.exports.schemas import CreateExport, ExportDeleted, ExportObject
from service.fleet import workers
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import AppSettings, Caller, resource
from service.web.idempotency import comparable, create_once
from service.web.openapi.parts import headers
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, NewestFirst, Resource
from service.work.records import WorkEnded
from service.work.unfinished import check_room

router = APIRouter(prefix="/v1/exports", tags=["Exports"])
_DEFAULT_QUANTIZATION = "q8_0"
_RANGE = re.compile(r"bytes=(?P<first>[0-9]{0,19})-(?P<last>[0-9]{0,19})", re.IGNORECASE)
_CONTENT_HEADERS = headers("accept-ranges", "content-disposition", "etag", "repr-digest")
_CONTENT = {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}

Store = Annotated[Exports, Depends(resource("exports"))]
Registry = Annotated[ModelRegistry, Depends(resource("registry"))]
EraseExport = Annotated[
    Callable[[ExportRecord, str], Awaitable[str | None]], Depends(resource("erase_export"))
]
"""Deletes an export for a key, and returns the ID of the receipt, or None if it is gone."""
Artifacts = Annotated[Storage, Depends(resource("storage"))]

EXPORT = Resource("export")


async def _existing(export_id: str, caller: Caller, store: Store) -> ExportRecord:
    return EXPORT.get_or_404(await store.get(caller.project_id, export_id), export_id)


Existing = Annotated[ExportRecord, Depends(_existing)]


@router.post(
    "",
    operation_id="createExport",
    summary="Export a trained model",
    openapi_extra=needs(Permission.EXPORTS_WRITE, AuditEvent.EXPORT_CREATED),
)
async def create_export(
    body: CreateExport,
    caller: Caller,
    store: Store,
    registry: Registry,
    settings: AppSettings,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> ExportObject:
    """Export a trained model for other software. A worker writes the artifact, loads it, compares
    its answers to held-out rows with the serving engine's, and stores it as one archive.

    The status goes from `queued` to `in_progress`, and finally to `succeeded`, `failed` or
    `cancelled`. An artifact that renders prompts differently, or whose answers differ too much,
    fails. Exports are deleted 7 days after they were created.
    """

    async def make(claim: Claim[ExportRecord]) -> ExportRecord:
        record = await _new_record(body, caller, registry)
        await _check_workers(body, store)
        await _check_room(caller, store, settings.max_exports_per_project)
        return await store.create(record, claim)

    raw = comparable(body)
    return await create_once(
        ExportObject, store.redis, caller.project_id, idempotency_key, raw, make
    )


@router.get(
    "",
    operation_id="listExports",
    summary="List exports",
    openapi_extra=needs(Permission.EXPORTS_READ),
)
async def list_exports(
    caller: Caller,
    store: Store,
    paging: NewestFirst,
    model: Annotated[str | None, Query(description="Model to filter by.")] = None,
) -> ListOf[ExportObject]:
    """List the project's exports, newest first by default."""
    now_s = clock.now_s()
    page = store.records.page(
        caller.project_id,
        **paging.bounds,
        where=lambda r: r.expires_at > now_s and model in (None, r.model),
    )
    return await EXPORT.list(page, ExportObject.from_record)


@router.get(
    "/{export_id}",
    operation_id="retrieveExport",
    summary="Retrieve an export",
    openapi_extra=needs(Permission.EXPORTS_READ),
)
async def retrieve_export(export: Existing) -> ExportObject:
    """Retrieve an export: its status and progress, and its size, digest and proof once it has
    succeeded.
    """
    return ExportObject.from_record(export)


@router.get(
    "/{export_id}/content",
    operation_id="downloadExport",
    summary="Download an export",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The whole archive.",
            "headers": _CONTENT_HEADERS,
            "content": _CONTENT,
        },
        206: {
            "description": "The requested range of the archive.",
            "headers": {**_CONTENT_HEADERS, **headers("content-range")},
            "content": _CONTENT,
        },
    },
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.EXPORT_CONTENT_READ),
)
async def download_export(
    export: Existing,
    storage: Artifacts,
    range_: Annotated[
        str | None,
        Header(alias="range", description="Range of bytes to send, to resume a download."),
    ] = None,
    if_range: Annotated[
        str | None,
        Header(description="`etag` of the earlier response. If it differs, all bytes are sent."),
    ] = None,
) -> StreamingResponse:
    """Download an export as one uncompressed tar archive. The `etag` is its SHA-256 in hexadecimal
    digits, and `repr-digest` the same in base64. Returns 409 if the export has not succeeded.
    """
    if export.status is not ExportStatus.SUCCEEDED or export.key is None:
        raise Conflict(f"The export {export.id} is {export.status}, so it has no content.")
    size, etag = export.bytes or 0, f'"{export.sha256}"'
    part = parse_range(range_, size) if if_range in (None, etag) else None
    start, end = part or (0, size)
    try:
        chunks = await storage.stream(export.key, start, end)
    except StorageMissing as e:
        raise NotFound("The archive is no longer in storage.", param="export_id") from e
    sent = {
        "content-length": str(end - start),
        "content-disposition": f'attachment; filename="{export.filename}"',
        "accept-ranges": "bytes",
        "etag": etag,
        "repr-digest": f"sha-256=:{_base64(export.sha256)}:",
    }
    if part is not None:
        sent["content-range"] = f"bytes {start}-{end - 1}/{size}"
    return StreamingResponse(
        chunks, status_code=200 if part is None else 206, media_type=MEDIA_TYPE, headers=sent
    )


@router.post(
    "/{export_id}/cancel",
    operation_id="cancelExport",
    summary="Cancel an export",
    openapi_extra=needs(Permission.EXPORTS_WRITE, AuditEvent.EXPORT_CANCELLED),
)
async def cancel_export(export: Existing, store: Store) -> ExportObject:
    """Cancel an export. Its worker stops within seconds. Returns 409 if it has already ended."""

    def cancel(current: ExportRecord) -> ExportRecord:
        if current.is_final:
            raise WorkEnded(current)
        return current.end(ExportStatus.CANCELLED, clock.now_s())

    with EXPORT.cancelling(export.id):
        return ExportObject.from_record(await store.change(export, cancel))


@router.delete(
    "/{export_id}",
    operation_id="deleteExport",
    summary="Delete an export",
    openapi_extra=needs(Permission.EXPORTS_WRITE, AuditEvent.EXPORT_DELETED),
)
async def delete_export(
    export: Existing, caller: Caller, erase_export: EraseExport
) -> ExportDeleted:
    """Delete an export with its archive. If it is in progress, its worker stops. `receipt` is the
    ID of a signed receipt.
    """
    receipt = await erase_export(export, caller.key_id)
    if receipt is None:
        raise EXPORT.not_found(export.id)
    return ExportDeleted(id=export.id, receipt=receipt)


async def _new_record(
    body: CreateExport, caller: Principal, registry: ModelRegistry
) -> ExportRecord:
    found = await registry.resolve(caller.project_id, body.model)
    if found is None:
        raise NotFound(
            f"The model '{body.model[:200]}' does not exist or you do not have access to it.",
            param="model",
            code="model_not_found",
        )
    model = await registry.get(caller.project_id, found.model.name)
    if model is None:
        raise BadRequest(
            f"'{found.model.name}' is a base model. Only trained models can be exported.",
            param="model",
            code="model_not_trained",
        )
    now_s = clock.now_s()
    return ExportRecord(
        id=ids.new(ids.EXPORT),
        project_id=caller.project_id,
        created_at=now_s,
        expires_at=now_s + KEPT_S,
        model=model.id,
        base_model=model.base_model,
        job_id=model.job_id,
        artifact=model.artifact,
        digest=model.digest,
        key_id=caller.key_id,
        format=body.format,
        quantization=_quantization(body),
    )


def _quantization(body: CreateExport) -> str | None:
    if body.format in QUANTIZED_FORMATS:
        return body.quantization or _DEFAULT_QUANTIZATION
    if body.quantization is not None:
        raise BadRequest(
            f"The format {body.format} has no quantization: omit it, or choose gguf or ollama.",
            param="quantization",
            code="invalid_value",
        )
    return None


async def _check_workers(body: CreateExport, store: Exports) -> None:
    """Reject a format for which no running worker has the packages."""
    if body.format not in EXTRA_FORMATS:
        return
    alive = [one for one in await workers.alive(store.redis) if "cpu" in one.queues]
    if alive and not any(one.makes_gguf for one in alive):
        raise BadRequest(
            f"No worker has the packages for the format {body.format}. The operator must install "
            f"the extra '{EXTRA}' for the workers of the cpu queue: "
            f"pip install 'finetuned-server[{EXTRA}]'.",
            param="format",
            code="feature_disabled",
        )


async def _check_room(caller: Principal, store: Exports, most: int) -> None:
    waiting = await store.count_unfinished(caller.project_id)
    check_room(waiting, MAX_UNFINISHED, "exports")
    kept = await store.count(caller.project_id)
    if kept >= most:
        raise LimitReached(
            f"The project has {kept} exports, and the limit is {most}. Delete some of them."
        )


class ByteRange(NamedTuple):
    """The bytes from `start` up to, but not including, `end`."""

    start: int
    end: int


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """Return the range that a `Range` header asks for; None for all bytes.

    A header with several ranges or another unit is ignored, as the standard allows. Raises
    RangeNotSatisfiable if the range is outside the content.
    """
    found = None if header is None else _RANGE.fullmatch(header.strip())
    if found is None or not (found["first"] or found["last"]):
        return None
    if not found["first"]:  # the last bytes
        wanted = ByteRange(max(size - int(found["last"]), 0), size)
    else:
        last = min(int(found["last"]), size - 1) if found["last"] else size - 1
        if found["last"] and int(found["last"]) < int(found["first"]):
            return None  # malformed
        wanted = ByteRange(int(found["first"]), last + 1)
    if wanted.start >= wanted.end:
        raise RangeNotSatisfiable(
            f"The range is outside the archive, which has {size} bytes.",
            param="range",
            headers={"content-range": f"bytes */{size}"},
        )
    return wanted


def _base64(digest: str | None) -> str:
    return base64.b64encode(bytes.fromhex(digest or "")).decode()
