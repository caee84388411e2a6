"""`/v1/batches`: create, list, retrieve and cancel batches, as OpenAI's SDKs call them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header

from service.batches.input_lines import MAX_INPUT_BYTES
from service.batches.records import WINDOW_S, Batches, BatchRecord, BatchStatus
from service.batches.schemas import BatchObject, CreateBatch
from service.core import clock, ids, tracing
from service.core.claims import Claim
from service.core.errors import BadRequest
from service.files.lookup import named_file
from service.files.records import Purpose
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import AppSettings, Caller, resource
from service.web.filters import CountedList, ListFilter, by_status, counted_list, filtered
from service.web.idempotency import comparable, create_once
from service.web.permissions import Permission, needs
from service.web.resources import Paged, Resource
from service.work.unfinished import check_room

router = APIRouter(prefix="/v1/batches", tags=["Batches"])

Store = Annotated[Batches, Depends(resource("batches"))]


BATCH = Resource("batch")


async def _existing(batch_id: str, caller: Caller, store: Store) -> BatchRecord:
    return BATCH.get_or_404(await store.get(caller.project_id, batch_id), batch_id)


Existing = Annotated[BatchRecord, Depends(_existing)]


@router.post(
    "",
    operation_id="createBatch",
    summary="Create a batch",
    openapi_extra=needs(Permission.BATCHES_WRITE, AuditEvent.BATCH_CREATED),
)
async def create_batch(
    body: CreateBatch,
    caller: Caller,
    store: Store,
    settings: AppSettings,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> BatchObject:
    """Create a batch. A worker answers the requests of an uploaded file at the lowest priority, and
    writes the answers to a file.

    The status changes from `validating` to `in_progress`, `finalizing` and `completed`. If a line
    of the file is not a valid request, the batch becomes `failed`, and `errors` lists the lines.
    After 24 hours, it becomes `expired`; the answers so far are kept.
    """

    async def make(claim: Claim[BatchRecord]) -> BatchRecord:
        await _check_file(body.input_file_id, caller, store)
        waiting = await store.count_unfinished(caller.project_id)
        most = settings.max_unfinished_batches_per_project
        check_room(waiting, most, "batches")
        return await store.create(_new(body, caller), claim)

    raw = comparable(body)
    return await create_once(
        BatchObject, store.redis, caller.project_id, idempotency_key, raw, make
    )


@router.get(
    "",
    operation_id="listBatches",
    summary="List batches",
    openapi_extra=needs(Permission.BATCHES_READ),
)
async def list_batches(
    caller: Caller,
    store: Store,
    paging: Paged,
    wanted: Annotated[ListFilter, by_status(BatchStatus)],
) -> CountedList[BatchObject]:
    """List the project's batches, newest first."""
    texts = ("input_file_id", "endpoint", "model")
    reading = filtered(store.records, caller.project_id, wanted, paging, texts=texts)
    page = await BATCH.read(reading)
    return counted_list(list(map(BatchObject.from_record, page.items)), page)


@router.get(
    "/{batch_id}",
    operation_id="getBatch",
    summary="Retrieve a batch",
    openapi_extra=needs(Permission.BATCHES_READ),
)
async def retrieve_batch(batch: Existing) -> BatchObject:
    """Retrieve a batch: its status, its counters, and its files once it has ended."""
    return BatchObject.from_record(batch)


@router.post(
    "/{batch_id}/cancel",
    operation_id="cancelBatch",
    summary="Cancel a batch",
    openapi_extra=needs(Permission.BATCHES_WRITE, AuditEvent.BATCH_CANCELLED),
)
async def cancel_batch(batch: Existing, store: Store) -> BatchObject:
    """Cancel a batch. The status is `cancelling` until a worker has written the files, which
    usually takes seconds, and then `cancelled`. The answers so far are kept. Returns 409 if the
    batch has ended or is `finalizing`.
    """
    with BATCH.cancelling(batch.id):
        return BatchObject.from_record(
            await store.change(batch, lambda record: record.cancel(clock.now_s()))
        )


async def _check_file(file_id: str, caller: Principal, store: Batches) -> None:
    param = "input_file_id"
    file = await named_file(store.files, caller.project_id, file_id, param, Purpose.BATCH)
    if file.bytes > MAX_INPUT_BYTES:
        raise BadRequest(
            f"The file {file.id} has {file.bytes} bytes, and the input of a batch at most "
            f"{MAX_INPUT_BYTES}. Divide it into several batches.",
            param=param,
            code="input_too_large",
        )


def _new(body: CreateBatch, caller: Principal) -> BatchRecord:
    now_s = clock.now_s()
    expiry = body.output_expires_after
    return BatchRecord(
        id=ids.new(ids.BATCH),
        project_id=caller.project_id,
        created_at=now_s,
        key_id=caller.key_id,
        endpoint=body.endpoint,
        input_file_id=body.input_file_id,
        completion_window=body.completion_window,
        expires_at=now_s + WINDOW_S,
        metadata=body.metadata,
        output_expires_after_s=None if expiry is None else expiry.seconds,
        trace=dict(tracing.carrier()) or None,
    )
