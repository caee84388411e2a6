"""`/v1/recognizers`: kinds of personal data that a project defines."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Depends

from service.core.errors import BadRequest, LimitReached
from service.datasets.personal_data.kinds import KINDS, POSSIBLE
from service.files.curation.recognizers.records import MAX_RECOGNIZERS, Recognizers, TooMany
from service.files.curation.recognizers.schemas import (
    RecognizerObject,
    SetRecognizer,
)
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.permissions import Permission, needs
from service.web.resources import Deleted, ListOf, Paged, Resource, deleted

router = APIRouter(prefix="/v1/recognizers", tags=["Data sets"])

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

Store = Annotated[Recognizers, Depends(resource("recognizers"))]

RECOGNIZER = Resource("recognizer", "recognizer", label="name")


@router.get(
    "",
    operation_id="listRecognizers",
    summary="List recognizers",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.RECOGNIZER_READ),
)
async def list_recognizers(caller: Caller, store: Store, paging: Paged) -> ListOf[RecognizerObject]:
    """List the project's recognizers, newest first."""
    page = store.records.page(caller.project_id, **paging.bounds)
    return await RECOGNIZER.list(page, RecognizerObject.from_record)


@router.get(
    "/{recognizer}",
    operation_id="getRecognizer",
    summary="Retrieve a recognizer",
    openapi_extra=needs(Permission.DATA_READ, AuditEvent.RECOGNIZER_READ),
)
async def retrieve_recognizer(recognizer: str, caller: Caller, store: Store) -> RecognizerObject:
    """Retrieve a recognizer with its pattern and terms."""
    record = await store.records.get(caller.project_id, recognizer)
    return RecognizerObject.from_record(RECOGNIZER.get_or_404(record, recognizer))


@router.put(
    "/{recognizer}",
    operation_id="putRecognizer",
    summary="Set a recognizer",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.RECOGNIZER_UPDATED),
)
async def set_recognizer(
    recognizer: str, body: SetRecognizer, caller: Caller, store: Store
) -> RecognizerObject:
    """Define a kind of personal data of the project, such as its customer numbers or the names of
    its customers, or replace its definition.

    Reports count its findings, and cleanings that redact replace them with the name as a label:
    `[CUSTOMER_NUMBER]`. The next request for a report makes a new one. A project can have up to 50
    recognizers.
    """
    _check_name(recognizer)
    try:
        record = await store.set(caller.project_id, recognizer, body.pattern, tuple(body.terms))
    except TooMany as e:
        raise LimitReached(
            f"The project already has {MAX_RECOGNIZERS} recognizers, which is the maximum. Delete "
            "one first, or combine several.",
        ) from e
    return RecognizerObject.from_record(record)


@router.delete(
    "/{recognizer}",
    operation_id="deleteRecognizer",
    summary="Delete a recognizer",
    openapi_extra=needs(Permission.FILES_WRITE, AuditEvent.RECOGNIZER_DELETED),
)
async def delete_recognizer(recognizer: str, caller: Caller, store: Store) -> Deleted:
    """Delete a recognizer. Files that were cleaned with it remain as they are."""
    if not await store.delete(caller.project_id, recognizer):
        raise RECOGNIZER.not_found(recognizer)
    return deleted(recognizer, "recognizer")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadRequest(
            "The name of a recognizer has 1 to 64 lowercase letters, digits and underscores, and "
            "begins with a letter.",
            param="recognizer",
        )
    if name in KINDS or name.startswith(POSSIBLE):
        raise BadRequest(
            f"The service detects '{name}' itself. Choose another name.",
            param="recognizer",
            code="name_reserved",
        )
