"""`/v1/model_exports`: exports of trained models, and their content."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final, NamedTuple

from fastapi import APIRouter, Depends, Header, Path
from fastapi.responses import StreamingResponse

from service.core import clock, ids
from service.core.claims import Claim
from service.core.errors import BadRequest, Conflict, LimitReached, NotFound, RangeNotSatisfiable
from service.core.records import Page
from service.core.storage import Storage, StorageMissing
from service.exporting import EXTRA, EXTRA_FORMATS, QUANTIZED_FORMATS
from service.exports.archive import MEDIA_TYPE
from service.exports.records import KEPT_S, MAX_UNFINISHED, ExportRecord, Exports, ExportStatus
from service.exports.schemas import CreateModelExport, ModelExport
from service.fleet import workers
from service.models.approvals import require_approvals
from service.models.lookup import named_model
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import AppSettings, Caller, resource
from service.web.idempotency import comparable, create_once
from service.web.openapi.parts import headers
from service.web.operations import OperationDeleted, Operations, add_routes
from service.web.permissions import Permission, needs
from service.web.resources import Paging
from service.work.unfinished import check_room

router = APIRouter(prefix="/v1/model_exports", tags=["Exports"])
_DEFAULT_QUANTIZATION = "q8_0"
_RANGE = re.compile(r"bytes=(?P<first>[0-9]{0,19})-(?P<last>[0-9]{0,19})", re.IGNORECASE)
_CONTENT_HEADERS = headers("accept-ranges", "content-disposition", "etag", "repr-digest")
_CONTENT = {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}
_CONTENT_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The whole archive.", "headers": _CONTENT_HEADERS, "content": _CONTENT},
    206: {
        "description": "The requested range of the archive.",
        "headers": {**_CONTENT_HEADERS, **headers("content-range")},
        "content": _CONTENT,
    },
}

Store = Annotated[Exports, Depends(resource("exports"))]
Registry = Annotated[ModelRegistry, Depends(resource("registry"))]


class ModelExports(Operations[ExportRecord]):
    """The exports of trained models."""

    noun = "export"
    schema = ModelExport
    store_name = "exports"
    filters: ClassVar = {"model": "Name of the trained model.", "format": "Format of the export."}

    async def page(
        self, project_id: str, paging: Paging, where: Callable[[ExportRecord], bool]
    ) -> Page[ExportRecord]:
        """Return a page of the exports that have not expired."""
        now_s = clock.now_s()
        return await super().page(project_id, paging, lambda r: r.expires_at > now_s and where(r))

    async def delete(self, record: ExportRecord, caller: Principal) -> OperationDeleted | None:
        """Delete an export with its archive, and leave a receipt."""
        receipt = await self.request.app.state.erase_export(record, caller.key_id)
        return None if receipt is None else self.deleted(record, receipt)


@router.post(
    "",
    operation_id="createModelExport",
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
) -> ModelExport:
    """Export a trained model for other software. A worker writes the artifact, loads it, compares
    its answers to held-out rows with the serving engine's, and stores it as one archive.

    An artifact that renders prompts differently, or whose answers differ too much, fails. Exports
    are deleted 7 days after they were created.
    """

    async def make(claim: Claim[ExportRecord]) -> ExportRecord:
        record = await _new_record(body, caller, registry)
        await require_approvals(registry, caller.project_id, [record.model])
        await _check_workers(body, store)
        await _check_room(caller, store, settings.max_exports_per_project)
        return await store.create(record, claim)

    return await create_once(
        ModelExport, store.redis, caller.project_id, idempotency_key, comparable(body), make
    )


add_routes(
    router,
    ModelExports,
    read=Permission.EXPORTS_READ,
    write=Permission.EXPORTS_WRITE,
    cancelled=AuditEvent.EXPORT_CANCELLED,
    deleted=AuditEvent.EXPORT_DELETED,
)


@router.get(
    "/{id}/content",
    operation_id="getModelExportContent",
    summary="Download an export",
    response_class=StreamingResponse,
    responses=_CONTENT_RESPONSES,
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.EXPORT_CONTENT_READ),
)
async def download_export(
    id_: Annotated[str, Path(alias="id", max_length=128, description="ID of the export.")],
    caller: Caller,
    exports: Annotated[ModelExports, Depends()],
    storage: Annotated[Storage, Depends(resource("storage"))],
    registry: Registry,
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
    digits, and `repr-digest` the same in base64. Returns 409 if the export is not completed, or if
    the project requires an approval that the model does not have.
    """
    export = await exports.require(caller.project_id, id_)
    if export.status is not ExportStatus.SUCCEEDED or export.key is None:
        raise Conflict(f"The export {export.id} is {export.status}, so it has no content.")
    await require_approvals(registry, export.project_id, [export.model])
    size, etag = export.bytes or 0, f'"{export.sha256}"'
    part = parse_range(range_, size) if if_range in (None, etag) else None
    start, end = part or (0, size)
    try:
        chunks = await storage.stream(export.key, start, end)
    except StorageMissing as e:
        raise NotFound("The archive is no longer in storage.", param="id") from e
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


async def _new_record(
    body: CreateModelExport, caller: Principal, registry: ModelRegistry
) -> ExportRecord:
    found = await named_model(registry, caller.project_id, body.model)
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
        metadata=body.metadata,
    )


def _quantization(body: CreateModelExport) -> str | None:
    if body.format in QUANTIZED_FORMATS:
        return body.quantization or _DEFAULT_QUANTIZATION
    if body.quantization is not None:
        raise BadRequest(
            f"The format {body.format} has no quantization: omit it, or choose gguf or ollama.",
            param="quantization",
            code="invalid_value",
        )
    return None


async def _check_workers(body: CreateModelExport, store: Exports) -> None:
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
