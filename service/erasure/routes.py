"""`/v1/erasure_receipts`: list and retrieve the receipts of deletions."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from service.core.errors import NotFound
from service.core.records import Missing
from service.erasure.records import Erasures
from service.erasure.schemas import ErasureReceiptObject
from service.web.deps import Caller, resource
from service.web.http import ListOf, list_of, unknown_after
from service.web.permissions import Permission, needs

router = APIRouter(prefix="/v1/erasure_receipts", tags=["Erasure"])

Store = Annotated[Erasures, Depends(resource("erasures"))]


@router.get(
    "",
    operation_id="listErasureReceipts",
    summary="List erasure receipts",
    openapi_extra=needs(Permission.FILES_READ),
)
async def list_receipts(
    caller: Caller,
    store: Store,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
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
    try:
        page = await store.records.page(
            caller.project_id,
            after=after,
            limit=limit,
            where=None if subject_id is None else lambda r: r.subject_id == subject_id,
            oldest_first=order == "asc",
        )
    except Missing as e:
        raise unknown_after("receipt") from e
    return list_of([ErasureReceiptObject.of(record) for record in page.items], page.has_more)


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
    if record is None:
        raise NotFound(f"No such erasure receipt: {receipt_id[:80]}", param="receipt_id")
    return ErasureReceiptObject.of(record)
