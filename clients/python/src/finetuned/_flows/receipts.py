"""Erasure receipts: what a deletion removed, signed by the installation."""

from __future__ import annotations

from finetuned._flows.common import at, listed
from finetuned._http import Request
from finetuned._steps import Flow, Items, fetch
from finetuned.types import ErasureReceiptObject

_RECEIPTS = "erasure_receipts"


def list_receipts(
    *, subject_id: str | None = None, limit: int | None = None, after: str | None = None
) -> Items[ErasureReceiptObject]:
    """List the receipts of what was deleted and of what expired, newest first."""
    params = {"subject_id": subject_id}
    return listed(ErasureReceiptObject, _RECEIPTS, limit=limit, after=after, params=params)


def retrieve(receipt_id: str) -> Flow[ErasureReceiptObject]:
    """Retrieve a receipt. It is signed once its status is `completed`."""
    return fetch(ErasureReceiptObject, Request("GET", at(_RECEIPTS, receipt_id)))
