"""`/v1/organization/erasure`: find rows in all files of a project, and erase them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from service.datasets.contract import RowMatch
from service.erasure.erasing import Erasing
from service.erasure.search.records import MAX_UNFINISHED, Searches
from service.erasure.search.schemas import CreateErasure, ErasureObject
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.permissions import Permission, needs
from service.web.resources import Resource
from service.work.unfinished import check_room

router = APIRouter(prefix="/v1/organization/erasure", tags=["Erasure"])

Store = Annotated[Searches, Depends(resource("erasure_searches"))]
Eraser = Annotated[Erasing, Depends(resource("erasing"))]

ERASURE = Resource("erasure")


@router.post(
    "",
    operation_id="createErasure",
    summary="Find and erase rows",
    openapi_extra=needs(Permission.DATA_ERASE, AuditEvent.ROWS_ERASED),
)
async def create_erasure(body: CreateErasure, caller: Caller, store: Store) -> ErasureObject:
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
        code="too_many_erasures",
    )
    match = RowMatch(kind=body.match.type, value=body.match.value)
    record = await store.begin(
        caller.project_id, caller.key_id, match, apply=body.apply, cascade=body.cascade
    )
    return ErasureObject.from_record(record)


@router.get(
    "/{erasure_id}",
    operation_id="retrieveErasure",
    summary="Retrieve an erasure",
    openapi_extra=needs(Permission.DATA_ERASE),
)
async def retrieve_erasure(
    erasure_id: str, caller: Caller, store: Store, erasing: Eraser
) -> ErasureObject:
    """Retrieve the progress of an erasure, the files and models that it found, and what it did."""
    record = await store.get(caller.project_id, erasure_id)
    record = ERASURE.get_or_404(record, erasure_id)
    ended_at = record.finished_at
    rewrite = None if ended_at is None else await erasing.rewriter.covering(ended_at)
    return ErasureObject.from_record(record, rewrite)
