"""`/v1/advice`: advice before a training."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final

from fastapi import APIRouter, Depends, Header

from service.config import Settings
from service.core import clock, ids
from service.core.claims import Claim
from service.core.errors import BadRequest, NotReady, Unavailable
from service.files.records import FileRecord, Files, FileStatus
from service.jobs.advice.records import KEPT_S, MAX_UNFINISHED, AdviceRecord, AdviceStore
from service.jobs.advice.schemas import CreateAdvice, TrainingAdvice
from service.jobs.create import find_base_model, find_training_file
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.auth import Principal
from service.web.deps import AppSettings, Caller, resource
from service.web.idempotency import comparable, create_once
from service.web.openapi.parts import headers
from service.web.operations import Operations, add_routes
from service.web.permissions import Permission, needs
from service.work.unfinished import check_room

router = APIRouter(prefix="/v1/advice", tags=["Fine-tuning"])
_FILE_PARAM: Final = "training_file_id"

Store = Annotated[AdviceStore, Depends(resource("advice_store"))]
FileStore = Annotated[Files, Depends(resource("files"))]
Registry = Annotated[ModelRegistry, Depends(resource("registry"))]


class AdviceOperations(Operations[AdviceRecord]):
    """The advice before trainings."""

    noun = "advice"
    schema = TrainingAdvice
    store_name = "advice_store"
    filters: ClassVar = {
        "training_file_id": "ID of the training file.",
        "model": "ID of the base model.",
    }
    texts = ("training_file", "model")

    def matches(self, record: AdviceRecord, filters: Mapping[str, str]) -> bool:
        """Return whether the advice has not expired, and has these values of the `filters`."""
        values = {"training_file_id": record.training_file, "model": record.model}
        return record.expires_at > clock.now_s() and filters.items() <= values.items()


@router.post(
    "",
    operation_id="createTrainingAdvice",
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
) -> TrainingAdvice:
    """Ask whether a training is worth it. A worker then asks the base model the questions of some
    rows of the file, with and without the best prompt, searches the other rows for their answers,
    and reads the file's report. This takes about a minute on a CPU.

    While the file is being checked, the response is 409 with the code `not_ready`. Advice is
    deleted 30 days after it was created.
    """

    async def make(claim: Claim[AdviceRecord]) -> AdviceRecord:
        record = await _new_record(body, caller, files, registry, settings)
        waiting = await store.count_unfinished(caller.project_id)
        check_room(waiting, MAX_UNFINISHED, "advice")
        return await store.create(record, claim)

    return await create_once(
        TrainingAdvice, store.redis, caller.project_id, idempotency_key, comparable(body), make
    )


add_routes(
    router,
    AdviceOperations,
    read=Permission.FINE_TUNING_READ,
    write=Permission.FINE_TUNING_WRITE,
    cancelled=AuditEvent.ADVICE_CANCELLED,
    deleted=AuditEvent.ADVICE_DELETED,
)


async def _new_record(
    body: CreateAdvice, caller: Principal, files: Files, registry: ModelRegistry, settings: Settings
) -> AdviceRecord:
    """Return the record of new advice. Raises NotFound, BadRequest, Conflict and Unavailable."""
    entry = await find_base_model(body.model, caller, registry)
    file = await find_training_file(body.training_file_id, _FILE_PARAM, caller, files)
    _require_processed(file)
    if entry.id not in settings.engine_urls:
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
        metadata=body.metadata,
    )


def _require_processed(file: FileRecord) -> None:
    if file.status is FileStatus.UPLOADED:
        raise NotReady(
            f"The file {file.id} is still being checked. Try again in a second.",
            param=_FILE_PARAM,
        )
    if file.status is FileStatus.ERROR:
        raise BadRequest(
            file.status_details or "The file is invalid.",
            param=_FILE_PARAM,
            code="invalid_training_file",
        )
    if file.row_format == "reinforcement":
        raise BadRequest(
            f"The file {file.id} holds prompts without answers, which advice compares. Grade the "
            "base model's answers with an eval instead.",
            param=_FILE_PARAM,
            code="invalid_training_file",
        )
    if file.row_format == "text":
        raise BadRequest(
            f"The file {file.id} holds texts, which have no questions to ask the base model. "
            "Advice needs chats, preferences or labeled answers.",
            param=_FILE_PARAM,
            code="invalid_training_file",
        )
