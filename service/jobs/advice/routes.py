"""Routes of advice before a training: create, retrieve and delete."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, Header

from service.config import Settings
from service.core import clock, ids
from service.core.claims import Claim
from service.core.errors import BadRequest, NotReady, Unavailable
from service.files.records import FileRecord, Files, FileStatus
from service.jobs.advice.records import KEPT_S, MAX_UNFINISHED, AdviceRecord, AdviceStore
from service.jobs.advice.schemas import AdviceDeleted, AdviceObject, CreateAdvice
from service.jobs.create import find_base_model, find_training_file
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import AppSettings, Caller, resource
from service.web.idempotency import comparable, create_once
from service.web.openapi.parts import headers
from service.web.permissions import Permission, needs
from service.web.resources import Resource
from service.work.unfinished import check_room

router = APIRouter(prefix="/v1/fine_tuning/advice", tags=["Fine-tuning"])

Store = Annotated[AdviceStore, Depends(resource("advice_store"))]
FileStore = Annotated[Files, Depends(resource("files"))]
Registry = Annotated[ModelRegistry, Depends(resource("registry"))]

ADVICE = Resource("advice")


async def _existing(advice_id: str, caller: Caller, store: Store) -> AdviceRecord:
    return ADVICE.get_or_404(await store.get(caller.project_id, advice_id), advice_id)


Existing = Annotated[AdviceRecord, Depends(_existing)]


@router.post(
    "",
    operation_id="createFineTuningAdvice",
    summary="Ask for advice before a training",
    responses={409: {"headers": headers("retry-after")}},
    openapi_extra=needs(Permission.FINE_TUNING_WRITE, AuditEvent.ADVICE_CREATED),
)
async def create_advice(
    body: CreateAdvice,
    caller: Caller,
    store: Store,
    files: FileStore,
    registry: Registry,
    settings: AppSettings,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> AdviceObject:
    """Ask whether a training is worth it. A worker then asks the base model the questions of some
    rows of the file, with and without the best prompt, searches the other rows for their answers,
    and reads the file's report. This takes about a minute on a CPU.

    The response has the status `in_progress`; retrieve the advice until it is `completed` or
    `failed`. While the file is being checked, the response is 409 with the code `not_ready`.
    """

    async def make(claim: Claim[AdviceRecord]) -> AdviceRecord:
        record = await _checked(body, caller, files, registry, settings)
        waiting = await store.count_unfinished(caller.project_id)
        check_room(waiting, MAX_UNFINISHED, "advice")
        return await store.create(record, claim)

    raw = comparable(body)
    return await create_once(
        AdviceObject, store.redis, caller.project_id, idempotency_key, raw, make
    )


@router.get(
    "/{advice_id}",
    operation_id="retrieveFineTuningAdvice",
    summary="Retrieve advice",
    openapi_extra=needs(Permission.FINE_TUNING_READ),
)
async def retrieve_advice(advice: Existing) -> AdviceObject:
    """Retrieve the state of the advice, and its result once it is completed."""
    return AdviceObject.from_record(advice)


@router.delete(
    "/{advice_id}",
    operation_id="deleteFineTuningAdvice",
    summary="Delete advice",
    openapi_extra=needs(Permission.FINE_TUNING_WRITE, AuditEvent.ADVICE_DELETED),
)
async def delete_advice(advice: Existing, store: Store) -> AdviceDeleted:
    """Delete the advice. If it is in progress, the worker stops. Advice is also deleted 30 days
    after it was created.
    """
    if not await store.delete(advice):
        raise ADVICE.not_found(advice.id)
    return AdviceDeleted(id=advice.id)


async def _checked(
    body: CreateAdvice,
    caller: Principal,
    files: Files,
    registry: ModelRegistry,
    settings: Settings,
) -> AdviceRecord:
    entry = await find_base_model(body.model, caller, registry)
    file = await find_training_file(body.training_file, "training_file", caller, files)
    _require_processed(file)
    if entry.id not in settings.upstreams:
        raise Unavailable(
            f"No engine serves the base model {entry.id}, so it cannot be asked. Start one, or "
            "choose a base model that is served.",
            param="model",
            code="model_not_served",
        )
    now_s = clock.now_s()
    return AdviceRecord(
        id=ids.new(ids.ADVICE),
        project_id=caller.project_id,
        project_name=caller.project_name,
        created_at=now_s,
        expires_at=now_s + KEPT_S,
        training_file=file.id,
        model=entry.id,
        key_id=caller.key_id,
        seed=secrets.randbelow(2**31),
    )


def _require_processed(file: FileRecord) -> None:
    if file.status is FileStatus.UPLOADED:
        raise NotReady(
            f"The file {file.id} is still being checked. Try again in a second.",
            param="training_file",
        )
    if file.status is FileStatus.ERROR:
        raise BadRequest(
            file.status_details or "The file is invalid.",
            param="training_file",
            code="invalid_training_file",
        )
    if file.row_format == "reinforcement":
        raise BadRequest(
            f"The file {file.id} holds prompts without answers, which advice compares. Grade the "
            "base model's answers with an eval instead.",
            param="training_file",
            code="invalid_training_file",
        )
    if file.row_format == "text":
        raise BadRequest(
            f"The file {file.id} holds texts, which have no questions to ask the base model. "
            "Advice needs chats, preferences or labeled answers.",
            param="training_file",
            code="invalid_training_file",
        )
