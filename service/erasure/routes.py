"""`/v1/erasure_receipts`: list and retrieve the receipts of deletions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from service.erasure.records import Erasures
from service.erasure.schemas import ErasureReceiptObject
from service.web.deps import Caller, resource
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, NewestFirst, Resource

router = APIRouter(prefix="/v1/erasure_receipts", tags=["Erasure"])

Store = Annotated[Erasures, Depends(resource("erasures"))]

RECEIPT = Resource("erasure receipt", "receipt_id")


@router.get(
    "",
    operation_id="listErasureReceipts",
    summary="List erasure receipts",
    openapi_extra=needs(Permission.FILES_READ),
)
async def list_receipts(
    caller: Caller,
    store: Store,
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
    "/{receipt_id}",
    operation_id="retrieveErasureReceipt",
    summary="Retrieve an erasure receipt",
    openapi_extra=needs(Permission.FILES_READ),
)
async def retrieve_receipt(receipt_id: str, caller: Caller, store: Store) -> ErasureReceiptObject:
    """Retrieve the receipt of a deletion: the objects that were removed from storage with their
    digests, when, and the key that asked for it, if it did not expire.

    A worker signs the receipt once nothing is left and the files of Redis are rewritten, some
    seconds after the request that deletes. While another worker may still write, or storage is
    unavailable, the status stays `in_progress`. Save the receipt:
    `finetuned-server erasure verify` checks it without this service.
    """
    record = await store.get(caller.project_id, receipt_id)
    return ErasureReceiptObject.from_record(RECEIPT.get_or_404(record, receipt_id))
