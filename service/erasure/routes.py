"""`/v1/erasure_receipts` (receipts of deletions) and `/v1/organization/erasure` (find rows)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from service.datasets.contract.tasks import RowMatch
from service.erasure.eraser import Eraser
from service.erasure.records import Erasures
from service.erasure.schemas import CreateErasure, ErasureObject, ErasureReceiptObject
from service.erasure.search.records import MAX_UNFINISHED, Searches
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, NewestFirst, Resource
from service.work.unfinished import check_room

router = APIRouter(prefix="/v1", tags=["Erasure"])

ErasureStore = Annotated[Erasures, Depends(resource("erasures"))]
SearchStore = Annotated[Searches, Depends(resource("erasure_searches"))]
AppEraser = Annotated[Eraser, Depends(resource("eraser"))]

RECEIPT = Resource("erasure receipt", "receipt_id")
ERASURE = Resource("erasure")


@router.get(
    "/erasure_receipts",
    operation_id="listErasureReceipts",
    summary="List erasure receipts",
    openapi_extra=needs(Permission.FILES_READ),
)
async def list_receipts(
    caller: Caller,
    store: ErasureStore,
    paging: NewestFirst,
    subject_id: Annotated[
        str | None,
        Query(
            description="Deleted object whose receipts to return: a file, for example.",
            max_length=512,
        ),
    ] = None,
) -> ListOf[ErasureReceiptObject]:
    """List the receipts of what the project deleted and of what expired, newest first by default:
    files, models and checkpoints, exports, evals and their runs."""
    where = None if subject_id is None else lambda r: r.subject_id == subject_id
    page = store.records.page(caller.project_id, **paging.bounds, where=where)
    return await RECEIPT.list(page, ErasureReceiptObject.from_record)


@router.get(
    "/erasure_receipts/{receipt_id}",
    operation_id="retrieveErasureReceipt",
    summary="Retrieve an erasure receipt",
    openapi_extra=needs(Permission.FILES_READ),
)
async def retrieve_receipt(
    receipt_id: str, caller: Caller, store: ErasureStore
) -> ErasureReceiptObject:
    """Retrieve the receipt of a deletion: the objects that were removed from storage with their
    digests, when, and the key that asked for it, if it did not expire.

    A worker signs the receipt once nothing is left and the files of Redis are rewritten, some
    seconds after the request that deletes. While another worker may still write, or storage is
    unavailable, the status stays `in_progress`. Save the receipt:
    `finetuned-server erasure verify` checks it without this service.
    """
    record = await store.get(caller.project_id, receipt_id)
    return ErasureReceiptObject.from_record(RECEIPT.get_or_404(record, receipt_id))


@router.post(
    "/organization/erasure",
    operation_id="createErasure",
    summary="Find and erase rows",
    openapi_extra=needs(Permission.DATA_ERASE, AuditEvent.ROWS_ERASED),
)
async def create_erasure(body: CreateErasure, caller: Caller, store: SearchStore) -> ErasureObject:
    """Find the rows of all files and the stored chats of the key's project that match, for example
    everything about one person, and list the files, the lines and the models trained on them. Poll
    the erasure until it is `completed`.

    Without `apply`, nothing is changed. With `apply`, each file with such rows is replaced by a new
    file without them, whose `derived_from` names the old one, and the old one is deleted with its
    bytes, reports and previews; stored chats are deleted. With `cascade`, the models trained on the
    file are deleted too.

    `places` lists other objects of the project that have the text, such as runs of evals, batches
    and the metadata of jobs. They are not changed.

    What to find is stored in Redis only until the erasure has ended, and never logged. Then Redis'
    files are rewritten, and `rewrite` says how.
    """
    if body.apply:
        caller.require(Permission.FILES_WRITE)
    if body.cascade:
        caller.require(Permission.MODEL_WRITE)
    check_room(
        await store.count_unfinished(caller.project_id),
        MAX_UNFINISHED,
        "erasures",
    )
    match = RowMatch(kind=body.match.type, value=body.match.value)
    record = await store.begin(
        caller.project_id, caller.key_id, match, apply=body.apply, cascade=body.cascade
    )
    return ErasureObject.from_record(record)


@router.get(
    "/organization/erasure/{erasure_id}",
    operation_id="retrieveErasure",
    summary="Retrieve an erasure",
    openapi_extra=needs(Permission.DATA_ERASE),
)
async def retrieve_erasure(
    erasure_id: str, caller: Caller, store: SearchStore, eraser: AppEraser
) -> ErasureObject:
    """Retrieve the progress of an erasure, the files and models that it found, and what it did."""
    record = await store.get(caller.project_id, erasure_id)
    record = ERASURE.get_or_404(record, erasure_id)
    ended_at = record.finished_at
    rewrite = None if ended_at is None else await eraser.deletions.rewriter.covering(ended_at)
    return ErasureObject.from_record(record, rewrite)
