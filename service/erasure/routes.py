"""`/v1/erasure_receipts` (receipts of deletions) and `/v1/organization/erasures` (find rows)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query

from service.core.claims import Claim
from service.core.redis.rewriting import Rewrite
from service.datasets.contract.tasks import RowMatch
from service.erasure.eraser import Eraser
from service.erasure.records import Erasures
from service.erasure.schemas import CreateErasure, Erasure, ErasureReceiptObject
from service.erasure.search.records import MAX_UNFINISHED, Searches, SearchRecord
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.idempotency import create_once
from service.web.operations import Operations, add_routes
from service.web.permissions import Permission, needs
from service.web.resources import ListOf, NewestFirst, Resource
from service.work.unfinished import check_room

router = APIRouter(prefix="/v1/erasure_receipts", tags=["Erasure"])
erasures = APIRouter(prefix="/v1/organization/erasures", tags=["Erasure"])

ErasureStore = Annotated[Erasures, Depends(resource("erasures"))]
SearchStore = Annotated[Searches, Depends(resource("erasure_searches"))]

RECEIPT = Resource("erasure receipt", "receipt_id")


@router.get(
    "",
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
    "/{receipt_id}",
    operation_id="getErasureReceipt",
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


class ErasureOperations(Operations[SearchRecord]):
    """The erasures of a project."""

    noun = "erasure"
    schema = Erasure
    store_name = "erasure_searches"
    deletes_unfinished = False
    kept = "files"

    async def show(self, record: SearchRecord) -> Erasure:
        """Return the API object of an erasure."""
        return Erasure.from_record(record, await self._rewrite(record))

    async def _rewrite(self, record: SearchRecord) -> Rewrite | None:
        """Return the rewrite of the files of Redis after the end of an erasure, or None."""
        eraser: Eraser = self.request.app.state.eraser
        if record.finished_at is None:
            return None
        return await eraser.deletions.rewriter.covering(record.finished_at)


@erasures.post(
    "",
    operation_id="createErasure",
    summary="Find and erase rows",
    openapi_extra=needs(Permission.DATA_ERASE, AuditEvent.ROWS_ERASED),
)
async def create_erasure(
    body: CreateErasure,
    caller: Caller,
    store: SearchStore,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Erasure:
    """Find the rows of all files and the stored chats of the key's project that match, for example
    everything about one person, and list the files, the lines and the models trained on them.

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
    match = RowMatch(kind=body.match.type, value=body.match.value)

    async def make(claim: Claim[SearchRecord]) -> SearchRecord:
        waiting = await store.count_unfinished(caller.project_id)
        check_room(waiting, MAX_UNFINISHED, "erasures")
        return await store.begin(
            caller.project_id,
            caller.key_id,
            match,
            apply=body.apply,
            cascade=body.cascade,
            metadata=body.metadata,
            claim=claim,
        )

    # The text is personal data, which a digest without a key would let others guess.
    digest = await store.digest(caller.project_id, match)
    raw = f"{digest} {body.model_dump_json(exclude={'match'})}".encode()
    return await create_once(Erasure, store.redis, caller.project_id, idempotency_key, raw, make)


add_routes(
    erasures,
    ErasureOperations,
    read=Permission.DATA_ERASE,
    write=Permission.DATA_ERASE,
    cancelled=AuditEvent.ERASURE_CANCELLED,
    deleted=AuditEvent.ERASURE_DELETED,
)
